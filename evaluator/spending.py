"""What has been spent of the budget of bits, and what the next run may take of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import sandbox
from evaluator.dataset.sealed import open_dataset
from evaluator.leak_ledger import Entry, open_ledger
from evaluator.leakage import phase_bits, release_bits, tile_bits, total
from evaluator.scoring import Holdout

if TYPE_CHECKING:
    from evaluator.dataset.sealed import Dataset
    from evaluator.workspace import Publish, Workspace
    from sandbox import SandboxPolicy


def published_holdout(dataset: Dataset, publish: Publish) -> Holdout:
    """Return the holdout as far as the owner lets a result describe it."""
    sizes = dataset.holdout.counts if publish.class_sizes else None
    return Holdout(dataset.holdout.size, dataset.classes, dataset.rare, sizes)


def longest_run(policy: SandboxPolicy) -> int:
    """Return how many seconds a submission can make a run last."""
    return policy.check_seconds + policy.predict_seconds


def most_bits(dataset: Dataset, publish: Publish, policy: SandboxPolicy) -> float:
    """Return the bits that the result of one run may carry, however it ends."""
    phase = phase_bits(published_holdout(dataset, publish), publish.grid())
    return total(phase, release_bits(longest_run(policy), publish.release_every_hours * 3600))


@dataclass(frozen=True, slots=True)
class Spending:
    """The account of a workspace, in bits; `unlisted` results are not in the ledger yet."""

    entries: tuple[Entry, ...]
    unlisted: int
    budget: int
    run: float
    tile: int

    @property
    def released(self) -> float:
        """What all results carry together."""
        return self._sum("released")

    @property
    def reserved(self) -> float:
        """What is set aside for a run that has not ended, or was killed."""
        return self._sum("reserved")

    @property
    def runs_left(self) -> int:
        """How many runs of the present size still fit."""
        left = total(self.budget, -self.released, -self.reserved)
        return max(0, round(10 * left) // round(10 * self.run))

    def of_vendors(self) -> dict[str, tuple[int, float]]:
        """Return the number of runs and the bits of each vendor, in the order of their names."""
        names = sorted({entry.vendor for entry in self.entries})
        rows = {name: [e.tenths for e in self.entries if e.vendor == name] for name in names}
        return {name: (len(row), sum(row) / 10) for name, row in rows.items()}

    def _sum(self, state: str) -> float:
        return sum(entry.tenths for entry in self.entries if entry.state == state) / 10


def spending(workspace: Workspace) -> Spending:
    """Read the account; OwnerError where the workspace, its data or its ledger is not in order."""
    publish, dataset = workspace.settings().publish, open_dataset(workspace.data)
    entries: tuple[Entry, ...] = ()
    if workspace.ledger.exists():  # looking makes no file
        with open_ledger(workspace.ledger) as ledger:
            entries = ledger.entries()
    signed = {path.name.partition(".")[0] for path in workspace.results()}
    return Spending(
        entries=entries,
        unlisted=len(signed - {entry.run for entry in entries}),
        budget=publish.leakage_budget_bits,
        run=most_bits(dataset, publish, sandbox.load_policy(workspace.sandbox_policy)),
        tile=tile_bits(dataset.shape, np.dtype(dataset.dtype).itemsize),
    )

"""What has been spent of the budget of bits, and what the next run may take of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sandbox
from evaluator.dataset.sealed import BYTES, open_dataset
from evaluator.leakage import phase_bits, release_bits, tile_bits, total
from evaluator.ledger import RunRow, open_ledger
from evaluator.scoring import Holdout

if TYPE_CHECKING:
    from evaluator.dataset.sealed import Dataset
    from evaluator.ledger_rows import Phases
    from evaluator.regression import ErrorGrid
    from evaluator.scoring import Grid
    from evaluator.settings import Publish
    from evaluator.workspace import Workspace
    from sandbox import SandboxPolicy


def published_holdout(dataset: Dataset, publish: Publish) -> Holdout:
    """Return the holdout as far as the owner lets a result describe it."""
    sizes = dataset.holdout.counts if publish.class_sizes else None
    return Holdout(dataset.holdout.size, dataset.classes, dataset.rare, sizes)


def published_grid(dataset: Dataset, publish: Publish) -> Grid | ErrorGrid:
    """Return what published figures are rounded to; OwnerError where it has no exact decimals."""
    return publish.grid() if dataset.range is None else publish.error_grid(dataset.range)


def longest_run(policy: SandboxPolicy, phases: Phases) -> int:
    """Return how many seconds a submission can make a run last.

    What was trained may be packed at the end: how long that takes is the submission's doing too.
    """
    baseline = policy.check_seconds + policy.predict_seconds
    if phases == "baseline":
        return baseline + policy.pack_seconds  # an adapted model is unpacked first
    return 2 * baseline + policy.train_seconds + policy.pack_seconds


def most_bits(dataset: Dataset, publish: Publish, policy: SandboxPolicy, phases: Phases) -> float:
    """Return the bits that the result of one run may carry, however it ends."""
    holdout, charges = published_holdout(dataset, publish), publish.charge_steps + 1
    phase = phase_bits(holdout, published_grid(dataset, publish), charges)
    slot = release_bits(longest_run(policy, phases), publish.release_every_hours * 3600)
    return total(*[phase] * (1 if phases == "baseline" else 2), slot)


@dataclass(frozen=True, slots=True)
class Spending:
    """The account of a workspace, in bits; `unlisted` results are not in the ledger yet.

    Runs that were aborted carry nothing, and are not in `entries`.
    """

    entries: tuple[RunRow, ...]
    unlisted: int
    budget: int
    run: float
    tile: int

    @property
    def released(self) -> float:
        """What all results carry together."""
        return sum(entry.tenths for entry in self.entries if entry.state == "released") / 10

    @property
    def reserved(self) -> float:
        """What is set aside for a run that has not ended, or was killed."""
        return sum(entry.tenths for entry in self.entries if entry.state != "released") / 10

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


def spending(workspace: Workspace) -> Spending:
    """Read the account; OwnerError where the workspace, its data or its ledger is not in order."""
    publish, dataset = workspace.settings().publish, open_dataset(workspace.data)
    runs: tuple[RunRow, ...] = ()
    if workspace.ledger.exists():  # looking makes no file
        with open_ledger(workspace.ledger) as ledger:
            runs = ledger.runs()
    signed = {path.name.partition(".")[0] for path in workspace.results()}
    policy = sandbox.load_policy(workspace.sandbox_policy)
    phases: Phases = "both" if dataset.training else "baseline"
    return Spending(
        entries=tuple(run for run in runs if run.state != "aborted"),
        unlisted=len(signed - {run.run for run in runs}),
        budget=publish.leakage_budget_bits,
        run=most_bits(dataset, publish, policy, phases),
        tile=tile_bits(dataset.shape, BYTES[dataset.dtype]),
    )

"""A workspace of two vendors, a registry in memory, and a watch over it that is stepped by hand."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from evaluator.ledger import open_ledger
from evaluator.watch.mailbox import open_mailbox
from evaluator.watch.metrics import Metrics
from evaluator.watch.service import Plan, Watch, made
from tests.helpers.fake_registry import FakeRegistry
from tests.helpers.window import Farm, open_farm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evaluator.ledger import SubmissionRow
    from evaluator.registry import Registry
    from evaluator.watch.mailbox import Mailbox


@dataclass
class Stage:
    """All of it; `look` is one round and what follows it."""

    farm: Farm
    registry: FakeRegistry
    plan: Plan = field(default_factory=lambda: Plan(phases="baseline"))
    said: list[str] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    _held: ExitStack = field(default_factory=ExitStack)
    _watch: Watch | None = None
    _mailbox: Mailbox | None = None

    @property
    def watch(self) -> Watch:
        """The watch, begun when it is first asked for."""
        if self._watch is None:
            workspace = self.farm.workspace
            self._mailbox = self._held.enter_context(open_mailbox(workspace.mailbox))
            workspace.pulls.mkdir(exist_ok=True)
            registry = cast("Registry", self.registry)
            self._watch = made(
                workspace,
                registry,
                self.farm.signers,
                self.plan,
                self.said.append,
                self._mailbox,
                self.metrics,
            )
            self._watch.troubles._first = 0.0  # noqa: SLF001 - what failed is due again at once
        return self._watch

    def look(self) -> bool:
        """Look once, and attach what is due."""
        looked = self.watch.rounds.look()
        self.watch.sender.send()
        return looked

    def end(self) -> None:
        """Let go of the mailbox; the next look begins another watch."""
        self._held.close()
        self._watch = None

    def rows(self) -> list[SubmissionRow]:
        """The submissions of the ledger."""
        with open_ledger(self.farm.workspace.ledger) as ledger:
            return list(ledger.submissions())

    def states(self) -> list[str]:
        """Whose each is, and how it stands."""
        return [f"{row.vendor} {row.state}" for row in self.rows()]


@pytest.fixture
def stage(tmp_path: Path, class_folders: Callable[..., Path]) -> Iterator[Stage]:
    """Acme and zenith, and an empty registry."""
    farm = open_farm(tmp_path, class_folders({"barley": 10, "corn": 6}), "acme", "zenith")
    farm.change("submissions_per_day = 5", "submissions_per_day = 50")
    farm.change("submissions = 5", "submissions = 50")
    farm.change("submission_bytes = 21_474_836_480", "submission_bytes = 1_048_576")
    made_stage = Stage(farm, FakeRegistry())
    yield made_stage
    made_stage.end()

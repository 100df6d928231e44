"""The watch: rounds over the registry, what is due at the end of each slot, and the workers.

    watch(workspace, registry, signers, Plan(...), say)      until it is interrupted

Whatever a vendor can see of it follows from what vendors pushed and from the ends of release slots,
never from when a run ended: this loop does not look at runs, its workers do not touch the registry.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from evaluator.dataset.sealed import open_dataset
from evaluator.journal import publish_log
from evaluator.ledger import open_ledger
from evaluator.queue import sweep
from evaluator.watch.listening import Answers, listening
from evaluator.watch.mailbox import open_mailbox
from evaluator.watch.metrics import Metrics
from evaluator.watch.rounds import Rounds
from evaluator.watch.sending import Sender
from evaluator.watch.taking import Taker
from evaluator.watch.troubles import Troubles
from evaluator.watch.workers import Workers, working

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evaluator.registry import Registry
    from evaluator.signers import Signers
    from evaluator.watch.mailbox import Mailbox
    from evaluator.workspace import Workspace

_TICK = 1.0  # seconds; also the least time between two rounds, whatever is hinted
_LATE = 3  # rounds without an answer, after which /healthz says so
_GRACE = 60.0  # seconds that a round may take beside


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operator asks of the watch; `work` is the command of a worker, empty for none."""

    prefix: str = ""
    repositories: Sequence[str] = ()
    phases: Literal["baseline", "both"] | None = None
    interval: float = 60.0
    work: Sequence[str] = ()
    listen: tuple[str, int] | None = None
    token: bytes | None = None


@dataclass
class Watch:
    """The parts, and when each is due."""

    workspace: Workspace
    signers: Signers
    rounds: Rounds
    sender: Sender
    metrics: Metrics
    troubles: Troubles
    say: Callable[[str], None]
    interval: float
    hinted: threading.Event = field(default_factory=threading.Event)
    workers: Workers | None = None
    _published_in: int = -1
    _next_round: float = 0.0
    _succeeded: float = field(default_factory=time.monotonic)

    def step(self) -> None:
        """Do what is due now."""
        self.troubles.attempt("publish", "Publishing the log", self._publish)
        if self.hinted.is_set() or time.monotonic() >= self._next_round:
            self.hinted.clear()
            if self.rounds.look():
                self._succeeded = time.monotonic()
            self._send()
            self.troubles.attempt("count", "Reading the ledger", self._count)
            wait = self.interval * (0.9 + secrets.randbelow(201) / 1000)
            self._next_round = time.monotonic() + wait

    def _publish(self) -> None:
        """Once in a slot: enter what has become due, have it witnessed, and send it at once."""
        hours = self.workspace.settings().publish.release_every_hours
        slot = int(time.time()) // (hours * 3600)
        if slot == self._published_in:
            return
        served = publish_log(self.workspace, self.signers)
        self._published_in = slot
        self.metrics.add("publications")
        for run in served.missing:
            self.say(f"The signed result of run {run} is missing from results/; put it back.")
        self._send()

    def _send(self) -> None:
        self.troubles.attempt("send", "Reading the outbox", self.sender.send)

    def _count(self) -> None:
        """Count what the ledger holds, for the metrics."""
        with open_ledger(self.workspace.ledger) as ledger:
            contents = ledger.contents()
        ended = [run.statuses for run in contents.runs if run.state == "released"]
        states = Counter(str(row.state) for row in contents.submissions)
        self.metrics.replace("submissions", states)
        words = Counter(word for statuses in ended for word in statuses if word)
        self.metrics.replace("phases", words)

    def ill(self) -> list[str]:
        """What an operator has to look at now."""
        silent = time.monotonic() - self._succeeded
        found = []
        if silent > _LATE * self.interval + _GRACE:
            found.append(f"the registry has not been read for {silent:.0f} s")
        if self.workers and not self.workers.alive:
            found.append("a worker has ended and waits to be started again")
        return found


def watch(
    workspace: Workspace,
    registry: Registry,
    signers: Signers,
    plan: Plan,
    say: Callable[[str], None],
) -> None:
    """Watch until something interrupts it; OwnerError where it cannot begin."""
    with ExitStack() as held:
        mailbox = held.enter_context(open_mailbox(workspace.mailbox))
        metrics = Metrics()
        watched = made(workspace, registry, signers, plan, say, mailbox, metrics)
        with open_ledger(workspace.ledger) as ledger:
            vendors = len(ledger.vendors())
        below = f"{plan.prefix.strip('/')}/" if plan.prefix.strip("/") else ""
        say(f"Watching for {vendors} vendors, whose repositories are {below}VENDOR/ANYTHING.")
        sweep(workspace)  # what a killed watcher was receiving
        workspace.pulls.mkdir(mode=0o700, exist_ok=True)
        if plan.listen:
            answers = Answers(watched.ill, metrics.text, _hint(watched), plan.token)
            port = held.enter_context(listening(plan.listen, answers))
            say(f"Listening at {plan.listen[0]} port {port}.")
        if plan.work:
            slots = max(1, len(workspace.settings().resources.slots))
            watched.workers = held.enter_context(working(plan.work, slots, metrics, say))
        while True:
            watched.step()
            watched.hinted.wait(_TICK)
            time.sleep(_TICK if watched.hinted.is_set() else 0)


def _hint(watched: Watch) -> Callable[[], None]:
    def hint() -> None:
        watched.metrics.add("hints")
        watched.hinted.set()

    return hint


def made(  # noqa: PLR0913, PLR0917 - a watch is made of all of these
    workspace: Workspace,
    registry: Registry,
    signers: Signers,
    plan: Plan,
    say: Callable[[str], None],
    mailbox: Mailbox,
    metrics: Metrics,
) -> Watch:
    """Return a watch over a registry, with nothing done yet."""
    trains = open_dataset(workspace.data).training is not None
    phases = plan.phases or ("both" if trains else "baseline")
    troubles = Troubles(metrics, say)
    taker = Taker(workspace, registry, mailbox, signers, phases, metrics, say)
    rounds = Rounds(
        workspace, registry, mailbox, taker, plan.prefix, plan.repositories, metrics, troubles, say
    )
    sender = Sender(workspace, registry, mailbox, plan.prefix, metrics, troubles, say)
    return Watch(workspace, signers, rounds, sender, metrics, troubles, say, plan.interval)

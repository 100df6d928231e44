"""What the entries of a log mean one after the other, for a board.

    history = History(log)
    for fact in facts(...): history.add(fact)      VerificationError where one contradicts another

A log in which a result names somebody else's submission, or a submission ends twice, was not
written by this program: no board is made from it. A submission that has not ended is no
contradiction; the board says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from evaluator.board.entries import Outcome, Received
from evaluator.board.values import Aborted
from evaluator.errors import VerificationError
from evaluator.log.checkpoint import Checkpoint
from evaluator.log.entries import KeyRing
from evaluator.log.statements import (
    HoldoutCommitment,
    KeyChange,
    PolicyChange,
    ResultWithdrawn,
    RunAborted,
    WindowPublished,
)

if TYPE_CHECKING:
    from evaluator.board.entries import Fact, Measured
    from evaluator.board.values import Log
    from evaluator.log.statements import Rules


@dataclass
class History:
    """What the first `size` entries of a log say; positions are the keys of everything.

    `ended` leads from a submission to what came of it, `published` is as `Board.published` has it.
    """

    log: Log
    size: int = 0
    rules: Rules | None = None
    published: str | None = None
    commitments: dict[int, HoldoutCommitment] = field(default_factory=dict)
    received: dict[int, Received] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    aborted: list[Aborted] = field(default_factory=list)
    _ring: KeyRing = field(default_factory=KeyRing)
    _changing: bool = False
    _runs: set[str] = field(default_factory=set)

    @property
    def open(self) -> tuple[int, ...]:
        """Submissions that have not ended."""
        return tuple(position for position in self.received if position not in self.ended)

    def add(self, fact: Fact) -> None:
        """Take in the next entry; VerificationError where it contradicts those before it."""
        position = self.size
        if isinstance(fact.said, bytes):
            self._change_key(position, fact.said)
        elif fact.keyid != self._ring.current or self._changing:
            raise self._wrong("is signed by a key that was not in force")
        match fact.said:
            case Received() as received:
                self.received[position] = received
            case Outcome() as outcome:
                self._end(position, outcome)
            case RunAborted() as aborted:
                self._abort(position, aborted)
            case ResultWithdrawn() as withdrawn:
                self._withdraw(withdrawn)
            case said:
                self._announce(said)
        self.size += 1

    def _announce(self, said: object) -> None:
        """The owner's words on everything: the holdout, the rules, the end of the window."""
        match said:
            case HoldoutCommitment() as committed:
                if self.commitments.setdefault(committed.predicate.version, committed) != committed:
                    raise self._wrong("commits to a second holdout of the same version")
            case PolicyChange(predicate=rules):
                if self.rules and rules.window != self.rules.window:
                    self.published = None  # another window: blind again
                self.rules = rules
            case WindowPublished() as published:
                self._publish(published)

    def _change_key(self, position: int, envelope: bytes) -> None:
        statement = self._ring.read(position, envelope).statement
        assert isinstance(statement, KeyChange)  # noqa: S101 - a fact of bytes is one
        self._changing = statement.predicate.key.keyid != self._ring.current

    def _end(self, position: int, outcome: Outcome) -> None:
        row, measured = outcome.row, outcome.measured
        if outcome.origin != self.log.checkpoint.origin:
            raise self._wrong("is a result of another log")
        submission = self._submission(row.received, row.vendor, row.digest)
        if submission.adapted != row.adapted:
            raise self._wrong("is of another model than was received")
        if row.run in self._runs:
            raise self._wrong("is the second result of a run")
        committed = self.commitments.get(measured.version)
        if committed is None or not _fits(measured, committed):
            raise self._wrong("is measured on a holdout that the log does not commit to")
        self._runs.add(row.run)
        self.ended[row.received] = position
        self.outcomes[position] = replace(outcome, row=replace(row, offer=submission.offer))

    def _abort(self, position: int, statement: RunAborted) -> None:
        said = statement.predicate
        self._submission(said.received, said.vendor, statement.subject[0].digest.sha256)
        self.ended[said.received] = position
        self.aborted.append(Aborted(position, said.received, said.vendor, said.reason))

    def _withdraw(self, statement: ResultWithdrawn) -> None:
        said = statement.predicate
        outcome = self.outcomes.get(said.result)
        named = (said.run, said.vendor, statement.subject[0].digest.sha256)
        if outcome is None or named != (outcome.row.run, outcome.row.vendor, outcome.row.digest):
            raise self._wrong("withdraws what is no earlier result of that run and vendor")
        if outcome.row.withdrawn is not None:
            raise self._wrong("withdraws a result again")
        row = replace(outcome.row, withdrawn=said.reason)
        self.outcomes[said.result] = replace(outcome, row=row)

    def _publish(self, statement: WindowPublished) -> None:
        said = statement.predicate
        at = Checkpoint(self.log.checkpoint.origin, said.size, bytes.fromhex(said.root))
        named = sha256(at.text().encode()).hexdigest() == statement.subject[0].digest.sha256
        if not named or said.size > self.size or self.log.root(said.size) != at.root:
            raise self._wrong("publishes another log than this one")
        if self.rules is None or said.closes != self.rules.window.closes:
            raise self._wrong("publishes a window of other days")
        self.published = said.early_reason or ""

    def _submission(self, received: int, vendor: str, digest: str) -> Received:
        """What was received there, which has now ended."""
        submission = self.received.get(received)
        if submission is None or (submission.vendor, submission.digest) != (vendor, digest):
            raise self._wrong("ends what is no earlier submission of that vendor and those bytes")
        if received in self.ended:
            raise self._wrong("ends a submission that has ended already")
        return submission

    def _wrong(self, complaint: str) -> VerificationError:
        return VerificationError(
            f"Entry {self.size} of the log {complaint}. No honest evaluator writes such a "
            "log: make no board of it, and ask its owner."
        )


def _fits(measured: Measured, committed: HoldoutCommitment) -> bool:
    """Whether the holdout of a result is the one that was committed to."""
    said, holdout = committed.predicate, measured.holdout
    return (measured.commitment, holdout.tiles, holdout.classes) == (
        committed.subject[0].digest.sha256,
        said.count,
        said.classes,
    )

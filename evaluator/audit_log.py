"""The half of an audit that needs the log alone: read it whole, and hold it against itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evaluator.errors import VerificationError
from evaluator.kinds import KINDS
from evaluator.log.checkpoint import open_checkpoint
from evaluator.log.entries import read_log
from evaluator.log.statements import (
    HoldoutCommitment,
    KeyChange,
    PolicyChange,
    RunAborted,
    SubmissionReceived,
)
from evaluator.result import PREDICATE_TYPE, Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.log.entries import Entry
    from evaluator.log.store import LogReader


@dataclass
class ReadLog:
    """The log, read once; `first` knows the position of each name, `ends` what each ended in."""

    entries: list[Entry] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)
    received: dict[int, SubmissionReceived] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)


def require_continues(reader: LogReader, earlier: bytes) -> None:
    """Step 2: the log begins as an earlier checkpoint says it did."""
    before = open_checkpoint(earlier, reader.verifier)
    if before.size > reader.checkpoint.size or reader.root(before.size) != before.root:
        raise VerificationError(
            f"Step 2: an earlier checkpoint has {before.size} entries that this log does not begin "
            "with. Something was dropped or altered since, or there are two logs."
        )


def read_whole(reader: LogReader) -> ReadLog:
    """Steps 1 and 3: read each entry by the key in force; VerificationError where one has none.

    The reader holds each against its tile, and that against the root of the checkpoint.
    """
    found = ReadLog()
    for entry in read_log(reader.entries(0, reader.checkpoint.size)):
        found.entries.append(entry)
        found.first.setdefault(entry.name, entry.position)
        if isinstance(entry.statement, SubmissionReceived):
            found.received[entry.position] = entry.statement
        if (received := _received_of(entry)) is not None:
            found.ends.setdefault(received, entry.position)
    return found


def _received_of(entry: Entry) -> int | None:
    """Which received submission an entry ends."""
    if isinstance(entry.statement, Result):
        return entry.statement.predicate.log.received
    return entry.statement.predicate.received if isinstance(entry.statement, RunAborted) else None


def results_of(log: ReadLog) -> Iterator[tuple[Entry, Result]]:
    """Yield the results, with their entries."""
    for entry in log.entries:
        if isinstance(entry.statement, Result):
            yield entry, entry.statement


def sums(log: ReadLog) -> Iterator[str]:
    """Step 3: results add up."""
    for entry, result in results_of(log):
        try:
            KINDS[PREDICATE_TYPE].require_sums(_plain(result))
        except VerificationError as error:
            yield f"The result at {entry.position} does not add up. {error}"


def _plain(result: Result) -> dict[str, Any]:
    predicate: dict[str, Any] = result.model_dump(mode="json", by_alias=True)["predicate"]
    return predicate


def ends(log: ReadLog) -> Iterator[str]:
    """Step 4: an end is of one submission, received before it, and the only one."""
    for entry in log.entries:
        position = _received_of(entry)
        if position is None:
            continue
        received = log.received.get(position)
        if received is None or position > entry.position:
            yield f"Entry {entry.position} ends a submission that was not received before it."
        elif log.ends[position] != entry.position:
            yield f"Entry {entry.position} ends the submission at {position} a second time."
        elif _who(entry) != (received.predicate.vendor, received.subject[0].digest.sha256):
            yield f"Entry {entry.position} ends the submission at {position} as another one."


def _who(entry: Entry) -> tuple[str, str]:
    said = entry.statement
    assert isinstance(said, Result | RunAborted)  # noqa: S101 - an end is one of the two
    return said.predicate.vendor, said.subject[0].digest.sha256


def rules(log: ReadLog) -> Iterator[str]:
    """Step 5: results are under rules and on holdouts of the log; no key is dated back."""
    policies: list[frozenset[str]] = []
    holdouts: set[str] = set()
    latest = ""
    for entry in log.entries:
        match entry.statement:
            case PolicyChange(subject=subject):
                policies.append(frozenset(each.digest.sha256 for each in subject))
            case HoldoutCommitment(subject=subject):
                holdouts.add(subject[0].digest.sha256)
            case SubmissionReceived(predicate=said):
                latest = max(latest, said.received)
            case KeyChange(predicate=said) if said.not_before < latest:
                yield f"The key at {entry.position} is dated before entries of the key before it."
            case Result(predicate=result):
                policy = result.policy
                digests = {
                    each.sha256 for each in (policy.sandbox, policy.seccomp, policy.admission)
                }
                at = f"The result at {entry.position}"
                if digests not in policies:
                    yield f"{at} was run under rules that no entry before it states."
                if result.dataset.holdout_commitment.digest.sha256 not in holdouts:
                    yield f"{at} is of a holdout that no entry before it commits to."

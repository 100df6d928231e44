"""The half of an audit that holds the log against the ledger, results/, rules and keys."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from evaluator.audit_log import ReadLog, results_of
from evaluator.bundle import fingerprint, load_public_key
from evaluator.errors import OwnerError
from evaluator.in_force import commitment, rules_of
from evaluator.keys import read_trust
from evaluator.leakage import tenths
from evaluator.ledger import open_ledger
from evaluator.log.statements import (
    HoldoutCommitment,
    KeyChange,
    PolicyChange,
)
from evaluator.record import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.ledger import Contents, RunRow, SubmissionRow
    from evaluator.log.entries import Entry
    from evaluator.log.statements import SubmissionReceived
    from evaluator.result import Result
    from evaluator.workspace import Workspace


def against_workspace(workspace: Workspace, log: ReadLog, now: dt.datetime) -> Iterator[str]:
    """Yield what the workspace has otherwise than its log: steps 6 to 8 of an audit."""
    with open_ledger(workspace.ledger) as ledger:
        contents, known = ledger.contents(), ledger.names()
    slot = dt.timedelta(hours=workspace.settings().publish.release_every_hours)
    yield from _names(log, known)
    yield from _submissions(log, contents)
    yield from _runs(log, contents)
    yield from _overdue(log, contents, slot, now)
    yield from _files(workspace, log, contents)
    yield from _present(workspace, log)


def _names(log: ReadLog, known: dict[str, int]) -> Iterator[str]:
    for name in sorted(known.keys() | log.first.keys()):
        if known.get(name, -1) > max(log.first.values(), default=-1):
            yield f"The ledger knows an entry {name} beyond the end of the log: it was cut short."
        elif name in known and log.first.get(name) != known[name]:
            yield f"The ledger has {name} at {known[name]}, and the log does not."


def _submissions(log: ReadLog, contents: Contents) -> Iterator[str]:
    rows = {row.id: row for row in contents.submissions}
    numbers = _numbers(log)
    for position, received in log.received.items():
        yield from _submission(position, received, rows)
    for row in contents.submissions:
        waits = row.state in {"queued", "running", "done", "refused"}
        if waits and row.id not in numbers:
            yield f"Submission {row.id} is {row.state} in the ledger and was never logged."


def _numbers(log: ReadLog) -> dict[int | None, int]:
    """Where each submission was received, by its number."""
    return {each.predicate.number: at for at, each in log.received.items()}


def _runs(log: ReadLog, contents: Contents) -> Iterator[str]:
    rows = {row.run: row for row in contents.runs}
    for entry, result in results_of(log):
        yield from _run(entry, result, rows)
    numbers, adapted = _numbers(log), {each.predicate.run for each in log.received.values()}
    for run in contents.runs:
        logged = run.submission in numbers if run.submission else run.run in adapted
        if run.state == "released" and not logged:
            yield f"Run {run.run} has a result and its submission was never logged."


def _overdue(
    log: ReadLog, contents: Contents, slot: dt.timedelta, now: dt.datetime
) -> Iterator[str]:
    """Ends that the log should have had a slot ago, and that `evaluator log publish` enters."""

    def late(ended: str) -> bool:
        return bool(ended) and dt.datetime.fromisoformat(ended) + 2 * slot < now

    entered = {result.predicate.run for _, result in results_of(log)}
    for run in contents.runs:
        if run.state == "released" and run.run not in entered and late(run.ended):
            yield f"The result of run {run.run} was due a slot ago and is not in the log."
    numbers = _numbers(log)
    for row in contents.submissions:
        position = numbers.get(row.id)
        if row.state == "aborted" and late(row.ended) and position and position not in log.ends:
            yield f"Submission {row.id} was aborted; that was due a slot ago and is not in the log."


def _submission(
    position: int, received: SubmissionReceived, submissions: dict[int, SubmissionRow]
) -> Iterator[str]:
    said = received.predicate
    if said.number is None:
        return
    row = submissions.get(said.number)
    # It was aborted before the ledger had the digest, or the ledger has the same.
    digests = {"", received.subject[0].digest.sha256}
    if row is None:
        yield f"Submission {said.number}, received at {position}, is not in the ledger."
    elif (row.vendor, row.phases) != (said.vendor, said.phases) or row.sha256 not in digests:
        yield f"Submission {said.number}, received at {position}, is another one in the ledger."


def _run(entry: Entry, result: Result, runs: dict[str, RunRow]) -> Iterator[str]:
    said = result.predicate
    row = runs.get(said.run)
    if row is None:
        yield f"Run {said.run}, whose result is at {entry.position}, is not in the ledger."
        return
    statuses, charges = outcome_of(said)
    same = (row.vendor, row.state, row.statuses, row.charges, row.tenths) == (
        said.vendor,
        "released",
        statuses,
        charges,
        tenths(said.leakage_bits.run),
    )
    if not same:
        yield (
            f"Run {said.run} has another vendor, status, charge or number of bits in the ledger "
            f"than in its result at {entry.position}."
        )


def _files(workspace: Workspace, log: ReadLog, contents: Contents) -> Iterator[str]:
    there = {path.name.partition(".")[0]: path for path in workspace.results()}
    for entry, result in results_of(log):
        path = there.pop(result.predicate.run, None)
        if path is None:
            yield f"The result at {entry.position} is missing from results/."
        elif path.read_bytes() != entry.bundle:
            yield f"The result at {entry.position} is another one in results/."
    released = {row.run for row in contents.runs if row.state == "released"}
    for run in sorted(there.keys() - released):
        yield f"results/ has a result of a run {run} that the ledger does not know."
    gone = released - {path.name.partition(".")[0] for path in workspace.results()}
    for run in sorted(gone - {result.predicate.run for _, result in results_of(log)}):
        yield f"The result of run {run}, not in the log yet, is missing from results/."


def _present(workspace: Workspace, log: ReadLog) -> Iterator[str]:
    keys = {
        entry.statement.predicate.key.keyid: entry.statement.predicate
        for entry in log.entries
        if isinstance(entry.statement, KeyChange)
    }
    policies = [e.statement for e in log.entries if isinstance(e.statement, PolicyChange)]
    commitments = [e.statement for e in log.entries if isinstance(e.statement, HoldoutCommitment)]
    if policies and rules_of(workspace, workspace.settings()) != policies[-1]:
        yield "The rules in evaluator.toml and policies/ are not those that the log has last."
    try:
        if commitments and commitment(workspace) not in commitments:
            yield "The holdout in data/ is not one that the log commits to."
    except OwnerError as error:
        yield f"The holdout in data/ cannot be read: {error}"
    current = fingerprint(load_public_key(workspace.public_key.read_bytes()))
    if keys and current != [*keys][-1]:
        yield "The signing key in keys/ is not the one that the log has last."
    for key in read_trust(workspace).keys:
        stated = keys.get(key.keyid)
        if stated is None and keys:
            yield f"keys/trust.toml trusts {key.keyid}, which the log never introduced."
        elif stated and key.not_before < dt.datetime.fromisoformat(stated.not_before):
            yield f"keys/trust.toml dates {key.keyid} back to before the log introduced it."

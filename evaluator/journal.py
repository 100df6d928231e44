"""The log of a workspace, written: what is entered when, and what each vendor receives of it.

    log_received(workspace, signers, queued)  a submission is here, and nothing of it has run
    log_started(workspace, signers, queued)   the rules of its run are in the log, and so is it
    log_adapted(workspace, signers, ...)      the same, of the owner's own run
    publish_log(workspace, signers, ...)      what is due is entered, witnessed and served
    publish_window(workspace, signers, ...)   the window is over: anyone may read the entries
    withdraw(...), key_changed(...)

A submission is entered at once, for its vendor chose the moment. What came of it is entered when
its release slot has ended, in the order in which submissions came, and never at the end of a run:
when the log grows must not say how long a run took. So an end that is due is entered by whatever
enters or publishes next.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import OwnerError
from evaluator.log.cosigning import collect
from evaluator.log.note import parse_vkey
from evaluator.log.statements import (
    HandedIn,
    Opened,
    ResultWithdrawn,
    SubmissionReceived,
    WindowPublished,
    Withdrawn,
)
from evaluator.logbook import open_logbook
from evaluator.outbox import refresh, send, serve
from evaluator.predicate import DigestSet, LogPosition, Offer
from evaluator.result import Result

if TYPE_CHECKING:
    from evaluator.adapted import Adapted
    from evaluator.keys import Change
    from evaluator.ledger import Queued
    from evaluator.logbook import Logbook
    from evaluator.signers import Signers
    from evaluator.workspace import Workspace


def log_received(workspace: Workspace, signers: Signers, queued: Queued) -> int:
    """Enter that a submission was received, hand its vendor the proof, and return its position."""
    with open_logbook(workspace, signers) as book:
        book.release(_now())
        book.rules()
        return _receive(book, queued)


def log_started(workspace: Workspace, signers: Signers, queued: Queued) -> LogPosition:
    """See that the rules of a run are in the log, and its submission; return where that is."""
    with open_logbook(workspace, signers) as book:
        book.rules()
        position = book.ledger.position(f"received/{queued.id}")
        if position is None:  # it waits since before there was a log
            position = _receive(book, queued)
        return LogPosition(origin=book.settings.log.origin, received=position)


def log_adapted(
    workspace: Workspace, signers: Signers, run: str, adapted: Adapted, trained: str
) -> LogPosition:
    """Enter that the owner runs, as `run`, the model that the run `trained` has trained."""
    received = adapted.received
    with open_logbook(workspace, signers) as book:
        book.rules()
        said = HandedIn(
            number=None,
            run=run,
            vendor=adapted.vendor,
            kind=received.kind,
            digest_of=received.digest_of,
            phases="baseline",
            recipe=None,
            adapted=trained,
            offer=None,
            received=_text(_now()),
        )
        position = book.enter([SubmissionReceived.of({"submission": received.sha256}, said)])
        return LogPosition(origin=book.settings.log.origin, received=position)


def _receive(book: Logbook, queued: Queued) -> int:
    recipe = queued.recipe and DigestSet(sha256=hashlib.sha256(queued.recipe).hexdigest())
    price = book.ledger.vendor(queued.vendor).price
    currency = book.settings.fees.currency
    said = HandedIn(
        number=queued.id,
        run=None,
        vendor=queued.vendor,
        kind=queued.kind,
        digest_of=queued.digest_of,
        phases=queued.phases,
        recipe=recipe or None,
        adapted=None,
        offer=None if price is None else Offer(currency=currency, per_km2=price),
        received=_text(_now()),
    )
    position = book.enter([SubmissionReceived.of({"submission": queued.sha256}, said)])
    send(book, position)
    return position


@dataclass(frozen=True, slots=True)
class Served:
    """What `publish_log` did: the log's size, its witnesses, and results that are missing."""

    size: int
    witnesses: tuple[str, ...]
    failures: tuple[str, ...]
    missing: tuple[str, ...]


def publish_log(workspace: Workspace, signers: Signers) -> Served:
    """Enter what is due, have the log witnessed, and serve its checkpoint and hash tiles.

    Raises OwnerError, with nothing new served, where fewer witnesses than the quorum signed.
    """
    with open_logbook(workspace, signers) as book:
        book.release(_now())
        book.rules()
        return _serve(book)


def _serve(book: Logbook) -> Served:
    rules, log = book.settings.log, book.log
    witnesses = [(each.url, each.key) for each in rules.witnesses]
    lines, failures = collect(log, witnesses, book.workspace.log / "witnesses.json")
    if len(lines) < rules.quorum:
        raise OwnerError(
            f"{len(lines)} of the {rules.quorum} witnesses needed have signed the log, so its new "
            f"state is not served: {'; '.join(failures)}. Try again later, or change log.quorum."
        )
    log.add_cosignatures(lines, [parse_vkey(each.key) for each in rules.witnesses])
    refresh(book, anew=bool(lines))
    serve(book)
    return Served(log.checkpoint.size, tuple(lines), tuple(failures), tuple(book.missing()))


def publish_window(
    workspace: Workspace, signers: Signers, early_reason: str | None = None
) -> Served:
    """Enter that the window is over, and serve the entries of the log to anyone.

    Before its last day has passed, or while a submission has not ended, only for a reason, which
    is entered as well: OwnerError without one.
    """
    with open_logbook(workspace, signers) as book:
        book.release(_now())
        book.rules()
        closes = book.settings.window.closes
        trouble = _not_yet(book)
        if trouble and not early_reason:
            raise OwnerError(
                f"The leaderboard cannot be published yet: {trouble} To publish all the same, give "
                "the reason (--early), which the log will state."
            )
        before = book.log.checkpoint
        text = before.text().encode()
        opened = Opened(
            size=before.size,
            root=before.root.hex(),
            closes=str(closes),
            early_reason=early_reason if trouble else None,
        )
        subject = {"checkpoint": hashlib.sha256(text).hexdigest()}
        book.enter([WindowPublished.of(subject, opened)])
        return _serve(book)


def _not_yet(book: Logbook) -> str:
    """Say why the window is not over, if it is not."""
    closes = book.settings.window.closes
    if _now().date() <= closes:
        return f"the window closes at the end of {closes} (UTC)."
    if missing := book.missing():
        return f"the signed results of {', '.join(missing)} are missing from results/."
    if waiting := book.ledger.wanted():
        return f"{len(waiting)} submissions have not ended; `evaluator work` runs what waits."
    if due := book.ledger.unlogged():
        return f"{len(due)} results are not released yet; the last slot ends within a day or so."
    return ""


def withdraw(workspace: Workspace, signers: Signers, run: str, reason: str) -> int:
    """Enter that the result of a run should no longer be relied on, and return the position."""
    with open_logbook(workspace, signers) as book:
        book.rules()
        position, result = _result(book, run)
        if book.ledger.position(f"withdrawn/{run}") is not None:
            raise OwnerError(f"The result of {run} is withdrawn already.")
        said = Withdrawn(result=position, run=run, vendor=result.predicate.vendor, reason=reason)
        subject = {"submission": result.subject[0].digest.sha256}
        entered = book.enter([ResultWithdrawn.of(subject, said)])
        send(book, entered)
        return entered


def _result(book: Logbook, run: str) -> tuple[int, Result]:
    """Where the log has the result of a run; OwnerError where it has none."""
    if row := book.ledger.run(run):
        received = book.ledger.position(f"received/{row.received}")
        position = book.ledger.position(f"end/{received}")
        if position is not None:
            statement = book.read(position).statement
            if isinstance(statement, Result):
                return position, statement
    raise OwnerError(
        f"The log has no result of a run {run}. A result enters it when its release slot has ended "
        "(`evaluator log publish`); `evaluator runs` lists the runs."
    )


def key_changed(workspace: Workspace, signers: Signers, change: Change) -> None:
    """Enter a change of keys, by the old key and by the new, unless the log has it already."""
    with open_logbook(workspace, signers) as book:
        if book.ring.current == signers.result.public_key.keyid:
            return  # a change that was killed had come this far
        begin = [] if book.ring.current else [change.first]
        book.append([*begin, change.by_old, change.by_new])


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

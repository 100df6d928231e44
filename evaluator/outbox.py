"""What leaves the log: to each vendor its own entries, to anyone what may be served.

    outbox/VENDOR/NAME.sigstore.json + NAME.tlog-proof    the vendor's entries, with proofs
    public/log/                                           checkpoint and hash tiles
    public/log/tile/entries/                              the entries, once the window is published,
    public/log/published                                  and the checkpoint that covers them

A hash tells nothing of its entry, which holds a signature that nobody can guess. Files that are
served stay: who reads an older checkpoint finds the tiles of its size.
"""

from __future__ import annotations

import shutil
from dataclasses import replace as replace_fields
from typing import TYPE_CHECKING

from evaluator.files import replace
from evaluator.keys import read_trust
from evaluator.log.folder import PUBLISHED
from evaluator.log.note import parse_vkey
from evaluator.log.statements import ResultWithdrawn, RunAborted, SubmissionReceived
from evaluator.log.tiles import paths
from evaluator.result import Result
from evaluator.trust import dump_trust

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.log.entries import Entry
    from evaluator.logbook import Logbook
    from evaluator.settings import Settings
    from evaluator.trust import Trust
    from evaluator.workspace import Workspace


def send(book: Logbook, position: int, *, anew: bool = True) -> None:
    """Give a vendor its entry at `position`, and the proof that the log has it.

    Nobody gets the owner's own. Unless `anew`, what the vendor has already stays.
    """
    entry = book.read(position)
    if (addressed := _address(book, entry)) is None:
        return
    vendor, name = addressed
    box = book.workspace.outbox(vendor)
    if not anew and (box / f"{name}.tlog-proof").exists():
        return
    box.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace(box / f"{name}.sigstore.json", entry.bundle)
    replace(box / f"{name}.tlog-proof", book.log.proof(position))


def refresh(book: Logbook, *, anew: bool) -> None:
    """Give vendors what a kill has kept from them of all entered since the log was last served.

    With `anew` they get all of that again: the checkpoint has cosignatures now.
    """
    for position in range(_served(book), book.log.checkpoint.size):
        send(book, position, anew=anew)


def _address(book: Logbook, entry: Entry) -> tuple[str, str] | None:
    """Whose an entry is, and under which name it is sent; None for the owner's own."""
    match entry.statement:
        case SubmissionReceived(predicate=said) if said.number is not None:
            return said.vendor, f"submission-{said.number}"
        case Result(predicate=result):
            return result.vendor, result.run
        case ResultWithdrawn(predicate=withdrawn):
            return withdrawn.vendor, f"{withdrawn.run}-withdrawn"
        case RunAborted(predicate=aborted):
            received = book.read(aborted.received).statement
            if isinstance(received, SubmissionReceived) and received.predicate.number is not None:
                return aborted.vendor, f"submission-{received.predicate.number}-aborted"
    return None


def _served(book: Logbook) -> int:
    """The size of the log as it was last served."""
    checkpoint = book.workspace.public / "log" / "checkpoint"
    if not checkpoint.exists():
        return 0
    return int(checkpoint.read_text().split("\n")[1])


def serve(book: Logbook) -> None:
    """Copy what may be served of the log to public/log, its checkpoint last."""
    public, log = book.workspace.public / "log", book.workspace.log
    size = book.log.checkpoint.size
    # What comes after the end of a window is of the next one, and nobody reads it before its end.
    published = [*book.ledger.positions("published")][-1:] == [size - 1]
    # What a killed append left beyond the checkpoint is none of these.
    for name in paths(size, entries=published):
        if not (public / name).exists():
            _copy(log / name, public / name)
    if published:
        replace(public / PUBLISHED, book.log.note, 0o644)
    replace(public / "checkpoint", book.log.note, 0o644)
    trust = dump_trust(published_trust(book.workspace, book.settings))
    replace(public.parent / "trust.toml", trust, 0o644)


def published_trust(workspace: Workspace, settings: Settings) -> Trust:
    """Return whom a reader has to believe: the owner's keys, and the witnesses now asked for."""
    own = read_trust(workspace)
    witnesses = tuple(parse_vkey(each.key) for each in settings.log.witnesses)
    return replace_fields(own, witnesses=witnesses, quorum=settings.log.quorum)


def _copy(source: Path, target: Path) -> None:
    """Copy a tile, whole or not at all, readable by a web server."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    part.chmod(0o644)
    part.rename(target)

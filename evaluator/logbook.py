"""The log and the ledger of a workspace, open together: what is entered is known in both.

The ledger knows entries by name, and is filled anew from the log where it knows less. Both are
written under the lock of the log, the log first.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.bundle import envelope_of
from evaluator.errors import OwnerError, VerificationError
from evaluator.in_force import commitment, first_key, rules_of
from evaluator.keys import read_trust, resigned
from evaluator.leakage import release_time
from evaluator.ledger import RunRow, open_ledger
from evaluator.log.entries import KeyRing
from evaluator.log.statements import Aborted, RunAborted, SubmissionReceived
from evaluator.log.store import open_log
from evaluator.outbox import send
from evaluator.signing import sign

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evaluator.ledger import Ledger
    from evaluator.log.entries import Entry
    from evaluator.log.statements import Statement
    from evaluator.log.store import Log
    from evaluator.settings import Settings
    from evaluator.signers import Signers
    from evaluator.workspace import Workspace


@dataclass
class Logbook:
    """The open log and ledger of a workspace; `ring` knows the keys that the log has introduced."""

    workspace: Workspace
    settings: Settings
    signers: Signers
    log: Log
    ledger: Ledger
    ring: KeyRing

    def enter(self, statements: Sequence[Statement]) -> int:
        """Sign and enter statements; return the position of the first."""
        return self.append([sign(each.payload(), self.signers.result) for each in statements])

    def append(self, bundles: Sequence[bytes]) -> int:
        """Enter bundles as they are, if the log's own keys have signed them."""
        envelopes = [envelope_of(bundle) for bundle in bundles]
        first = self.log.checkpoint.size
        entries = [self.ring.read(first + number, each) for number, each in enumerate(envelopes)]
        self.log.append(envelopes)
        self.ledger.note((entry.name, entry.position) for entry in entries)
        return first

    def read(self, position: int) -> Entry:
        """Return an entry of this log, whichever of its keys signed it."""
        return self.ring.again(position, self.log.entry(position))

    def rules(self) -> None:
        """See that the log has the key, the holdout and the rules that are now in force.

        Raises OwnerError where they contradict it.
        """
        due: list[Statement] = (
            [] if self.ring.current else [first_key(self.workspace, self.signers.result)]
        )
        if self.ring.current not in {None, self.signers.result.public_key.keyid}:
            raise OwnerError(
                f"The log is signed by {self.ring.current} and the key at hand is "
                f"{self.signers.result.public_key.keyid}. `evaluator key rotate` changes the key."
            )
        committed = commitment(self.workspace)
        logged = self.ledger.position(f"commitment/{committed.predicate.version}")
        if logged is None:
            due.append(committed)
        elif self.read(logged).statement != committed:
            raise OwnerError(
                f"Version {committed.predicate.version} of the holdout is not the one that the log "
                "commits to. Restore it from a backup, or import the tiles as a new version."
            )
        rules = rules_of(self.workspace, self.settings)
        before = self.ledger.positions("policy")
        if not before or self.read(before[-1]).statement != rules:
            due.append(rules)
        if due:
            self.enter(due)

    def release(self, now: dt.datetime) -> None:
        """Enter every end that is due, in the order of submissions."""
        due: list[bytes] = []
        for received, row in self.ledger.unlogged(by=f"{now:%Y-%m-%dT%H:%M:%SZ}"):
            if isinstance(row, RunRow) and row.state == "released":
                path = self.workspace.result(row.vendor, row.run)
                if path.is_file() and _released(path.read_bytes()) <= now:
                    due.append(resigned(path, read_trust(self.workspace), self.signers.result))
            elif _slot_end(row.ended, self.settings) <= now:
                due.append(self._aborted(received, row.reason))
        if due:  # together: what is entered is on the disk at once, however much it is
            first = self.append(due)
            for position in range(first, first + len(due)):
                send(self, position)

    def missing(self) -> list[str]:
        """Return the runs whose result the log awaits and nobody finds."""
        waiting = (row for _, row in self.ledger.unlogged() if isinstance(row, RunRow))
        released = (row for row in waiting if row.state == "released")
        return [
            row.run for row in released if not self.workspace.result(row.vendor, row.run).is_file()
        ]

    def _aborted(self, received: int, reason: str) -> bytes:
        """Return the bundle that says that nothing came of what was received there."""
        entry = self.read(received)
        assert isinstance(entry.statement, SubmissionReceived)  # noqa: S101 - the ledger's name of it
        said = entry.statement.predicate
        facts = {"received": received, "vendor": said.vendor, "reason": reason}
        aborted = Aborted.model_validate(facts)
        subject = {each.name: each.digest.sha256 for each in entry.statement.subject}
        return sign(RunAborted.of(subject, aborted).payload(), self.signers.result)


@contextmanager
def open_logbook(workspace: Workspace, signers: Signers) -> Iterator[Logbook]:
    """Open the log of a workspace to write in it; nobody else does meanwhile.

    Raises OwnerError where it is damaged, older than the ledger, or of another name or key.
    """
    settings = workspace.settings()
    if signers.log.verifier.name != settings.log.origin:
        raise OwnerError(
            f"The log was made as {signers.log.verifier.name} and evaluator.toml calls it "
            f"{settings.log.origin}. A log keeps its name: put it back (log.origin)."
        )
    with open_log(workspace.log, signers.log) as log, open_ledger(workspace.ledger) as ledger:
        book = Logbook(workspace, settings, signers, log, ledger, KeyRing())
        _catch_up(book)
        yield book


def _catch_up(book: Logbook) -> None:
    """Tell the ledger of entries that it does not know: a kill came between, or it is older."""
    ledger, log, ring = book.ledger, book.log, book.ring
    known, size = ledger.logged(), log.checkpoint.size
    if known > size:
        raise OwnerError(
            f"The log has {size} entries and the ledger knows {known}: an older state of the "
            "log was put back. Restore the newest; vendors hold proofs of what is missing."
        )
    try:
        for position in ledger.positions("key"):
            ring.read(position, log.entry(position))
        missing = range(known, size)
        found = [(ring.read(position, log.entry(position)).name, position) for position in missing]
        if found:
            ledger.note(found)
    except VerificationError as error:
        raise OwnerError(f"The log is damaged. {error} Restore it from a backup.") from error


def _released(bundle: bytes) -> dt.datetime:
    """When a result of ours may leave."""
    payload = base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])
    return dt.datetime.fromisoformat(json.loads(payload)["predicate"]["release"]["at"])


def _slot_end(ended: str, settings: Settings) -> dt.datetime:
    """The end of the release slot in which something ended."""
    slot = settings.publish.release_every_hours * 3600
    moment = dt.datetime.fromisoformat(ended).timestamp()
    return dt.datetime.fromisoformat(release_time(moment, slot))

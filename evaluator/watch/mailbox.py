"""What the watcher remembers: which digests it has seen where, and what it has attached to them.

    with open_mailbox(workspace.mailbox) as mailbox:
        mailbox.remember(place, vendor, kind, sha256)      a manifest in a vendor's repository
        mailbox.places(vendor, sha256)                     where that submission lies
        mailbox.note_attached(place, name, content, ...)   so that it is not attached again

One process has it at a time. None of it is the truth: what was handed in stands in the ledger, so a
lost mailbox fills itself again, and what it attaches a second time is there already.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from evaluator.errors import OwnerError
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Kind = Literal["image", "onnx", "other"]

FORMAT = 1
_SCHEMA = (
    """
CREATE TABLE seen (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    vendor TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('image', 'onnx', 'other')),
    sha256 TEXT NOT NULL,
    seen TEXT NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT
""",
    "CREATE INDEX seen_as ON seen (vendor, sha256)",
    # The same entry twice where its proof was refreshed: with the signatures of witnesses, say.
    """
CREATE TABLE attached (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    referrer TEXT NOT NULL,
    attached TEXT NOT NULL,
    PRIMARY KEY (repository, digest, name, content)
) STRICT
""",
)


@dataclass(frozen=True, slots=True)
class Place:
    """A manifest in a repository: what something can be attached to."""

    repository: str
    digest: str
    media_type: str
    size: int

    @property
    def short(self) -> str:
        """What a log line calls it."""
        return self.digest.removeprefix("sha256:")[:12]


class Mailbox:
    """An open mailbox."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def kind(self, repository: str, digest: str) -> Kind | None:
        """Return what a manifest was taken for, None where it was never seen there."""
        query = "SELECT kind FROM seen WHERE repository = ? AND digest = ?"
        row = self._connection.execute(query, (repository, digest)).fetchone()
        kind: Kind | None = row[0] if row else None
        return kind

    def remember(self, place: Place, vendor: str, kind: Kind, sha256: str) -> None:
        """Say what a manifest in a vendor's repository is; the last word stands."""
        place_values = (place.repository, place.digest, place.media_type, place.size)
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*place_values, vendor, kind, sha256, _now()),
            )

    def places(self, vendor: str, sha256: str) -> tuple[Place, ...]:
        """Return where a vendor has pushed the submission that is known by `sha256`."""
        rows = self._connection.execute(
            "SELECT repository, digest, media_type, size FROM seen "
            "WHERE vendor = ? AND sha256 = ? AND kind <> 'other' ORDER BY repository, digest",
            (vendor, sha256),
        )
        return tuple(Place(*row) for row in rows)

    def is_attached(self, place: Place, name: str, content: str) -> bool:
        """Whether these files, of this SHA-256, were attached there under this name."""
        query = (
            "SELECT 1 FROM attached "
            "WHERE repository = ? AND digest = ? AND name = ? AND content = ?"
        )
        values = (place.repository, place.digest, name, content)
        return self._connection.execute(query, values).fetchone() is not None

    def note_attached(self, place: Place, name: str, content: str, referrer: str) -> None:
        """Say that they are, as the manifest `referrer`."""
        values = (place.repository, place.digest, name, content, referrer, _now())
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO attached VALUES (?, ?, ?, ?, ?, ?)", values
            )


@contextmanager
def open_mailbox(path: Path) -> Iterator[Mailbox]:
    """Open the mailbox at `path`, or make it; OwnerError where another watcher has it."""
    with _alone(path), _explained(path):
        connection = sqlite3.connect(path)
        with closing(connection):
            connection.execute("PRAGMA synchronous = FULL")
            found = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if found not in {0, FORMAT}:
                raise OwnerError(
                    f"{path} was written by another version of this program. Use that one, or move "
                    "the file away: it fills itself again."
                )
            if not found:
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    for statement in _SCHEMA:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {FORMAT}")
            yield Mailbox(connection)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep a second watcher out: each would hand in what the other is handing in."""
    lock = path.with_suffix(".lock")
    descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise OwnerError(
            "Another `evaluator watch` has this workspace. One watcher serves all of its vendors."
        ) from error
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # primary code
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
            raise OwnerError(
                f"{path} is damaged. Move it away: what was handed in stands in the ledger, and a "
                "new one fills itself."
            ) from error
        raise SandboxError(
            f"{path} cannot be written (SQLite error {code}). Check the disk and the file's "
            "permissions."
        ) from error


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

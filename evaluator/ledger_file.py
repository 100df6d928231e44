"""The ledger's file: opened, brought to this format, and what its trouble means.

Write-ahead logging, every commit synced: a reader never waits for a writer, and what a call
committed is on the disk when it returns. The whole file is checked where it is not as this program
left it: restored, damaged, or left by a kill.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from evaluator.errors import OwnerError
from evaluator.files import sync
from evaluator.ledger_schema import FORMAT, STEPS
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_SECONDS = 30.0

_ROOM = 64 * 1024
"""Below this, a disk that fails is a full one: SQLite does not always say so."""


class _Opened(threading.local):
    """The connections of a thread, by process (a fork's are not its own) and file."""

    def __init__(self) -> None:
        self.by_file: dict[tuple[int, int, int], sqlite3.Connection] = {}


_opened = _Opened()


@contextmanager
def open_file(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the ledger's file, or make it; its trouble comes as OwnerError or SandboxError.

    Inside such a block it is the same connection once more: the last to be closed writes all that
    was committed into the file anew, and the next to be opened begins another journal.
    """
    with _explained(path):
        _make(path)
        found = path.stat()
        key = (os.getpid(), found.st_dev, found.st_ino)
        if outer := _opened.by_file.get(key):
            yield outer
            return
        # No isolation level: a transaction begins where the ledger says so.
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        with closing(connection):
            prepare(connection, whole=_as_left(path))
            _opened.by_file[key] = connection
            try:
                yield connection
            finally:
                del _opened.by_file[key]
        _leave(path)


def _state(path: Path) -> bytes:
    """What changes with a file, whoever writes it: and its name may be another's by now."""
    found = path.stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}\n".encode()


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}-checked")


def _as_left(path: Path) -> bool:
    """Whether the file is as this program has left it, checked."""
    try:
        return _note(path).read_bytes() == _state(path)
    except OSError:
        return False


def _leave(path: Path) -> None:
    """Note how the file is left. What is written of a note by halves fits no file."""
    with suppress(OSError):
        if not _as_left(path):
            _note(path).write_bytes(_state(path))


def _make(path: Path) -> None:
    """See that the file is there and its owner's alone; the journals beside it inherit that.

    An existing file is not opened: closing it again would drop the locks that another connection
    of this process holds on it.
    """
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        sync(path.parent)
    except FileExistsError:
        return
    except PermissionError as error:
        raise OwnerError(f"The ledger {path} cannot be opened: {error.strerror}.") from error


def prepare(connection: sqlite3.Connection, *, whole: bool = False) -> None:
    """Make a connection's file one of this format, and see that it is whole, unless it is known."""
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    if _format(connection) not in {*STEPS, FORMAT}:  # left as it is, journal and all
        raise OwnerError("The ledger was written by another version of this program. Use that one.")
    _log_ahead(connection)
    if _format(connection) != FORMAT:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in STEPS.get(_format(connection), ()):  # none: somebody has just done it
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
    if not whole and not (_sound(connection) and _adds_up(connection)):
        raise sqlite3.DatabaseError


def _sound(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))


def _adds_up(connection: sqlite3.Connection) -> bool:
    """Whether the sums that are kept are those of the rows, as of one moment."""
    wrong = connection.execute(
        "SELECT 1 FROM sums LEFT JOIN (SELECT state, SUM(tenths) AS sum FROM runs GROUP BY state) "
        "USING (state) WHERE tenths <> COALESCE(sum, 0)"
    )
    return wrong.fetchone() is None


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Turn write-ahead logging on. SQLite does not wait where two processes do so at once."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode not in {"wal", "memory"}:
            raise OwnerError(
                "The workspace's file system has no shared memory for the ledger. Keep the "
                "workspace on a local disk, not on a network share."
            )
        return


def _format(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the trouble of a database into words that say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # primary code
        raise _trouble(path, code) from error


def _trouble(path: Path, code: int) -> Exception:
    unclear = code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
    if code == sqlite3.SQLITE_FULL or (unclear and shutil.disk_usage(path.parent).free < _ROOM):
        return SandboxError(
            "The disk is full. Free some space, then run again: the ledger could not be written, "
            "so nothing was kept."
        )
    if code == sqlite3.SQLITE_BUSY:
        return SandboxError(
            f"Another process has held the ledger {path} for {BUSY_SECONDS:.0f} seconds. Let it "
            "end, then run again: nothing was kept."
        )
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return OwnerError(
            f"The ledger {path} cannot be written, and no result leaves without a row in it. Check "
            "the permissions of the file and its directory, and that its file system is writable."
        )
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
        return OwnerError(
            f"The ledger {path} is damaged. Restore it from a backup, or move it away: the next "
            "run adds the results that it misses."
        )
    if code == sqlite3.SQLITE_IOERR:
        return SandboxError(
            f"The disk did not take or give what the ledger {path} needs: nothing was kept. Check "
            "quotas, limits on the size of a file, and the kernel's log."
        )
    return SandboxError(f"The ledger {path} cannot be used (SQLite error {code}).")

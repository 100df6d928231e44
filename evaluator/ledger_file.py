"""The ledger's file: its tables, how an older one becomes them, and what its trouble means.

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
from typing import TYPE_CHECKING, get_args

from evaluator.errors import OwnerError
from evaluator.files import sync
from evaluator.ledger_rows import RunState, SubmissionState
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FORMAT = 3
"""PRAGMA user_version: what another version of this program would count differently.

2 knew no log and no prices, 1 had one table, of bits. 0 is a file that was just made.
"""

BUSY_SECONDS = 30.0

_ROOM = 64 * 1024
"""Below this, a disk that fails is a full one: SQLite does not always say so."""


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


_SCHEMA = (
    """
CREATE TABLE vendors (
    name TEXT PRIMARY KEY CHECK (
        length(name) BETWEEN 1 AND 63
        AND name NOT GLOB '*[^a-z0-9-]*' AND name NOT GLOB '-*'
    ),
    added TEXT NOT NULL,
    submissions INTEGER CHECK (submissions >= 0),
    per_day INTEGER CHECK (per_day >= 0),
    micro_petaflops INTEGER CHECK (micro_petaflops >= 0),
    fee_cents INTEGER CHECK (fee_cents >= 0)
) STRICT
""",
    # AUTOINCREMENT: a number is given once. Order is by these numbers, never by a clock.
    f"""
CREATE TABLE submissions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    vendor TEXT NOT NULL REFERENCES vendors,
    phases TEXT NOT NULL CHECK (phases IN ('baseline', 'both')),
    kind TEXT CHECK (kind IN ('onnx', 'image')),
    digest_of TEXT CHECK (digest_of IN ('file', 'manifest', 'config')),
    sha256 TEXT CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
    size INTEGER CHECK (size >= 0),
    content TEXT,
    recipe BLOB,
    received TEXT NOT NULL,
    day TEXT NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    state TEXT NOT NULL CHECK (state IN ({_words(get_args(SubmissionState))})),
    reason TEXT NOT NULL DEFAULT '',
    ended TEXT NOT NULL DEFAULT '',
    CHECK ((reason <> '') = (state = 'aborted')),
    CHECK ((ended <> '') = (state IN ('done', 'refused', 'aborted'))),
    CHECK (
        state IN ('receiving', 'aborted')
        OR (
            kind IS NOT NULL AND digest_of IS NOT NULL AND sha256 IS NOT NULL
            AND size IS NOT NULL AND content IS NOT NULL
        )
    )
) STRICT
""",
    # What is set aside and what is charged are never both there: a sum of all three counts a run
    # once, and an aborted one not at all.
    f"""
CREATE TABLE runs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL UNIQUE CHECK (length(run) = 16 AND run NOT GLOB '*[^0-9a-f]*'),
    submission INTEGER UNIQUE REFERENCES submissions,
    vendor TEXT NOT NULL REFERENCES vendors,
    dataset_version INTEGER NOT NULL CHECK (dataset_version >= 1),
    state TEXT NOT NULL CHECK (state IN ({_words(get_args(RunState))})),
    tenths INTEGER NOT NULL CHECK (tenths >= 0),
    micro_reserved INTEGER NOT NULL DEFAULT 0 CHECK (micro_reserved >= 0),
    micro_baseline INTEGER NOT NULL DEFAULT 0 CHECK (micro_baseline >= 0),
    micro_tuned INTEGER NOT NULL DEFAULT 0 CHECK (micro_tuned >= 0),
    fee_cents INTEGER NOT NULL DEFAULT 0 CHECK (fee_cents >= 0),
    baseline_status TEXT,
    tuned_status TEXT,
    day TEXT NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    started TEXT NOT NULL,
    ended TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    CHECK (state = 'reserved' OR micro_reserved = 0),
    CHECK (state IN ('settled', 'released') OR micro_baseline + micro_tuned + fee_cents = 0),
    CHECK (state <> 'aborted' OR tenths = 0),
    CHECK ((ended = '') = (state = 'reserved')),
    CHECK ((reason <> '') = (state = 'aborted'))
) STRICT
""",
    "CREATE INDEX submissions_of_vendor ON submissions (vendor, day, state)",
    "CREATE INDEX submissions_in_state ON submissions (state) WHERE state <> 'done'",
    "CREATE INDEX runs_of_vendor ON runs (vendor, sequence)",
    "CREATE INDEX open_runs ON runs (vendor) WHERE state IN ('reserved', 'settled')",
)

# What of the log is known here, by `Entry.name`; the log itself is the truth, and fills this anew.
_TO_3 = (
    "ALTER TABLE vendors ADD COLUMN price TEXT CHECK (price GLOB '[0-9]*')",
    "CREATE TABLE logged (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT",
    "CREATE INDEX logged_at ON logged (position)",
)

# A row that was still reserved may have been settled too (format 1 did not tell): as settled it
# can be released where its signed file is there, and be aborted where it is not.
_FROM_1 = (
    *_SCHEMA,
    """
INSERT INTO vendors (name, added)
SELECT vendor, MIN(time) FROM leakage GROUP BY vendor ORDER BY MIN(rowid)
""",
    """
INSERT INTO runs (run, vendor, dataset_version, state, tenths, day, started, ended)
SELECT run, vendor, dataset_version, iif(state = 'reserved', 'settled', state), tenths,
    substr(time, 1, 10), time, time
FROM leakage ORDER BY rowid
""",
    "DROP TABLE leakage",
)
_STEPS = {0: (*_SCHEMA, *_TO_3), 1: (*_FROM_1, *_TO_3), 2: _TO_3}
"""What makes a file of each earlier format one of this."""


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
    if _format(connection) not in {*_STEPS, FORMAT}:  # left as it is, journal and all
        raise OwnerError("The ledger was written by another version of this program. Use that one.")
    _log_ahead(connection)
    if _format(connection) != FORMAT:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _STEPS.get(_format(connection), ()):  # none: somebody has just done it
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
    if not whole and connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise sqlite3.DatabaseError


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

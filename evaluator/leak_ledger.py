"""The ledger: how many bits each run's result carries, so that their sum stays in the budget.

    with open_ledger(workspace.ledger) as ledger:
        ledger.reserve(run, vendor, version, bits, budget)   before the submission is touched
        ledger.settle(run, bits)                             before the signed file gets its name
        ledger.release(run)                                  after it has

There is one budget for all versions of a workspace's tiles, because versions share tiles. A row is
on the disk when the call returns, and a row that a killed run left is settled by whether its signed
file is there (`evaluator.record.finish_records`): so no kill loses bits, and none counts twice.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from evaluator.errors import OwnerError
from evaluator.files import sync
from evaluator.leakage import tenths
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = 1
"""PRAGMA user_version: what another version of this program would count differently."""

BUSY_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE leakage (
    run TEXT PRIMARY KEY,
    vendor TEXT NOT NULL,
    dataset_version INTEGER NOT NULL CHECK (dataset_version >= 1),
    tenths INTEGER NOT NULL CHECK (tenths >= 0),
    state TEXT NOT NULL CHECK (state IN ('reserved', 'released')),
    time TEXT NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run. `tenths` of a bit are the most it may carry while reserved, then what it carries."""

    run: str
    vendor: str
    version: int
    tenths: int
    state: Literal["reserved", "released"]
    time: str


class Ledger:
    """An open ledger; every call is one transaction, and durable when it returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def reserve(self, run: str, vendor: str, version: int, bits: float, budget: int) -> None:
        """Set aside the most that a run's result may carry; OwnerError where too little is left."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")  # nobody else adds a row after the sum
            spent = self._sum("TRUE")
            if spent + tenths(bits) > 10 * budget:
                raise OwnerError(
                    f"Results may carry {budget:,} bits about this data set. Those so far take "
                    f"{spent / 10:,} and one run may take {bits}, so nothing was run. `evaluator "
                    "leakage` shows the account; leakage_budget_bits in evaluator.toml is its size."
                )
            self._insert(Entry(run, vendor, version, tenths(bits), "reserved", _now()))

    def settle(self, run: str, bits: float) -> None:
        """Lower a reservation to the bits that its result states."""
        change = "tenths = :tenths WHERE run = :run AND state = 'reserved' AND tenths >= :tenths"
        self._update(change, run, tenths(bits))

    def release(self, run: str) -> None:
        """Say that the signed file has its name."""
        self._update("state = 'released' WHERE run = :run AND state = 'reserved'", run)

    def give_back(self, run: str) -> None:
        """Forget a reservation from which nothing came."""
        self._connection.execute("DELETE FROM leakage WHERE run = ? AND state = 'reserved'", [run])

    def adopt(self, run: str, vendor: str, version: int, bits: float) -> None:
        """Add a result that was released and is not here: the ledger is older than it."""
        self._insert(Entry(run, vendor, version, tenths(bits), "released", _now()))

    def released(self) -> float:
        """Return the bits of all results so far."""
        return self._sum("state = 'released'") / 10

    def entries(self) -> tuple[Entry, ...]:
        """Return every row, oldest first."""
        columns = "run, vendor, dataset_version, tenths, state, time"
        rows = self._connection.execute(f"SELECT {columns} FROM leakage ORDER BY rowid")  # noqa: S608 - a literal
        return tuple(Entry(*row) for row in rows)

    def _sum(self, which: str) -> int:
        query = f"SELECT COALESCE(SUM(tenths), 0) FROM leakage WHERE {which}"  # noqa: S608 - literals
        return int(self._connection.execute(query).fetchone()[0])

    def _insert(self, entry: Entry) -> None:
        values = (entry.run, entry.vendor, entry.version, entry.tenths, entry.state, entry.time)
        self._connection.execute("INSERT INTO leakage VALUES (?, ?, ?, ?, ?, ?)", values)

    def _update(self, change: str, run: str, tenths: int = 0) -> None:
        values = {"run": run, "tenths": tenths}
        done = self._connection.execute(f"UPDATE leakage SET {change}", values)  # noqa: S608 - literals
        if done.rowcount != 1:
            raise SandboxError(
                "The ledger no longer holds this run as reserved, so its result was not released. "
                "Does another host work on the same workspace?"
            )


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Open the ledger at `path`, or make it.

    Raises OwnerError where it is damaged, cannot be written or is of another version, SandboxError
    where the disk is full or another process does not let go of it.
    """
    with _explained(path):
        _make(path)
        # No isolation level: a transaction begins where this module says so.
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        with closing(connection):
            _prepare(connection)
            yield Ledger(connection)


def _make(path: Path) -> None:
    """See that the file is there and its owner's alone; the journal beside it inherits that."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync(path.parent)
    except PermissionError as error:
        raise OwnerError(f"The ledger {path} cannot be opened: {error.strerror}.") from error


def _prepare(connection: sqlite3.Connection) -> None:
    # EXTRA is FULL, and syncs the directory after the journal is gone: without that a power cut
    # could bring the journal back, and with it undo what was committed.
    connection.execute("PRAGMA synchronous = EXTRA")
    if _format(connection) != FORMAT:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if _format(connection) == 0:  # new, and nobody else has just made it
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {FORMAT}")
    if _format(connection) != FORMAT:
        raise OwnerError("The ledger was written by another version of this program. Use that one.")
    if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise sqlite3.DatabaseError


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
    if code == sqlite3.SQLITE_FULL:
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
    return SandboxError(f"The ledger {path} cannot be used (SQLite error {code}).")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""What the ledger holds, read: sums that decisions rest on, and rows for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.errors import OwnerError
from evaluator.ledger_rows import FREE, OPEN, Limits, Queued, RunRow, SubmissionRow, Used, Vendor
from sandbox import SandboxError

if TYPE_CHECKING:
    import sqlite3
    from datetime import date

_VENDOR_COLUMNS = "name, submissions, per_day, micro_petaflops, fee_cents, price, added"
_SUBMISSION_COLUMNS = """
submissions.id, submissions.vendor, phases, COALESCE(kind, ''), COALESCE(sha256, ''),
COALESCE(size, 0), received, submissions.day, submissions.state, submissions.reason,
submissions.ended, COALESCE(runs.run, '')
FROM submissions LEFT JOIN runs ON runs.submission = submissions.id
"""
_RUN_COLUMNS = """
run, submission, vendor, dataset_version, state, tenths, micro_reserved, micro_baseline,
micro_tuned, fee_cents, baseline_status, tuned_status, day, started, ended, reason FROM runs
"""
_QUEUED_COLUMNS = "id, vendor, phases, kind, digest_of, sha256, size, content, recipe"
_FREE = f"({', '.join(repr(state) for state in FREE)})"
_OPEN = f"({', '.join(repr(state) for state in OPEN)})"
_NOT_DONE = "submissions.state <> 'done'"  # in the words of the index, or it is not used
_WAITS = "submissions.state IN ('receiving', 'queued', 'running')"
_LATEST = "9999-12-31T23:59:59Z"
_USED = f"""
SELECT {_VENDOR_COLUMNS}, COALESCE(slots, 0), COALESCE(today, 0), COALESCE(queued, 0),
COALESCE(run, ''), COALESCE(done, 0), COALESCE(refused, 0), COALESCE(aborted, 0),
COALESCE(charged, 0), COALESCE(reserved, 0), COALESCE(owed, 0) FROM vendors
LEFT JOIN (
    SELECT vendor, SUM(state NOT IN {_FREE}) AS slots,
    SUM(state NOT IN {_FREE} AND day = :today) AS today, SUM(state = 'done') AS done,
    SUM(state = 'refused') AS refused, SUM(state = 'aborted') AS aborted
    FROM submissions WHERE day BETWEEN :opens AND :closes GROUP BY vendor
) AS ended ON ended.vendor = name
LEFT JOIN (
    SELECT vendor, COUNT(*) AS queued FROM submissions
    WHERE state = 'queued' AND {_NOT_DONE} GROUP BY vendor
) AS waiting ON waiting.vendor = name
LEFT JOIN (
    SELECT vendor, run, MIN(sequence) FROM runs WHERE state IN {_OPEN} GROUP BY vendor
) AS running ON running.vendor = name
LEFT JOIN (
    SELECT vendor, SUM(micro_baseline + micro_tuned) AS charged, SUM(micro_reserved) AS reserved,
    SUM(iif(state = 'released', fee_cents, 0)) AS owed
    FROM runs WHERE day BETWEEN :opens AND :closes GROUP BY vendor
) AS compute ON compute.vendor = name
ORDER BY name
"""  # noqa: S608 - literals
_OF_VENDOR = len(_VENDOR_COLUMNS.split(","))


@dataclass(frozen=True, slots=True)
class Contents:
    """Rows that belong to one moment."""

    vendors: tuple[Vendor, ...]
    submissions: tuple[SubmissionRow, ...]
    runs: tuple[RunRow, ...]


class LedgerView:
    """The half of an open ledger that changes nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def vendor(self, name: str) -> Vendor:
        """Return the vendor of that name; OwnerError where there is none."""
        row = self._one(f"SELECT {_VENDOR_COLUMNS} FROM vendors WHERE name = ?", name)  # noqa: S608 - a literal
        if row is None:
            raise unknown_vendor(name)
        return Vendor(*row)

    def vendors(self) -> tuple[Vendor, ...]:
        """Return all vendors, by name."""
        rows = self._all(f"SELECT {_VENDOR_COLUMNS} FROM vendors ORDER BY name")  # noqa: S608 - a literal
        return tuple(Vendor(*row) for row in rows)

    def next(self) -> Queued | None:
        """Return whose turn it is, and change nothing.

        Of the vendors that wait and run nothing, the one whose last run started longest ago; of
        its submissions, the first.
        """
        found = self._one(
            f"SELECT id FROM submissions WHERE state = 'queued' AND {_NOT_DONE} "  # noqa: S608 - literals
            "AND NOT EXISTS (SELECT 1 FROM runs "
            f"WHERE runs.vendor = submissions.vendor AND runs.state IN {_OPEN}) "
            "ORDER BY COALESCE((SELECT MAX(sequence) FROM runs WHERE submission IS NOT NULL AND "
            "runs.vendor = submissions.vendor), 0), id LIMIT 1"
        )
        return self.queued(found[0]) if found else None

    def queued(self, number: int) -> Queued:
        """Return what was received as this submission; SandboxError where nothing was."""
        query = f"SELECT {_QUEUED_COLUMNS} FROM submissions WHERE id = ? AND kind IS NOT NULL"  # noqa: S608 - literals
        row = self._one(query, number)
        if row is None:
            raise SandboxError(f"The ledger holds no received submission {number}.")
        return Queued(*row)

    def released(self) -> float:
        """Return the bits of all results so far."""
        return int(self._value("SELECT tenths FROM sums WHERE state = 'released'")) / 10

    def taken(self) -> float:
        """Return these, and the bits that a run has set aside."""
        return int(self._value("SELECT SUM(tenths) FROM sums")) / 10

    def submissions(self, vendor: str | None = None) -> tuple[SubmissionRow, ...]:
        """Return all submissions, or a vendor's, in the order in which they came."""
        return self._submissions(*_of("submissions.vendor", vendor))

    def runs(self, vendor: str | None = None) -> tuple[RunRow, ...]:
        """Return all runs, or a vendor's, in the order in which they started."""
        return self._runs(*_of("vendor", vendor))

    def run(self, name: str) -> RunRow | None:
        """Return the run of that name, however it ended."""
        return next(iter(self._runs("run = ?", name)), None)

    def started(self, vendor: str) -> frozenset[str]:
        """Return the names of all runs of a vendor that have a row, however they ended."""
        return frozenset(
            run for (run,) in self._all("SELECT run FROM runs WHERE vendor = ?", vendor)
        )

    def compared(self) -> dict[str, str]:
        """Return how each folder of results lay when last all of it had a row, by vendor."""
        return dict(self._all("SELECT vendor, folder FROM compared"))

    def receiving(self) -> tuple[SubmissionRow, ...]:
        """Return the submissions whose bytes are not here yet."""
        return self._submissions(f"submissions.state = 'receiving' AND {_NOT_DONE}")

    def wanted(self) -> frozenset[int]:
        """Return the submissions whose bytes a run may still want."""
        query = f"SELECT id FROM submissions WHERE {_WAITS} AND {_NOT_DONE}"  # noqa: S608 - literals
        return frozenset(row[0] for row in self._all(query))

    def running(self) -> tuple[RunRow, ...]:
        """Return the runs that have not ended, or that a kill left: reserved, or settled."""
        # By the index of these few, which an order by sequence alone would pass over.
        return self._runs(f"sequence IN (SELECT sequence FROM runs WHERE state IN {_OPEN})")  # noqa: S608 - literals

    def contents(self, vendor: str | None = None) -> Contents:
        """Return all rows, or a vendor's, as of one moment."""
        with self._connection:
            self._connection.execute("BEGIN")
            vendors = (self.vendor(vendor),) if vendor else self.vendors()
            return Contents(vendors, self.submissions(vendor), self.runs(vendor))

    def used(self, limits: Limits, today: date) -> tuple[tuple[Vendor, Used], ...]:
        """Return what each vendor has used of the window, by name, as of one moment."""
        days = {"opens": str(limits.opens), "closes": str(limits.closes), "today": str(today)}
        rows = self._connection.execute(_USED, days)
        return tuple((Vendor(*row[:_OF_VENDOR]), Used(*row[_OF_VENDOR:])) for row in rows)

    def petaflops_left(self, vendor: str, limits: Limits) -> int:
        """Return the millionths of a petaflop that a vendor may still reserve in the window."""
        used = self._petaflops(vendor, limits, "micro_reserved + micro_baseline + micro_tuned")
        return max(0, self.vendor(vendor).limits(limits).micro_petaflops - used)

    def charged(self, vendor: str, limits: Limits) -> int:
        """Return what a vendor's results were charged; not what a run may yet give back."""
        return self._petaflops(vendor, limits, "micro_baseline + micro_tuned")

    def slots(self, vendor: str, first: date, last: date) -> int:
        """Return how many submissions of these days hold a slot of the quotas."""
        query = (
            "SELECT COUNT(*) FROM submissions WHERE vendor = ? AND day BETWEEN ? AND ? "  # noqa: S608 - literals
            f"AND state NOT IN {_FREE}"
        )
        return int(self._value(query, vendor, str(first), str(last)))

    # What of the log is known here, by `evaluator.log.entries.Entry.name`

    def position(self, name: str) -> int | None:
        """Return where the log has the entry of this name, or None where it has none."""
        row = self._one("SELECT position FROM logged WHERE name = ?", name)
        return int(row[0]) if row else None

    def names(self) -> dict[str, int]:
        """Return the position of every entry that is known here, by its name."""
        return dict(self._all("SELECT name, position FROM logged"))

    def positions(self, kind: str) -> tuple[int, ...]:
        """Return where the log has entries of a kind, in order."""
        query = "SELECT position FROM logged WHERE name GLOB ? ORDER BY position"
        return tuple(int(row[0]) for row in self._all(query, f"{kind}/*"))

    def logged(self) -> int:
        """Return how much of the log is known here: all of it below this position."""
        return int(self._value("SELECT COALESCE(MAX(position) + 1, 0) FROM logged"))

    def unlogged(self, by: str = _LATEST) -> tuple[tuple[int, RunRow | SubmissionRow], ...]:
        """Return what has ended and whose end the log does not have.

        Each is a released run, an aborted run of the owner's own, or an aborted submission, with
        the position at which it was received, and they come in that order. Results that are known
        to leave only after the moment `by` are passed over.
        """
        rows = self._all(
            "SELECT position, received FROM awaited WHERE COALESCE(due, '') <= ? "  # noqa: S608 - literals
            "AND NOT EXISTS (SELECT 1 FROM submissions "
            f"WHERE submissions.id = awaited.received AND {_WAITS}) ORDER BY position",
            by,
        )
        ended = ((position, self._ended(received)) for position, received in rows)
        return tuple((position, row) for position, row in ended if row is not None)

    def _ended(self, received: str) -> RunRow | SubmissionRow | None:
        """Return how something ended that the log has by this name, or None."""
        run = received.removeprefix("run-")
        if run != received:
            found: tuple[RunRow | SubmissionRow, ...] = self._runs(
                "run = ? AND state IN ('released', 'aborted')", run
            )
        else:
            found = self._runs("submission = ? AND state = 'released'", received)
            found = found or self._submissions(
                "submissions.id = ? AND submissions.state = 'aborted'", received
            )
        return found[0] if found else None

    def waiting(self, number: int, vendor: str) -> str | None:
        """Return the day of a submission of this vendor, or None where it is not queued."""
        row = self._one(
            "SELECT day FROM submissions WHERE id = ? AND vendor = ? AND state = 'queued'",
            number,
            vendor,
        )
        return str(row[0]) if row else None

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row

    def _value(self, query: str, *values: object) -> Any:  # noqa: ANN401 - whatever is asked for
        return self._connection.execute(query, values).fetchone()[0]

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()

    def _petaflops(self, vendor: str, limits: Limits, column: str) -> int:
        query = (
            f"SELECT COALESCE(SUM({column}), 0) FROM runs "  # noqa: S608 - literals
            "WHERE vendor = ? AND day BETWEEN ? AND ?"
        )
        return int(self._value(query, vendor, str(limits.opens), str(limits.closes)))

    def _submissions(self, which: str, *values: object) -> tuple[SubmissionRow, ...]:
        query = f"SELECT {_SUBMISSION_COLUMNS} WHERE {which} ORDER BY submissions.id"
        return tuple(SubmissionRow(*row) for row in self._all(query, *values))

    def _runs(self, which: str, *values: object) -> tuple[RunRow, ...]:
        query = f"SELECT {_RUN_COLUMNS} WHERE {which} ORDER BY sequence"
        return tuple(_run_row(row) for row in self._all(query, *values))


def _of(column: str, vendor: str | None) -> tuple[str, *tuple[str, ...]]:
    """Which rows are a vendor's, or all, in words that an index has an answer to."""
    return ("TRUE",) if vendor is None else (f"{column} = ?", vendor)


def unknown_vendor(name: str) -> OwnerError:
    """What to say of a name that nobody has added."""
    return OwnerError(
        f"There is no vendor {name} in this workspace. Add it with `evaluator vendors add {name}`."
    )


def _run_row(row: tuple[Any, ...]) -> RunRow:
    baseline, tuned, fee, baseline_status, tuned_status = row[7:12]
    pairs = (baseline, tuned), fee, (baseline_status, tuned_status)
    values = (*row[:7], *pairs, *row[12:])
    return RunRow(*values)

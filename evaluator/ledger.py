"""The ledger: who may submit how much, what was used of it, and what every result carries.

    with open_ledger(workspace.ledger) as ledger:
        number = ledger.receive(vendor, phases, limits, today)    takes a slot of the quotas
        ledger.queue(number, received, recipe)                    its bytes are ours
        queued = ledger.next()                                    whose turn it is
        ledger.start(run, number, vendor, version, ...)           sets bits and compute aside
        ledger.settle(run, bits, statuses, charges, fee)          before the signed file is there
        ledger.release(run)                                       now that it is
        ledger.abort(run, reason)                                 or nothing came of it

Each call is one transaction that is on the disk when it returns, and each step follows one that
it may follow (`ledger_rows`): a kill at any moment leaves a run reserved, settled or released, and
whether its signed file is there says how to go on. What is set aside counts as used, so nothing is
promised twice; what is aborted is given back. There is one budget of bits for all vendors, who may
collude, and for all versions of the tiles, which share tiles.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evaluator.errors import OwnerError
from evaluator.leakage import tenths
from evaluator.ledger_file import open_file
from evaluator.ledger_limits import (
    TakenError,
    require_alone,
    require_bits,
    require_petaflops,
    require_queued,
    require_room,
)
from evaluator.ledger_rows import (
    REASONS,
    RUN_STEPS,
    SUBMISSION_STEPS,
    Limits,
    Queued,
    RunRow,
    SubmissionRow,
    Vendor,
)
from evaluator.ledger_view import Contents, LedgerView
from evaluator.status import STATUSES
from evaluator.workspace import require_vendor_name
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date
    from pathlib import Path

    from evaluator.admission import Received
    from evaluator.ledger_rows import Phases, Reason, RunState, Statuses, SubmissionState

__all__ = [
    "Contents",
    "Ledger",
    "Limits",
    "Queued",
    "RunRow",
    "SubmissionRow",
    "TakenError",
    "Vendor",
    "open_ledger",
]


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Open the ledger at `path`, or make it.

    Raises OwnerError where it is damaged, cannot be written or is of another version, SandboxError
    where the disk is full or another process does not let go of it.
    """
    with open_file(path) as connection:
        yield Ledger(connection)


class Ledger(LedgerView):
    """An open ledger."""

    # Vendors

    def add_vendor(self, vendor: Vendor) -> None:
        """Let a vendor submit; OwnerError where the name is none or is there already."""
        require_vendor_name(vendor.name)
        with self._writing():
            if self._one("SELECT 1 FROM vendors WHERE name = ?", vendor.name):
                raise OwnerError(
                    f"{vendor.name} is a vendor already. `evaluator vendors change {vendor.name}` "
                    "changes its limits."
                )
            self._insert_vendor(vendor)

    def change_vendor(self, vendor: Vendor) -> None:
        """Replace what differs for a vendor from the rules of the workspace."""
        with self._writing():
            self.vendor(vendor.name)
            self._connection.execute(
                "UPDATE vendors SET submissions = ?, per_day = ?, micro_petaflops = ?, "
                "fee_cents = ?, price = ? WHERE name = ?",
                (*_special(vendor), vendor.name),
            )

    # Submissions

    def receive(self, vendor: str, phases: Phases, limits: Limits, today: date) -> int:
        """Take a slot of a vendor's quotas and return the submission's number.

        `limits` are the workspace's; a vendor's own come before them. OwnerError, with the
        numbers, where no slot or no compute is left.
        """
        with self._writing():
            require_room(self, vendor, limits, today)
            done = self._connection.execute(
                "INSERT INTO submissions (vendor, phases, received, day, state) "
                "VALUES (?, ?, ?, ?, 'receiving')",
                (vendor, phases, _now(), today.isoformat()),
            )
            return int(done.lastrowid or 0)

    def queue(self, number: int, received: Received, recipe: bytes | None) -> None:
        """Say that a submission's bytes are ours, whole, and what they are."""
        with self._writing():
            self._connection.execute(
                "UPDATE submissions SET kind = ?, digest_of = ?, sha256 = ?, size = ?, "
                "content = ?, recipe = ? WHERE id = ?",
                (
                    received.kind,
                    received.digest_of,
                    received.sha256,
                    received.size,
                    received.content,
                    recipe,
                    number,
                ),
            )
            self._move_submission(number, "queued")

    def abort_submission(self, number: int, reason: Reason) -> None:
        """End a submission that no run has started; its slot of the quotas is free again."""
        with self._writing():
            if self._submission_state(number) == "running":
                raise _out_of_step(f"submission {number}", "running", "aborted without its run")
            self._move_submission(number, "aborted", _known(reason))

    # Runs

    def start(  # noqa: PLR0913 - one per fact of a run
        self,
        run: str,
        submission: int | None,
        vendor: str,
        version: int,
        *,
        bits: float,
        bit_budget: int,
        micro_petaflops: int = 0,
        limits: Limits | None = None,
    ) -> None:
        """Set aside the most that a run's result may carry and that the run may be charged.

        OwnerError where either does not fit, TakenError where another worker was faster. A run
        of the owner's own is of no submission; without `limits`, no budget of compute binds it.
        """
        with self._writing():
            now = _now()
            day = now[:10] if submission is None else require_queued(self, submission, vendor)
            require_alone(self, vendor)
            require_bits(self, bits, bit_budget)
            if limits:
                require_petaflops(self, vendor, limits, micro_petaflops)
            self._connection.execute(
                "INSERT INTO runs (run, submission, vendor, dataset_version, state, tenths, "
                "micro_reserved, day, started) VALUES (?, ?, ?, ?, 'reserved', ?, ?, ?, ?)",
                (run, submission, vendor, version, tenths(bits), micro_petaflops, day, now),
            )
            if submission is not None:
                self._move_submission(submission, "running")

    def settle(
        self,
        run: str,
        bits: float,
        statuses: Statuses,
        micro_petaflops: tuple[int, int],
        fee_cents: int,
    ) -> None:
        """Lower what was set aside to what the result states: its bits, and what is charged.

        The charges are those published, already rounded: the ledger holds nothing finer.
        `fee_cents` is the workspace's fee; a vendor's own comes before it, and a run that was
        refused, or is of no submission, owes none.
        """
        with self._writing():
            found = self._step(run, "settled")
            charge = sum(micro_petaflops)
            too_much = tenths(bits) > found.tenths or charge > found.micro_reserved
            if too_much or (_refused(statuses) and charge):
                raise _not_reserved()
            owes = found.submission is not None and not _refused(statuses)
            fee = self.vendor(found.vendor).fee(fee_cents) if owes else 0
            self._write_outcome(run, bits, statuses, micro_petaflops, fee)

    def release(self, run: str, due: str | None = None) -> None:
        """Say that the signed file has its name; `due` is when it states that it may leave."""
        with self._writing():
            found = self._step(run, "released")
            query = "UPDATE awaited SET due = ? WHERE received = ?"
            self._connection.execute(query, (due, found.received))
            if found.submission is not None:
                end: SubmissionState = "refused" if _refused(found.statuses) else "done"
                self._move_submission(found.submission, end, ended=found.ended)

    def abort(self, run: str, reason: Reason) -> None:
        """End a run of which no result came; all that it took is given back."""
        with self._writing():
            found = self._step(run, "aborted", _known(reason))
            if found.submission is not None:
                self._move_submission(found.submission, "aborted", reason)

    def adopt(  # noqa: PLR0913 - one per fact of a result
        self,
        run: str,
        vendor: str,
        version: int,
        bits: float,
        *,
        statuses: Statuses = (None, None),
        micro_petaflops: tuple[int, int] = (0, 0),
        day: date | None = None,
    ) -> None:
        """Count a result that was released and has no row: the ledger is older than it.

        It is of no submission any more, so it takes no slot and owes no fee; its bits and what
        it was charged count. Where the ledger is no older than its start, use settle and release.
        """
        with self._writing():
            if not self._one("SELECT 1 FROM vendors WHERE name = ?", vendor):
                self._insert_vendor(Vendor(vendor))
            now = _now()
            self._connection.execute(
                "INSERT INTO runs (run, vendor, dataset_version, state, tenths, day, started, "
                "ended) VALUES (?, ?, ?, 'released', 0, ?, ?, ?)",
                (run, vendor, version, day.isoformat() if day else now[:10], now, now),
            )
            self._write_outcome(run, bits, statuses, micro_petaflops, 0)

    def found_known(self, folders: Mapping[str, str]) -> None:
        """Say that all results that lie in a vendor's folder have a row, while it is as it was."""
        with self._writing():
            query = "INSERT OR REPLACE INTO compared VALUES (?, ?)"
            self._connection.executemany(query, folders.items())

    # The log

    def note(self, positions: Iterable[tuple[str, int]]) -> None:
        """Say where the log has entries, by name; what a name had first stays."""
        with self._writing():
            query = "INSERT OR IGNORE INTO logged VALUES (?, ?)"
            self._connection.executemany(query, positions)

    # Steps

    def _step(self, run: str, to: RunState, reason: str = "") -> RunRow:
        """Take a run to its next state, and return it as it was."""
        found = self.run(run)
        if found is None or (found.state, to) not in RUN_STEPS:
            raise _not_reserved()
        back = ", tenths = 0, micro_baseline = 0, micro_tuned = 0, fee_cents = 0"
        # `ended` is the moment that the result states, so it stays when the result is released.
        self._connection.execute(
            "UPDATE runs SET state = :to, reason = :reason, micro_reserved = 0, "  # noqa: S608 - literals
            f"ended = iif(ended = '', :now, ended) {back if to == 'aborted' else ''} "
            "WHERE run = :run",
            {"to": to, "reason": reason, "now": _now(), "run": run},
        )
        return found

    def _write_outcome(
        self, run: str, bits: float, statuses: Statuses, charges: tuple[int, int], fee: int
    ) -> None:
        if not {*statuses} <= {*STATUSES, None}:
            raise ValueError(f"{statuses} are no statuses")
        self._connection.execute(
            "UPDATE runs SET tenths = ?, baseline_status = ?, tuned_status = ?, "
            "micro_baseline = ?, micro_tuned = ?, fee_cents = ? WHERE run = ?",
            (tenths(bits), *statuses, *charges, fee, run),
        )

    def _submission_state(self, number: int) -> SubmissionState:
        row = self._one("SELECT state FROM submissions WHERE id = ?", number)
        if row is None:
            raise SandboxError(f"The ledger holds no submission {number}.")
        state: SubmissionState = row[0]
        return state

    def _move_submission(
        self, number: int, to: SubmissionState, reason: str = "", ended: str = ""
    ) -> None:
        state = self._submission_state(number)
        if (state, to) not in SUBMISSION_STEPS:
            raise _out_of_step(f"submission {number}", state, to)
        if to == "aborted":
            ended = _now()
        self._connection.execute(
            "UPDATE submissions SET state = ?, reason = ?, ended = ? WHERE id = ?",
            (to, reason, ended, number),
        )

    def _insert_vendor(self, vendor: Vendor) -> None:
        values = (vendor.name, _now(), *_special(vendor))
        self._connection.execute("INSERT INTO vendors VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, which nobody else writes beside: what was read in it stays true."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield


def _special(vendor: Vendor) -> tuple[int | str | None, ...]:
    limits = vendor.submissions, vendor.per_day, vendor.micro_petaflops
    return *limits, vendor.fee_cents, vendor.price


def _refused(statuses: Statuses) -> bool:
    """Whether the submission was refused: that is decided before any phase of it."""
    return "REFUSED" in statuses


def _known(reason: str) -> str:
    if reason not in REASONS:
        raise ValueError(f"{reason!r} is none of {REASONS}")
    return reason


def _not_reserved() -> SandboxError:
    return SandboxError(
        "The ledger no longer holds this run as reserved, so its result was not released. "
        "Does another host work on the same workspace?"
    )


def _out_of_step(what: str, state: str, to: str) -> SandboxError:
    return SandboxError(
        f"The ledger holds {what} as {state}, so it cannot become {to}. Does another host work on "
        "the same workspace?"
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

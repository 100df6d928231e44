"""What the ledger means for people: who used how much, what is owed, what a vendor may be told.

A vendor's view is what the vendor may be told: their own rows only, no time of a run, and nothing
of how one ended before the slot in which its result is released (docs/leakage.md), since the
moment of an end says how long it took. The operator sees all of it at once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from evaluator.dataset.sealed import open_dataset, versions
from evaluator.ledger import Contents, Limits, RunRow, SubmissionRow, Vendor, open_ledger
from evaluator.ledger_rows import OPEN, Used
from evaluator.ledger_view import unknown_vendor
from evaluator.queue import limits_of

if TYPE_CHECKING:
    from evaluator.settings import Resources, Settings
    from evaluator.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Terms:
    """The rules of a window that accounts are made by; the fee is of one submission."""

    limits: Limits
    currency: str
    fee_cents: int
    slot_seconds: int

    def days(self, opens: date | None, closes: date | None) -> Terms:
        """Return the same rules for other days."""
        limits = self.limits
        changed = replace(limits, opens=opens or limits.opens, closes=closes or limits.closes)
        return replace(self, limits=changed)


def terms_of(settings: Settings) -> Terms:
    """Return the rules that a workspace's settings state."""
    return Terms(
        limits_of(settings),
        settings.fees.currency,
        settings.fees.cents,
        settings.publish.release_every_hours * 3600,
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A submission with its run; either may be missing."""

    submission: SubmissionRow | None
    run: RunRow | None

    @property
    def vendor(self) -> str:
        """Whose it is."""
        return (self.submission or self.run).vendor  # type: ignore[union-attr]  # one is there

    @property
    def day(self) -> str:
        """The day for which it counts."""
        return (self.submission or self.run).day  # type: ignore[union-attr]  # one is there

    @property
    def charged(self) -> int:
        """The published charge of both phases, in micro-petaflops."""
        return sum(self.run.charges) if self.run else 0

    @property
    def fee_cents(self) -> int:
        """What is owed for it: nothing before its result is released."""
        return self.run.fee_cents if self.run and self.run.state == "released" else 0


def read(workspace: Workspace, vendor: str | None = None) -> Contents:
    """Return the ledger's rows, or one vendor's; looking makes no file."""
    if not workspace.ledger.exists():
        if vendor:
            raise unknown_vendor(vendor)
        return Contents((), (), ())
    with open_ledger(workspace.ledger) as ledger:
        return ledger.contents(vendor)


def vendors_view(contents: Contents, slot_seconds: int, now: datetime) -> Contents:
    """Return what a vendor may be told of these rows at this time."""
    slot = now.timestamp() // slot_seconds * slot_seconds
    begun = datetime.fromtimestamp(slot, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def told(row: SubmissionRow) -> SubmissionRow:
        if row.ended and row.ended < begun:
            return replace(row, ended="")
        return replace(row, state="queued", reason="", ended="", run="")

    runs = (run for run in contents.runs if run.state in {"released", "aborted"})
    return Contents(
        contents.vendors,
        tuple(map(told, contents.submissions)),
        tuple(replace(run, started="", ended="") for run in runs if run.ended < begun),
    )


def entries(contents: Contents, limits: Limits) -> tuple[Entry, ...]:
    """Return what counts for the window: submissions as they came, then runs without one."""
    days = (limits.opens.isoformat(), limits.closes.isoformat())
    runs = {run.submission: run for run in contents.runs if run.submission is not None}
    both = [Entry(row, runs.get(row.id)) for row in contents.submissions]
    both += [Entry(None, run) for run in contents.runs if run.submission is None]
    return tuple(entry for entry in both if days[0] <= entry.day <= days[1])


@dataclass(frozen=True, slots=True)
class VendorAccount(Used):
    """What one vendor used and may use; the fee is in cents."""

    vendor: Vendor
    limits: Limits
    fee_cents: int


def account(contents: Contents, vendor: Vendor, terms: Terms, today: date) -> VendorAccount:
    """Return a vendor's account of the window, of these rows."""
    own = [entry for entry in entries(contents, terms.limits) if entry.vendor == vendor.name]
    rows = [entry.submission for entry in own if entry.submission]
    states = [row.state for row in rows]
    waiting = (row for row in contents.submissions if row.state == "queued")
    running = (run for run in contents.runs if run.state in OPEN)
    return VendorAccount(
        vendor=vendor,
        limits=vendor.limits(terms.limits),
        fee_cents=vendor.fee(terms.fee_cents),
        submissions=sum(row.holds_slot for row in rows),
        today=sum(row.holds_slot and row.day == today.isoformat() for row in rows),
        queued=sum(row.vendor == vendor.name for row in waiting),
        running=next((run.run for run in running if run.vendor == vendor.name), ""),
        done=states.count("done"),
        refused=states.count("refused"),
        aborted=states.count("aborted"),
        charged=sum(entry.charged for entry in own),
        reserved=sum(entry.run.micro_reserved for entry in own if entry.run),
        owed_cents=sum(entry.fee_cents for entry in own),
    )


def overview(workspace: Workspace, terms: Terms, today: date) -> tuple[VendorAccount, ...]:
    """Return what `account` makes of each vendor's rows, which the ledger adds up itself."""
    if not workspace.ledger.exists():  # looking makes no file
        return ()
    with open_ledger(workspace.ledger) as ledger:
        return tuple(
            VendorAccount(
                **asdict(used),
                vendor=vendor,
                limits=vendor.limits(terms.limits),
                fee_cents=vendor.fee(terms.fee_cents),
            )
            for vendor, used in ledger.used(terms.limits, today)
        )


@dataclass(frozen=True, slots=True)
class Status:
    """The window at a glance. `participants` and `income_cents` are None in a vendor's view."""

    terms: Terms
    today: date
    dataset: str
    resources: Resources
    participants: int | None
    income_cents: int | None
    vendors: tuple[VendorAccount, ...]

    @property
    def days_left(self) -> int:
        """How many days the window is open after this one; 0 once it is closed."""
        return max(0, (self.terms.limits.closes - self.today).days)


def status(workspace: Workspace, vendor: str | None, now: datetime) -> Status:
    """Return the state of the window: for the operator, or as this vendor may be told it."""
    settings = workspace.settings()
    terms, today = terms_of(settings), now.date()
    if vendor:
        told = vendors_view(read(workspace, vendor), terms.slot_seconds, now)
        accounts: tuple[VendorAccount, ...] = (account(told, told.vendors[0], terms, today),)
    else:
        accounts = overview(workspace, terms, today)
    return Status(
        terms=terms,
        today=today,
        dataset=_dataset_id(workspace),
        resources=settings.resources,
        participants=None if vendor else len(accounts),
        income_cents=None if vendor else sum(each.owed_cents for each in accounts),
        vendors=accounts,
    )


def _dataset_id(workspace: Workspace) -> str:
    """Version and commitment to the holdout, as results name them; empty before an import."""
    if not versions(workspace.data):
        return ""
    dataset = open_dataset(workspace.data)
    return f"{dataset.version}-{sha256(dataset.commitment.read_bytes()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a vendor owes for the window: a line for each submission that has ended."""

    account: VendorAccount
    terms: Terms
    day: date
    lines: tuple[Entry, ...]

    @property
    def total_cents(self) -> int:
        """The sum of the fees."""
        return sum(line.fee_cents for line in self.lines)


def invoice(workspace: Workspace, vendor: str, terms: Terms, now: datetime) -> Invoice:
    """Return the invoice of a vendor, who gets it: so it says what the vendor may be told."""
    contents = vendors_view(read(workspace, vendor), terms.slot_seconds, now)
    own = account(contents, contents.vendors[0], terms, now.date())
    lines = tuple(
        entry
        for entry in entries(contents, terms.limits)
        if entry.submission and entry.submission.state in {"done", "refused", "aborted"}
    )
    return Invoice(own, terms, now.date(), lines)


def ledger_entries(
    workspace: Workspace, vendor: str | None, terms: Terms, now: datetime
) -> tuple[Entry, ...]:
    """Return the submissions and runs of the window, or what this vendor may be told of theirs."""
    contents = read(workspace, vendor)
    if vendor:
        contents = vendors_view(contents, terms.slot_seconds, now)
    return entries(contents, terms.limits)

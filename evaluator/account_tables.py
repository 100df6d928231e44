"""What the commands of the ledger print: tables for people, documents and CSV for programs.

Every cell is a name, a number, a date or a word of ours: none can begin a formula in a
spreadsheet.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from evaluator.petaflops import MICRO
from evaluator.tables import show

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evaluator.accounts import Entry, Invoice, Status, Terms, VendorAccount
    from evaluator.ledger import Vendor


def money(cents: int) -> str:
    """A sum in the currency's own decimals: 1250 is 12.50."""
    return f"{cents // 100}.{cents % 100:02}"


def amount(micro: int) -> str:
    """Micro-petaflops as petaflops, with no more decimals than they have."""
    text = f"{micro // MICRO}.{micro % MICRO:06}"
    return text.rstrip("0").rstrip(".")


# The state of the window


def print_status(status: Status) -> None:
    """The window, then each vendor's use of it."""
    limits, resources = status.terms.limits, status.resources
    card = Table(title="evaluation window", show_header=False)
    if status.participants is not None:
        card.add_row("participants", str(status.participants))
    left = f"{status.days_left} days left" if status.today <= limits.closes else "closed"
    card.add_row("window", f"{limits.opens} to {limits.closes}, {left}")
    card.add_row("dataset", status.dataset or "none imported yet")
    gpus = f", {resources.gpus} GPUs" if resources.gpus else ""
    memory = f"{resources.memory_bytes / 2**30:.3g} GiB"
    card.add_row("resources of a run", f"{resources.cpus:g} CPUs, {memory}{gpus}")
    if status.income_cents is not None:
        card.add_row("income", f"{money(status.income_cents)} {status.terms.currency}")
    show(card, _accounts(status.vendors))


def _accounts(accounts: Iterable[VendorAccount]) -> Table:
    table = Table(title="use of the limits")
    table.add_column("vendor")
    for name in ("PF", "submissions", "today", "queued", "running", "owed"):
        table.add_column(name, justify="right")
    for own in accounts:
        table.add_row(
            own.vendor.name,
            f"{amount(own.charged)} / {amount(own.limits.micro_petaflops)}",
            f"{own.submissions} / {own.limits.total}",
            f"{own.today} / {own.limits.per_day}",
            str(own.queued),
            own.running or "-",
            money(own.owed_cents),
        )
    return table


def status_document(status: Status) -> dict[str, Any]:
    """`evaluator status --json`."""
    limits, resources = status.terms.limits, status.resources
    whole = {"participants": status.participants, "income": status.income_cents}
    if status.income_cents is not None:
        whole["income"] = money(status.income_cents)  # type: ignore[assignment]  # a decimal
    return {
        **{name: value for name, value in whole.items() if value is not None},
        "opens": str(limits.opens),
        "closes": str(limits.closes),
        "days_left": status.days_left,
        "dataset": status.dataset or None,
        "resources": {
            "cpus": resources.cpus,
            "memory_bytes": resources.memory_bytes,
            "gpus": resources.gpus,
        },
        "currency": status.terms.currency,
        "vendors": [account_document(own) for own in status.vendors],
    }


def account_document(own: VendorAccount) -> dict[str, Any]:
    """One vendor's use of its limits."""
    return {
        "vendor": own.vendor.name,
        "petaflops": {"used": own.charged / MICRO, "limit": own.limits.micro_petaflops / MICRO},
        "submissions": {"used": own.submissions, "limit": own.limits.total},
        "today": {"used": own.today, "limit": own.limits.per_day},
        "queued": own.queued,
        "running": own.running or None,
        "done": own.done,
        "refused": own.refused,
        "aborted": own.aborted,
        "fee": money(own.fee_cents),
        "owed": money(own.owed_cents),
    }


# Vendors


def print_vendors(vendors: Iterable[Vendor]) -> None:
    """Names, and what differs for them from the workspace's rules."""
    table = Table(title="vendors")
    table.add_column("vendor")
    table.add_column("added")
    for name in ("submissions", "per day", "PF", "fee", "price per km2"):
        table.add_column(name, justify="right")
    for vendor in vendors:
        special = _special(vendor).values()
        cells = ("as all" if value is None else str(value) for value in special)
        table.add_row(vendor.name, vendor.added, *cells)
    show(table)


def vendor_document(vendor: Vendor) -> dict[str, Any]:
    """One vendor; null is what the workspace's rules say."""
    return {"vendor": vendor.name, "added": vendor.added, **_special(vendor)}


def _special(vendor: Vendor) -> dict[str, int | str | None]:
    compute, fee = vendor.micro_petaflops, vendor.fee_cents
    return {
        "submissions": vendor.submissions,
        "per_day": vendor.per_day,
        "petaflops": None if compute is None else amount(compute),
        "fee": None if fee is None else money(fee),
        "price_per_km2": vendor.price,
    }


def print_account(own: VendorAccount, terms: Terms) -> None:
    """One vendor's use of its limits, and its submissions by how they ended."""
    show(
        _accounts((own,)),
        f"{own.done} done, {own.refused} refused, {own.aborted} aborted. A submission costs "
        f"{money(own.fee_cents)} {terms.currency}.",
    )


# Submissions and runs

COLUMNS = (
    "submission",
    "vendor",
    "phases",
    "kind",
    "sha256",
    "size",
    "received",
    "day",
    "state",
    "reason",
    "run",
    "run_state",
    "dataset_version",
    "baseline",
    "tuned",
    "baseline_petaflops",
    "tuned_petaflops",
    "leakage_bits",
    "fee",
    "started",
    "ended",
)


def row_document(entry: Entry) -> dict[str, str | int | None]:
    """One submission and its run, flat: the columns of the CSV, null for what is not there."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row["vendor"], row["day"] = entry.vendor, entry.day
    row["fee"] = money(entry.fee_cents)
    if submission := entry.submission:
        row["submission"], row["size"] = submission.id, submission.size
        for name in ("phases", "kind", "sha256", "received", "state", "reason", "ended"):
            row[name] = getattr(submission, name)
    if run := entry.run:
        row |= {"run": run.run, "run_state": run.state, "dataset_version": run.version}
        row["baseline"], row["tuned"] = run.statuses
        row["baseline_petaflops"], row["tuned_petaflops"] = map(amount, run.charges)
        row["leakage_bits"] = f"{run.tenths / 10}"
        row["reason"] = row["reason"] or run.reason
        row["started"], row["ended"] = run.started, run.ended
    return {name: value if value != "" else None for name, value in row.items()}


def print_entries(entries: Iterable[Entry]) -> None:
    """The submissions and their runs, as they came."""
    # Without lines between columns, and with bits left to `evaluator leakage`: 80 columns.
    table = Table(title="submissions", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    right = {"#", "PF", "fee"}
    for name in ("#", "vendor", "day", "state", "phases", "PF", "fee", "run"):
        table.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=name in {"#", "day", "run"},
            overflow="fold",
        )
    for entry in entries:
        row = row_document(entry)
        phases = ", ".join(str(row[name]) for name in ("baseline", "tuned") if row[name])
        cells = [row["submission"], row["vendor"], row["day"], _state(row), phases]
        cells += [amount(entry.charged), row["fee"], row["run"]]
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    show(table)


def _state(row: dict[str, str | int | None]) -> str:
    state = row["state"] or f"owner's run, {row['run_state']}"
    return f"{state} ({row['reason']})" if row["reason"] else str(state)


def entries_csv(entries: Iterable[Entry]) -> str:
    """RFC 4180: a header, lines that end in CRLF."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(map(row_document, entries))
    return text.getvalue()


def export_document(entries: Iterable[Entry], terms: Terms) -> dict[str, Any]:
    """`evaluator ledger export --format json`."""
    return {
        "opens": str(terms.limits.opens),
        "closes": str(terms.limits.closes),
        "currency": terms.currency,
        "rows": [row_document(entry) for entry in entries],
    }


# The invoice


def print_invoice(invoice: Invoice) -> None:
    """What was evaluated, what it costs, and the sum."""
    limits, own = invoice.terms.limits, invoice.account
    table = Table(title=f"{own.vendor.name}: {limits.opens} to {limits.closes}")
    for name in ("submission", "day", "state", "run", "PF", invoice.terms.currency):
        right = name in {"submission", "PF", invoice.terms.currency}
        table.add_column(name, justify="right" if right else "left")
    for line in invoice.lines:
        row = row_document(line)
        run = str(row["run"] or "")
        cells = (str(row["submission"]), line.day, _state(row), run, amount(line.charged))
        table.add_row(*cells, money(line.fee_cents))
    table.add_section()
    total = money(invoice.total_cents)
    table.add_row("total", "", "", "", amount(own.charged), total)
    show(
        table,
        f"Invoice of {invoice.day}: {total} {invoice.terms.currency}. Compute used: "
        f"{amount(own.charged)} of {amount(own.limits.micro_petaflops)} PF.",
        "What was refused or aborted costs nothing. Submissions whose results are not released "
        "yet are not listed.",
    )


def invoice_document(invoice: Invoice) -> dict[str, Any]:
    """`evaluator invoice --json`."""
    limits, own = invoice.terms.limits, invoice.account
    wanted = ("submission", "day", "state", "reason", "run", "sha256", "fee")
    lines = []
    for line in invoice.lines:
        row = row_document(line)
        lines.append({name: row[name] for name in wanted} | {"petaflops": amount(line.charged)})
    return {
        "vendor": own.vendor.name,
        "date": str(invoice.day),
        "opens": str(limits.opens),
        "closes": str(limits.closes),
        "currency": invoice.terms.currency,
        "lines": lines,
        "total": money(invoice.total_cents),
        "petaflops": {"used": own.charged / MICRO, "limit": own.limits.micro_petaflops / MICRO},
    }

"""`evaluator status`, `vendors`, `runs`, `ledger` and `invoice`: the accounts of a window."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import json_option, print_json, say, workspace_option
from evaluator.errors import OwnerError
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from evaluator.accounts import Terms
    from evaluator.ledger import Vendor


PRICE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,4})?")


class Amount(click.ParamType[int]):
    """A decimal number of 0 or more, as a whole number of its smallest unit."""

    name = "X"

    def __init__(self, places: int) -> None:
        self._places = places

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """12.5 with 2 places is 1250."""
        try:
            scaled = Decimal(str(value)).scaleb(self._places)
            whole = int(scaled)
        except (InvalidOperation, ValueError, OverflowError):
            self.fail(f"{value} is no number.", param, ctx)
        if scaled != whole or not 0 <= whole <= 10**15:
            self.fail(f"give 0 or more, with at most {self._places} decimals.", param, ctx)
        return whole


class Day(click.ParamType[date]):
    """A day, as 2030-12-31."""

    name = "YYYY-MM-DD"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """The day that the text names."""
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.fail("give a day as 2030-12-31.", param, ctx)


vendor_option = click.option(
    "--vendor", help="Only what this vendor may be told: their rows, once results are released."
)
opens_option = click.option("--opens", type=Day(), help="First day (default: the window's).")
closes_option = click.option("--closes", type=Day(), help="Last day (default: the window's).")


def _limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """What may differ for one vendor."""
    count, compute, fee = click.IntRange(min=0), Amount(6), Amount(2)
    for option in (
        click.option("--price", help="What the vendor asks for a licence, for each km2; public."),
        click.option("--fee", type=fee, help="Of one submission, instead of the workspace's."),
        click.option("--petaflops", type=compute, help="Compute in the window, likewise."),
        click.option("--per-day", type=count, help="Submissions on one day, likewise."),
        click.option("--submissions", type=count, help="In the window, likewise; 0 stops them."),
    ):
        command = option(command)
    return command


@click.command("status")
@vendor_option
@json_option
@workspace_option
def status_command(workspace: Path, vendor: str | None, *, as_json: bool) -> None:
    """Show the window, its data set, and what every vendor has used of it."""
    from evaluator.account_tables import print_status, status_document
    from evaluator.accounts import status

    found = status(Workspace(workspace), vendor, _now())
    if as_json:
        print_json(status_document(found))
    else:
        print_status(found)


@click.group()
def vendors() -> None:
    """Who may submit, and what differs for them."""


@vendors.command("add")
@click.argument("name")
@_limit_options
@workspace_option
def add_command(name: str, workspace: Path, price: str | None, **limits: int | None) -> None:
    """Let vendor NAME submit; limits that are not given are the workspace's."""
    from evaluator.ledger import open_ledger

    vendor = _vendor(name, limits, price, Workspace(workspace))
    with open_ledger(Workspace(workspace).ledger) as ledger:
        ledger.add_vendor(vendor)
    say(f"{name} may submit; `evaluator vendors show {name}` says how much.")


@vendors.command("change")
@click.argument("name")
@_limit_options
@workspace_option
def change_command(name: str, workspace: Path, price: str | None, **limits: int | None) -> None:
    """Set what differs for vendor NAME; limits that are not given become the workspace's."""
    from evaluator.ledger import open_ledger

    vendor = _vendor(name, limits, price, Workspace(workspace))
    with open_ledger(Workspace(workspace).ledger) as ledger:
        ledger.change_vendor(vendor)
    say(f"Changed; `evaluator vendors show {name}` says what holds now.")


@vendors.command("list")
@json_option
@workspace_option
def list_command(workspace: Path, *, as_json: bool) -> None:
    """List the vendors, and what differs for them from the workspace's rules."""
    from evaluator.account_tables import print_vendors, vendor_document
    from evaluator.accounts import read

    Workspace(workspace).settings()  # "not a workspace" is clearer than "no vendors"
    found = read(Workspace(workspace)).vendors
    if as_json:
        print_json({"vendors": [vendor_document(vendor) for vendor in found]})
    else:
        print_vendors(found)


@vendors.command("show")
@click.argument("name")
@json_option
@workspace_option
def show_command(name: str, workspace: Path, *, as_json: bool) -> None:
    """Show what vendor NAME has used of its limits."""
    from evaluator.account_tables import account_document, print_account, vendor_document
    from evaluator.accounts import account, read

    terms = _terms(Workspace(workspace))
    contents = read(Workspace(workspace), name)
    own = account(contents, contents.vendors[0], terms, _now().date())
    if as_json:
        special = {"own_limits": vendor_document(own.vendor)}
        print_json({**account_document(own), **special, "currency": terms.currency})
    else:
        print_account(own, terms)


@click.command("runs")
@vendor_option
@json_option
@workspace_option
def runs_command(workspace: Path, vendor: str | None, *, as_json: bool) -> None:
    """List the window's submissions: state, statuses of phases, charge, fee and run."""
    from evaluator.account_tables import export_document, print_entries
    from evaluator.accounts import ledger_entries

    terms = _terms(Workspace(workspace))
    found = ledger_entries(Workspace(workspace), vendor, terms, _now())
    if as_json:
        print_json(export_document(found, terms))
    else:
        print_entries(found)


@click.group()
def ledger() -> None:
    """The accounts as a file, for other programs."""


@ledger.command("export")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "json"]), default="csv", show_default=True
)
@vendor_option
@opens_option
@closes_option
@workspace_option
def export_command(
    *, kind: str, vendor: str | None, opens: date | None, closes: date | None, workspace: Path
) -> None:
    """Print every submission and run of the window."""
    from evaluator.account_tables import entries_csv, export_document
    from evaluator.accounts import ledger_entries

    terms = _terms(Workspace(workspace)).days(opens, closes)
    found = ledger_entries(Workspace(workspace), vendor, terms, _now())
    if kind == "csv":
        click.echo(entries_csv(found), nl=False)
    else:
        print_json(export_document(found, terms))


@click.command("invoice")
@click.argument("vendor")
@opens_option
@closes_option
@json_option
@workspace_option
def invoice_command(
    *, vendor: str, opens: date | None, closes: date | None, workspace: Path, as_json: bool
) -> None:
    """Print what VENDOR owes for the window: each submission that has ended, and the sum."""
    from evaluator.account_tables import invoice_document, print_invoice
    from evaluator.accounts import invoice

    terms = _terms(Workspace(workspace)).days(opens, closes)
    made = invoice(Workspace(workspace), vendor, terms, _now())
    if as_json:
        print_json(invoice_document(made))
    else:
        print_invoice(made)


def _terms(workspace: Workspace) -> Terms:
    from evaluator.accounts import terms_of

    return terms_of(workspace.settings())


def _vendor(
    name: str, limits: Mapping[str, int | None], price: str | None, workspace: Workspace
) -> Vendor:
    """A vendor by the options of `_limit_options`; OwnerError unless charges can be whole steps."""
    from evaluator.ledger import Vendor

    if price is not None and not PRICE.fullmatch(price):
        raise OwnerError("A price is a decimal such as 0.25, with at most four decimals.")
    compute = limits["petaflops"]
    workspace.settings().publish.charge_step(compute or 0)
    return Vendor(name, limits["submissions"], limits["per_day"], compute, limits["fee"], price)


def _now() -> datetime:
    return datetime.now(UTC)

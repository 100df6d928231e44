"""The accounts of a window: who used how much, what is owed, and what a vendor is told."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from evaluator.account_tables import amount, money
from evaluator.accounts import Status, account, invoice, status, terms_of
from evaluator.admission import Received
from evaluator.cli import cli
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.errors import OwnerError
from evaluator.ledger import Ledger, Limits, Vendor, open_ledger
from evaluator.petaflops import MICRO
from evaluator.queue import limits_of
from evaluator.workspace import CONFIG, Workspace, init

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.ledger_rows import Statuses

OPENS, CLOSES = date(2030, 1, 1), date(2030, 1, 31)
NOW = datetime(2030, 1, 2, 12, tzinfo=UTC)
TOMORROW = NOW + timedelta(days=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The time of the commands and of the ledger: the last of these."""
    times = [NOW]
    monkeypatch.setattr("evaluator.cli.ledger._now", lambda: times[-1])
    monkeypatch.setattr("evaluator.ledger._now", lambda: times[-1].strftime("%Y-%m-%dT%H:%M:%SZ"))
    return times


@pytest.fixture
def workspace(tmp_path: Path, clock: list[datetime]) -> Workspace:  # noqa: ARG001 - it stands
    """The window of January 2030, 2.50 EUR a submission, and two vendors."""
    made = init(tmp_path / "farm", class_sizes=False)
    path = made.root / CONFIG
    lines = path.read_text().splitlines()
    changes = {
        "opens = ": f"opens = {OPENS}",
        "closes = ": f"closes = {CLOSES}",
        "per_submission = ": 'per_submission = "2.50"',
    }
    for start, line in changes.items():
        lines = [line if old.startswith(start) else old for old in lines]
    path.write_text("\n".join(lines))
    with open_ledger(made.ledger) as ledger:
        ledger.add_vendor(Vendor("acme"))
        ledger.add_vendor(Vendor("zenith", submissions=9, fee_cents=99))
    return made


def submit(ledger: Ledger, limits: Limits, vendor: str = "acme", day: date = OPENS) -> int:
    """A submission that waits."""
    number = ledger.receive(vendor, "both", limits, day)
    ledger.queue(number, Received("onnx", "file", "a" * 64, 3, Path("gone"), "b" * 64), None)
    return number


def start(ledger: Ledger, limits: Limits, number: int, vendor: str = "acme") -> str:
    """Its run, with everything that is left set aside."""
    run, left = f"{number:016x}", ledger.petaflops_left(vendor, limits)
    ledger.start(
        run, number, vendor, 3, bits=90, bit_budget=9000, micro_petaflops=left, limits=limits
    )
    return run


def end(
    ledger: Ledger,
    run: str,
    statuses: Statuses = ("OK", "TIMEOUT"),
    charges: tuple[int, int] = (MICRO, 2 * MICRO),
) -> None:
    """Its result, released."""
    ledger.settle(run, 80, statuses, charges, 250)
    ledger.release(run)


@pytest.fixture
def busy(workspace: Workspace) -> Workspace:
    """Of acme: one done, one refused, one aborted, one queued behind one that runs; zenith: one."""
    limits = limits_of(workspace.settings())
    with open_ledger(workspace.ledger) as ledger:
        end(ledger, start(ledger, limits, submit(ledger, limits)))
        refused = start(ledger, limits, submit(ledger, limits))
        end(ledger, refused, ("REFUSED", None), (0, 0))
        ledger.abort(start(ledger, limits, submit(ledger, limits)), "host")
        day = NOW.date()
        zenith = submit(ledger, limits, "zenith", day)
        end(ledger, start(ledger, limits, zenith, "zenith"), charges=(7, 0))
        start(ledger, limits, submit(ledger, limits, day=day))
        submit(ledger, limits, day=day)
    return workspace


@pytest.fixture
def run(busy: Workspace) -> Callable[..., str]:
    """Give a function that runs a command on the busy workspace and returns its stdout."""

    def command(*arguments: str) -> str:
        arguments += ("--workspace", str(busy.root))
        wide = {"COLUMNS": "160"}
        done = CliRunner().invoke(cli, arguments, env=wide, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout_bytes.decode()

    return command


def test_the_card_says_what_the_operator_asks(busy: Workspace) -> None:
    """Participants, end, income, and for each vendor what is used of what."""
    found = status(busy, None, NOW)
    acme, zenith = found.vendors

    assert (found.participants, found.days_left, found.income_cents) == (2, 29, 349)
    assert (acme.submissions, acme.today, acme.limits.total, acme.limits.per_day) == (3, 2, 5, 5)
    assert (acme.done, acme.refused, acme.aborted, acme.queued) == (1, 1, 1, 1)
    assert (acme.charged, acme.limits.micro_petaflops) == (3 * MICRO, 100 * MICRO)
    assert (acme.running, acme.reserved) == (f"{5:016x}", 97 * MICRO)
    assert (zenith.submissions, zenith.limits.total, zenith.owed_cents) == (1, 9, 99)


def test_the_card_is_what_the_rows_add_up_to(busy: Workspace) -> None:
    """Of each vendor: also what is settled and owes nothing yet, and what counts for other days."""
    terms, running = terms_of(busy.settings()), f"{5:016x}"
    earlier = terms.days(OPENS - timedelta(days=9), CLOSES)
    with open_ledger(busy.ledger) as ledger:
        ledger.add_vendor(Vendor("idle"))
        ledger.settle(running, 80, ("OK", None), (MICRO, 0), 250)
        end(
            ledger,
            start(ledger, earlier.limits, submit(ledger, earlier.limits, "zenith"), "zenith"),
        )
        before = submit(ledger, earlier.limits, "zenith", OPENS - timedelta(days=1))
        end(ledger, start(ledger, earlier.limits, before, "zenith"))
        ledger.start("f" * 16, None, "idle", 3, bits=90, bit_budget=9000)
        contents = ledger.contents()
    found = status(busy, None, NOW).vendors

    assert found == tuple(
        account(contents, vendor, terms, NOW.date()) for vendor in contents.vendors
    )
    acme, idle, zenith = found
    assert (acme.running, acme.owed_cents, acme.charged) == (running, 250, 4 * MICRO)
    assert (idle.running, idle.submissions) == ("f" * 16, 0)
    assert (zenith.submissions, zenith.owed_cents) == (2, 198)


def test_the_card_names_the_data_set_as_results_do(
    busy: Workspace, class_folders: Callable[..., Path]
) -> None:
    """Its version, and the first digits of the commitment; before an import it says so."""
    before = status(busy, None, NOW).dataset
    source = class_folders({"a": 6, "b": 6})
    rules = ImportRules((), 1, (8, 8))
    import_tiles(busy.data, source, rules, holdout=4, progress=lambda *_: None)
    commitment = (busy.data / "1" / "commitment.json").read_bytes()

    assert before == ""
    assert status(busy, None, NOW).dataset == f"1-{sha256(commitment).hexdigest()[:12]}"


def test_a_vendors_view_has_nothing_of_others(
    run: Callable[..., str], clock: list[datetime]
) -> None:
    """No row, no name, no sum that another's rows are in, in any command."""
    clock.append(TOMORROW)
    for arguments in (
        ("status", "--vendor", "acme"),
        ("status", "--vendor", "acme", "--json"),
        ("runs", "--vendor", "acme"),
        ("runs", "--vendor", "acme", "--json"),
        ("ledger", "export", "--vendor", "acme"),
        ("ledger", "export", "--vendor", "acme", "--format", "json"),
        ("invoice", "acme"),
        ("invoice", "acme", "--json"),
    ):
        text = run(*arguments)
        assert "acme" in text
        for others in ("zenith", "participants", "income", "3.49", "0.99", "0.000007", f"{4:016x}"):
            assert others not in text


def test_a_vendors_view_waits_for_the_release(busy: Workspace) -> None:
    """Until midnight all is queued and nothing refunded; then the ends are there, without times."""
    early, late = (status(busy, "acme", now).vendors[0] for now in (NOW, TOMORROW))

    assert (early.done, early.charged, early.owed_cents, early.running) == (0, 0, 0, "")
    assert (early.submissions, early.queued) == (5, 5)
    assert (late.done, late.charged, late.owed_cents, late.running) == (1, 3 * MICRO, 250, "")
    assert (late.submissions, late.queued) == (3, 2)


def test_a_window_that_is_over_has_no_days_left(busy: Workspace) -> None:
    """Nor fewer than none."""
    after: Status = status(busy, None, datetime(2030, 3, 1, tzinfo=UTC))

    assert after.days_left == 0


def test_a_vendor_that_is_unknown_is_told(busy: Workspace) -> None:
    """With how to add it."""
    with pytest.raises(OwnerError, match="vendors add nobody"):
        status(busy, "nobody", NOW)
    with pytest.raises(OwnerError, match="vendors add nobody"):
        invoice(busy, "nobody", terms_of(busy.settings()), NOW)


def test_the_invoice_lists_what_has_ended(busy: Workspace) -> None:
    """A fee for what was evaluated, 0.00 for what was refused or aborted, and their sum."""
    made = invoice(busy, "acme", terms_of(busy.settings()), TOMORROW)
    lines = [
        (line.submission.state, line.fee_cents, line.charged)
        for line in made.lines
        if line.submission
    ]

    assert lines == [("done", 250, 3 * MICRO), ("refused", 0, 0), ("aborted", 0, 0)]
    assert made.total_cents == made.account.owed_cents == 250


def test_the_invoice_is_printed_for_people_and_for_programs(
    run: Callable[..., str], clock: list[datetime]
) -> None:
    """The same sums; the window and the compute used of the budget."""
    clock.append(TOMORROW)
    text, document = run("invoice", "acme"), json.loads(run("invoice", "acme", "--json"))

    assert "2.50 EUR" in text
    assert "3 of 100 PF" in text
    assert (document["total"], document["currency"]) == ("2.50", "EUR")
    assert (document["opens"], document["closes"]) == (str(OPENS), str(CLOSES))
    assert [line["fee"] for line in document["lines"]] == ["2.50", "0.00", "0.00"]
    assert document["petaflops"] == {"used": 3.0, "limit": 100.0}


def test_other_days_can_be_asked_for(run: Callable[..., str], clock: list[datetime]) -> None:
    """What counts for them, by the day of the submission."""
    clock.append(TOMORROW)
    day = ("--opens", "2030-01-02", "--closes", "2030-01-02")

    assert json.loads(run("invoice", "zenith", "--json", *day))["total"] == "0.99"
    assert json.loads(run("invoice", "acme", "--json", *day))["total"] == "0.00"


def rows_of(text: str) -> list[dict[str, str]]:
    """A CSV with its header."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_export_is_rfc_4180_and_no_cell_is_a_formula(run: Callable[..., str]) -> None:
    """Lines end in CRLF, all have the same columns, and no spreadsheet computes with any."""
    text = run("ledger", "export")
    rows = rows_of(text)

    assert text.count("\n") == text.count("\r\n") == 1 + 6
    assert {len(row) for row in rows} == {21}
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell[:1] in {"=", "+", "-", "@", "\t", "\r"}]
    assert rows[0] == {
        "submission": "1",
        "vendor": "acme",
        "phases": "both",
        "kind": "onnx",
        "sha256": "a" * 64,
        "size": "3",
        "received": "2030-01-02T12:00:00Z",
        "day": "2030-01-01",
        "state": "done",
        "reason": "",
        "run": f"{1:016x}",
        "run_state": "released",
        "dataset_version": "3",
        "baseline": "OK",
        "tuned": "TIMEOUT",
        "baseline_petaflops": "1",
        "tuned_petaflops": "2",
        "leakage_bits": "80.0",
        "fee": "2.50",
        "started": "2030-01-02T12:00:00Z",
        "ended": "2030-01-02T12:00:00Z",
    }


def test_the_export_says_the_same_in_json(run: Callable[..., str]) -> None:
    """Row by row; what is not there is null."""
    document = json.loads(run("ledger", "export", "--format", "json"))
    texts = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in document["rows"]
    ]

    assert texts == rows_of(run("ledger", "export"))
    assert document["schemaVersion"] == 1


def test_a_run_of_the_owners_is_exported_too(busy: Workspace, run: Callable[..., str]) -> None:
    """It is of no submission, and owes nothing."""
    with open_ledger(busy.ledger) as ledger:
        ledger.adopt("f" * 16, "zenith", 1, 5, statuses=("OK", None), day=OPENS)

    last = rows_of(run("ledger", "export"))[-1]
    assert (last["submission"], last["run"], last["fee"]) == ("", "f" * 16, "0.00")
    assert "owner's run" in run("runs")


def test_status_and_runs_are_printed_for_people(run: Callable[..., str]) -> None:
    """The use case's card, and every submission with its state."""
    card, runs = run("status"), run("runs")

    for words in ("2030-01-01 to 2030-01-31, 29 days left", "3 / 100", "3 / 5", "3.49 EUR"):
        assert words in card
    for words in ("done", "refused", "aborted (host)", "running", "queued", "TIMEOUT"):
        assert words in runs


def test_status_is_a_document_too(run: Callable[..., str]) -> None:
    """Numbers as numbers, money as decimals."""
    document = json.loads(run("status", "--json"))
    (acme, _) = document["vendors"]

    assert (document["participants"], document["income"]) == (2, "3.49")
    assert (document["closes"], document["days_left"]) == ("2030-01-31", 29)
    assert acme["petaflops"] == {"used": 3.0, "limit": 100.0}
    assert acme["submissions"] == {"used": 3, "limit": 5}
    assert acme["today"] == {"used": 2, "limit": 5}


def test_vendors_are_added_changed_and_listed(run: Callable[..., str]) -> None:
    """What is given differs from the workspace's rules; what is not, follows them."""
    run("vendors", "add", "yard", "--submissions", "7", "--petaflops", "12.5", "--fee", "1.20")
    added = json.loads(run("vendors", "list", "--json"))["vendors"][1]
    run("vendors", "change", "yard", "--per-day", "1")
    shown: dict[str, Any] = json.loads(run("vendors", "show", "yard", "--json"))

    del added["added"], shown["own_limits"]["added"]
    assert added == {
        "vendor": "yard",
        "submissions": 7,
        "per_day": None,
        "petaflops": "12.5",
        "fee": "1.20",
        "price_per_km2": None,
    }
    assert shown["own_limits"] == {
        "vendor": "yard",
        "submissions": None,
        "per_day": 1,
        "petaflops": None,
        "fee": None,
        "price_per_km2": None,
    }
    assert (shown["fee"], shown["today"]) == ("2.50", {"used": 0, "limit": 1})
    assert "as all" in run("vendors", "list")
    assert "0 done, 0 refused, 0 aborted" in run("vendors", "show", "yard")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--fee", "1.005"),
        ("--fee", "-1"),
        ("--fee", "nan"),
        ("--fee", "1e99"),
        ("--petaflops", "0.0000001"),
        ("--petaflops", "inf"),
        ("--submissions", "-1"),
    ],
)
def test_amounts_are_exact_and_not_negative(
    workspace: Workspace, arguments: tuple[str, ...]
) -> None:
    """A fee has two decimals and compute six; nothing is rounded in silence."""
    command = ["vendors", "add", "yard", *arguments, "--workspace", str(workspace.root)]
    done = CliRunner().invoke(cli, command)

    assert done.exit_code == 2
    with open_ledger(workspace.ledger) as ledger:
        assert len(ledger.vendors()) == 2


def test_petaflops_that_have_no_whole_steps_are_refused(workspace: Workspace) -> None:
    """A hundredth of them would have more than six decimals."""
    command = ["vendors", "add", "yard", "--petaflops", "0.000101"]
    done = CliRunner().invoke(cli, [*command, "--workspace", str(workspace.root)])

    assert isinstance(done.exception, OwnerError)
    assert "100 steps" in str(done.exception)


def test_looking_makes_no_ledger(workspace: Workspace) -> None:
    """A workspace that nobody has submitted to has an empty account."""
    for left in workspace.root.glob("ledger.sqlite*"):
        left.unlink()
    found = status(workspace, None, NOW)

    with pytest.raises(OwnerError, match="vendors add acme"):
        status(workspace, "acme", NOW)
    assert (found.participants, found.vendors, found.income_cents) == (0, (), 0)
    assert not workspace.ledger.exists()


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (1, "0.000001"), (MICRO, "1"), (12_500_000, "12.5"), (10**9, "1000")],
)
def test_petaflops_are_printed_exactly(number: int, text: str) -> None:
    """Whole millionths, without zeros that say nothing."""
    assert amount(number) == text


@pytest.mark.parametrize(
    ("cents", "text"), [(0, "0.00"), (5, "0.05"), (250, "2.50"), (10**7, "100000.00")]
)
def test_money_is_printed_exactly(cents: int, text: str) -> None:
    """Whole cents, always two."""
    assert money(cents) == text


def test_a_vendors_price_is_a_decimal_or_refused(run: Callable[..., str]) -> None:
    """It becomes public with the vendor's submissions, so nothing else can be in it."""
    run("vendors", "add", "yard", "--price", "0.25")
    assert json.loads(run("vendors", "list", "--json"))["vendors"][1]["price_per_km2"] == "0.25"
    with pytest.raises(OwnerError, match="A price is a decimal"):
        run("vendors", "change", "yard", "--price", "cheap")

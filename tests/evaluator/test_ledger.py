"""The ledger: what it counts, what it refuses, and what a broken file or disk does to it."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from evaluator import ledger_file, ledger_schema
from evaluator.accounts import Terms, account, vendors_view
from evaluator.admission import Received
from evaluator.errors import OwnerError
from evaluator.ledger import Ledger, Limits, TakenError, Vendor, open_ledger
from evaluator.ledger_rows import RUN_STEPS, SUBMISSION_STEPS, Used
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPENS, CLOSES = date(2030, 1, 1), date(2030, 1, 31)
LIMITS = Limits(total=5, per_day=3, micro_petaflops=100, opens=OPENS, closes=CLOSES)
BUDGET = 100  # bits
FEE = 250  # cents


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where there is no ledger yet."""
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """A ledger of three vendors."""
    with open_ledger(path) as opened:
        for name in ("acme", "zenith", "yard"):
            opened.add_vendor(Vendor(name))
        yield opened


def received(content: str = "0") -> Received:
    """Bytes that arrived, known by a digest of one digit."""
    return Received("onnx", "file", content * 64, 3, Path("gone"), content * 64)


def run_name(number: int) -> str:
    """16 digits, as every run has."""
    return f"{number:016x}"


def submitted(ledger: Ledger, vendor: str = "acme", day: date = OPENS) -> int:
    """A submission that waits."""
    number = ledger.receive(vendor, "both", LIMITS, day)
    ledger.queue(number, received(), b"{}")
    return number


def started(ledger: Ledger, number: int, vendor: str = "acme", bits: float = 10) -> str:
    """A run of a submission, which has set aside all the compute that there is."""
    run, left = run_name(number), ledger.petaflops_left(vendor, LIMITS)
    ledger.start(
        run,
        number,
        vendor,
        1,
        bits=bits,
        bit_budget=BUDGET,
        micro_petaflops=left,
        limits=LIMITS,
    )
    return run


def done(ledger: Ledger, vendor: str = "acme", day: date = OPENS, charge: int = 0) -> str:
    """A run whose result was released."""
    run = started(ledger, submitted(ledger, vendor, day), vendor)
    ledger.settle(run, 1.6, ("OK", "OK"), (charge, 0), FEE)
    ledger.release(run)
    return run


def own(ledger: Ledger, run: str, bits: float, vendor: str = "acme", version: int = 1) -> None:
    """Start a run of the owner's, which is of no submission."""
    ledger.start(run, None, vendor, version, bits=bits, bit_budget=BUDGET)


def states(ledger: Ledger) -> list[str]:
    """The state of each submission."""
    return [row.state for row in ledger.submissions()]


# A submission from its slot to its result


def test_a_submission_goes_from_its_slot_to_its_result(path: Path) -> None:
    """Each step is there when the file is opened again."""
    seen: list[tuple[str, list[str]]] = []

    def look() -> None:
        with open_ledger(path) as again:
            runs = again.runs()
            seen.append((states(again)[0], [run.state for run in runs]))

    with open_ledger(path) as ledger:
        ledger.add_vendor(Vendor("acme"))
        number = ledger.receive("acme", "both", LIMITS, OPENS)
        look()
        ledger.queue(number, received("a"), b"{}")
        look()
        queued = ledger.next()
        assert queued
        run = started(ledger, queued.id)
        look()
        ledger.settle(run, 1.6, ("OK", "TIMEOUT"), (30, 20), FEE)
        assert ledger.released() == 0
        look()
        ledger.release(run)
        look()
        (row,) = ledger.runs()

    assert (queued.sha256, queued.recipe, queued.phases) == ("a" * 64, b"{}", "both")
    assert (row.tenths, row.charges, row.fee_cents, row.micro_reserved) == (16, (30, 20), FEE, 0)
    assert row.statuses == ("OK", "TIMEOUT")
    assert seen == [
        ("receiving", []),
        ("queued", []),
        ("running", ["reserved"]),
        ("running", ["settled"]),
        ("done", ["released"]),
    ]


def test_a_refused_submission_costs_its_bits_alone(ledger: Ledger) -> None:
    """Its slot is free again, it owes nothing and is charged nothing; its release slot counts."""
    run = started(ledger, submitted(ledger))
    ledger.settle(run, 1.6, ("REFUSED", None), (0, 0), FEE)
    ledger.release(run)

    assert states(ledger) == ["refused"]
    assert ledger.slots("acme", OPENS, CLOSES) == 0
    assert ledger.petaflops_left("acme", LIMITS) == LIMITS.micro_petaflops
    assert ledger.runs()[0].fee_cents == 0
    assert ledger.released() == 1.6


@pytest.mark.parametrize("settled", [False, True])
def test_an_aborted_run_gives_all_back(ledger: Ledger, *, settled: bool) -> None:
    """Slot, compute, bits and fee, whether or not it was settled when it was killed."""
    run = started(ledger, submitted(ledger), bits=99)
    if settled:
        ledger.settle(run, 98, ("OK", "OK"), (50, 50), FEE)
    ledger.abort(run, "killed")
    (row,) = ledger.runs()

    assert ledger.slots("acme", OPENS, CLOSES) == 0
    assert ledger.petaflops_left("acme", LIMITS) == LIMITS.micro_petaflops
    assert (ledger.taken(), ledger.released()) == (0, 0)
    assert (row.fee_cents, row.charges, row.reason) == (0, (0, 0), "killed")
    assert [(row.state, row.reason) for row in ledger.submissions()] == [("aborted", "killed")]


@pytest.mark.parametrize("queued", [False, True])
def test_a_submission_that_never_ran_gives_its_slot_back(ledger: Ledger, *, queued: bool) -> None:
    """While it is received or waits; what runs is ended with its run."""
    number = submitted(ledger) if queued else ledger.receive("acme", "both", LIMITS, OPENS)
    ledger.abort_submission(number, "operator")
    running = submitted(ledger)
    started(ledger, running)
    with pytest.raises(SandboxError, match=f"submission {running} as running"):
        ledger.abort_submission(running, "operator")

    assert states(ledger) == ["aborted", "running"]
    assert ledger.slots("acme", OPENS, CLOSES) == 1


def test_reasons_and_statuses_are_words_of_ours(ledger: Ledger) -> None:
    """A text that a vendor could have written never gets in, and nothing changes."""
    run = started(ledger, submitted(ledger))
    with pytest.raises(ValueError, match="none of"):
        ledger.abort(run, "my own words")  # type: ignore[arg-type]  # what is tried
    with pytest.raises(ValueError, match="no statuses"):
        ledger.settle(run, 1, ("fine", None), (0, 0), 0)

    assert [row.state for row in ledger.runs()] == ["reserved"]


# Quotas


def test_a_window_has_so_many_submissions(ledger: Ledger) -> None:
    """Spread over days; the sixth is told how many there were, of how many, and until when."""
    for day in range(5):
        submitted(ledger, day=OPENS + timedelta(days=day))
    with pytest.raises(OwnerError, match="used 5 of 5 submissions of the window 2030-01-01 to"):
        submitted(ledger, day=CLOSES)

    submitted(ledger, "zenith")  # another vendor's are its own


def test_a_day_has_fewer(ledger: Ledger) -> None:
    """The next day there is room again; the two quotas are kept apart."""
    for _ in range(3):
        submitted(ledger)
    with pytest.raises(OwnerError, match="used 3 of 3 submissions of this day, 2030-01-01"):
        submitted(ledger)

    submitted(ledger, day=OPENS + timedelta(days=1))


@pytest.mark.parametrize("day", [OPENS - timedelta(days=1), CLOSES + timedelta(days=1)])
def test_nothing_is_taken_outside_the_window(ledger: Ledger, day: date) -> None:
    """It would count in no window."""
    with pytest.raises(OwnerError, match="The window is 2030-01-01 to 2030-01-31 and today is"):
        submitted(ledger, day=day)


def test_nothing_is_taken_once_compute_is_used_up(ledger: Ledger) -> None:
    """What a run has set aside is not used yet: the next one may wait behind it."""
    started(ledger, submitted(ledger))
    waiting = submitted(ledger)
    ledger.settle(run_name(1), 1, ("OK", None), (100, 0), FEE)
    ledger.release(run_name(1))
    with pytest.raises(OwnerError, match=r"used 0\.0001 of 0\.0001 PF"):
        submitted(ledger)
    with pytest.raises(OwnerError, match=r"may take 1e-06 PF and acme has 0\.0 left"):
        ledger.start(
            run_name(2),
            waiting,
            "acme",
            1,
            bits=1,
            bit_budget=BUDGET,
            micro_petaflops=1,
            limits=LIMITS,
        )


def test_a_vendors_own_limits_come_first(ledger: Ledger) -> None:
    """More, fewer, none at all, and a fee of its own; what is not given is the workspace's."""
    ledger.change_vendor(Vendor("acme", per_day=1, micro_petaflops=7, fee_cents=99))
    ledger.change_vendor(Vendor("zenith", submissions=0))
    done(ledger)
    with pytest.raises(OwnerError, match="used 1 of 1 submissions of this day"):
        submitted(ledger)
    with pytest.raises(OwnerError, match="used 0 of 0 submissions of the window"):
        submitted(ledger, "zenith")

    assert ledger.petaflops_left("acme", LIMITS) == 7
    assert [run.fee_cents for run in ledger.runs()] == [99]


def test_a_vendor_is_added_once_and_known_by_a_plain_name(ledger: Ledger) -> None:
    """Unknown ones are told how to become known."""
    with pytest.raises(OwnerError, match="acme is a vendor already"):
        ledger.add_vendor(Vendor("acme"))
    for name in ("Acme", "-acme", "=acme", "a/b", ""):
        with pytest.raises(OwnerError, match="1 to 63 lower-case letters"):
            ledger.add_vendor(Vendor(name))
    for step in (
        lambda: submitted(ledger, "nobody"),
        lambda: ledger.change_vendor(Vendor("nobody")),
        lambda: own(ledger, run_name(1), 1, "nobody"),
    ):
        with pytest.raises(OwnerError, match="`evaluator vendors add nobody`"):
            step()


def test_a_clock_that_jumps_changes_no_order_and_no_total(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back by years between each two steps: numbers give the order, days only the day's quota."""
    years = iter(range(2030, 1970, -1))
    monkeypatch.setattr("evaluator.ledger._now", lambda: f"{next(years)}-01-01T00:00:00Z")
    days = [OPENS + timedelta(days=2), OPENS, OPENS + timedelta(days=1)]
    numbers = [submitted(ledger, day=day) for day in days]

    assert numbers == [1, 2, 3]
    for number in numbers:
        queued = ledger.next()
        assert queued
        assert queued.id == number
        run = started(ledger, number)
        ledger.settle(run, 1, ("OK", None), (1, 0), FEE)
        ledger.release(run)
    assert ledger.slots("acme", OPENS, CLOSES) == 3
    assert [run.run for run in ledger.runs()] == [run_name(number) for number in numbers]
    assert ledger.petaflops_left("acme", LIMITS) == LIMITS.micro_petaflops - 3


# Whose turn it is


def test_vendors_take_turns(ledger: Ledger) -> None:
    """Whoever's last run is longest ago; within a vendor as they came; an empty queue is None."""
    order = ["acme", "acme", "acme", "zenith", "yard", "zenith"]
    for vendor in order:
        submitted(ledger, vendor)
    turns = []
    while queued := ledger.next():
        turns.append((queued.vendor, queued.id))
        run = started(ledger, queued.id, queued.vendor)
        ledger.settle(run, 1, ("OK", None), (0, 0), FEE)
        ledger.release(run)

    assert turns == [
        ("acme", 1),
        ("zenith", 4),
        ("yard", 5),
        ("acme", 2),
        ("zenith", 6),
        ("acme", 3),
    ]


def test_a_vendor_has_one_run_at_a_time(ledger: Ledger) -> None:
    """The next waits, while others' run; what another worker has taken is told as such."""
    first, second = submitted(ledger), submitted(ledger)
    third = submitted(ledger, "zenith")
    started(ledger, first)
    with pytest.raises(TakenError, match=f"Submission {first} of acme does not wait"):
        started(ledger, first)
    with pytest.raises(TakenError, match="A run of acme has not ended"):
        started(ledger, second)
    with pytest.raises(TakenError, match="does not wait"):
        started(ledger, third, "yard")  # whose it is not
    queued = ledger.next()

    assert queued
    assert queued.id == third
    assert [run.submission for run in ledger.running()] == [first]


def test_what_is_being_received_waits_for_its_bytes(ledger: Ledger) -> None:
    """It holds its slot and is no turn's; nothing is known of it yet."""
    number = ledger.receive("acme", "baseline", LIMITS, OPENS)
    with pytest.raises(SandboxError, match="no received submission"):
        ledger.queued(number)

    assert ledger.next() is None
    assert [row.id for row in ledger.receiving()] == [number]


def test_a_run_of_the_owners_is_nobodys_turn(ledger: Ledger) -> None:
    """It changes no order, takes no slot, and owes no fee; its bits count."""
    done(ledger, "zenith")
    own(ledger, run_name(99), 5, "acme")
    ledger.settle(run_name(99), 5, ("OK", None), (0, 0), FEE)
    ledger.release(run_name(99))
    submitted(ledger, "zenith")
    submitted(ledger, "acme")
    queued = ledger.next()

    assert queued
    assert queued.vendor == "acme"
    assert ledger.slots("acme", OPENS, CLOSES) == 1
    assert [run.fee_cents for run in ledger.runs()] == [FEE, 0]
    assert ledger.released() == 6.6


# Bits


def test_what_is_left_of_the_budget_can_be_spent_to_the_last_tenth(ledger: Ledger) -> None:
    """99.9 of 100 bits are gone: a tenth fits, and then nothing does."""
    ledger.adopt(run_name(1), "acme", 1, 99.9)
    with pytest.raises(OwnerError, match=r"99\.9 and one run may take 0\.2"):
        own(ledger, run_name(2), 0.2)
    own(ledger, run_name(3), 0.1, "zenith")
    with pytest.raises(OwnerError, match="nothing was run"):
        own(ledger, run_name(4), 0.1)


@pytest.mark.parametrize("second", [("zenith", 1), ("zenith", 2)])
def test_all_vendors_and_versions_share_the_budget(ledger: Ledger, second: tuple[str, int]) -> None:
    """They may collude, and versions share tiles."""
    own(ledger, run_name(1), 60, "acme", 1)
    with pytest.raises(OwnerError, match="nothing was run"):
        own(ledger, run_name(2), 60, *second)


def test_a_start_that_does_not_fit_changes_nothing(ledger: Ledger) -> None:
    """The submission waits on, and nothing is set aside."""
    number = submitted(ledger)
    with pytest.raises(OwnerError, match="nothing was run"):
        started(ledger, number, bits=BUDGET + 1)

    assert states(ledger) == ["queued"]
    assert (ledger.runs(), ledger.taken()) == ((), 0)


@pytest.mark.parametrize(
    "step",
    [
        lambda ledger: ledger.settle(run_name(1), 60.1, ("OK", None), (0, 0), 0),  # above
        lambda ledger: ledger.settle(run_name(1), 60, ("OK", None), (101, 0), 0),  # above
        lambda ledger: ledger.settle(run_name(1), 60, ("REFUSED", None), (1, 0), 0),
        lambda ledger: ledger.release(run_name(1)),  # not settled
        lambda ledger: ledger.settle(run_name(9), 1, ("OK", None), (0, 0), 0),
        lambda ledger: ledger.release(run_name(9)),
        lambda ledger: ledger.abort(run_name(9), "killed"),
        lambda ledger: ledger.settle(run_name(77), 1, ("OK", None), (0, 0), 0),  # unknown
        lambda ledger: ledger.abort(run_name(77), "killed"),
    ],
)
def test_a_run_takes_only_the_steps_there_are(
    ledger: Ledger, step: Callable[[Ledger], None]
) -> None:
    """Reserved, settled downwards, released; anything else stops the release, and changes none."""
    started(ledger, submitted(ledger), bits=60)
    ledger.adopt(run_name(9), "acme", 1, 40)
    before = ledger.contents()
    with pytest.raises(SandboxError, match="no longer holds this run"):
        step(ledger)

    assert ledger.contents() == before


def test_a_result_that_was_found_counts_once(ledger: Ledger) -> None:
    """With its vendor, its bits and its charge, though of no submission; a second time not."""
    ledger.adopt(
        run_name(1), "old", 2, 81.5, statuses=("OK", None), micro_petaflops=(9, 0), day=OPENS
    )
    with pytest.raises(sqlite3.IntegrityError):
        ledger.adopt(run_name(1), "old", 2, 81.5)

    assert ledger.released() == 81.5
    assert ledger.petaflops_left("old", LIMITS) == LIMITS.micro_petaflops - 9
    assert ledger.slots("old", OPENS, CLOSES) == 0


# Everything together, against a plain model

VENDORS = ("acme", "zenith")
DAYS = (OPENS, OPENS + timedelta(days=1), CLOSES)
CHOICE, COMPUTE = st.integers(0, 2**16), st.integers(0, 25)
SMALL = Limits(total=4, per_day=2, micro_petaflops=20, opens=OPENS, closes=CLOSES)


@dataclass
class ModelRun:
    """What a run took, as plainly as can be."""

    vendor: str
    submission: int
    state: str = "reserved"
    tenths: int = 0
    reserved: int = 0
    charged: int = 0
    fee: int = 0
    refused: bool = False


@dataclass
class ModelSubmission:
    """Whose it is, when it came, and where it stands."""

    vendor: str
    day: date
    state: str = "receiving"


class Books(RuleBasedStateMachine):
    """Any step on any number at any time: what is illegal is refused, and the sums stay right."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        ledger_file.prepare(self.connection)
        self.ledger = Ledger(self.connection)
        self.submissions: dict[int, ModelSubmission] = {}
        self.runs: dict[int, ModelRun] = {}
        self.turns: list[str] = []

    def teardown(self) -> None:
        """Close the file that is none."""
        self.connection.close()

    @initialize()
    def add_vendors(self) -> None:
        """Two of them."""
        for name in VENDORS:
            self.ledger.add_vendor(Vendor(name))

    def slots(self, vendor: str, *days: date) -> int:
        """How many submissions hold one."""
        return sum(
            each.vendor == vendor and each.day in days and each.state not in {"refused", "aborted"}
            for each in self.submissions.values()
        )

    def used(self, vendor: str) -> tuple[int, int]:
        """What is charged, and what is set aside."""
        own = [run for run in self.runs.values() if run.vendor == vendor]
        return sum(run.charged for run in own), sum(run.reserved for run in own)

    @contextmanager
    def allowed(self, *, when: bool) -> Iterator[None]:
        """The step is taken where it may be, and raises where it may not."""
        if when:
            yield
            return
        with pytest.raises((OwnerError, SandboxError)):
            yield

    @rule(vendor=st.sampled_from(VENDORS), day=st.sampled_from(DAYS))
    def receive(self, vendor: str, day: date) -> None:
        """Where both quotas and some compute are left."""
        room = (
            self.slots(vendor, *DAYS) < SMALL.total
            and self.slots(vendor, day) < SMALL.per_day
            and self.used(vendor)[0] < SMALL.micro_petaflops
        )
        with self.allowed(when=room):
            number = self.ledger.receive(vendor, "both", SMALL, day)
            assert number == len(self.submissions) + 1
            self.submissions[number] = ModelSubmission(vendor, day)

    def pick(self, choice: int, *wanted: str) -> int:
        """A number: mostly of a submission, or of its run, in one of these states."""
        states = {number: each.state for number, each in self.submissions.items()}
        states |= {number: run.state for number, run in self.runs.items()}
        fitting = [number for number, state in states.items() if state in wanted]
        return fitting[choice % len(fitting)] if fitting and choice % 4 else choice % 9

    @rule(choice=CHOICE)
    def queue(self, choice: int) -> None:
        """What is being received."""
        number = self.pick(choice, "receiving")
        found = self.submissions.get(number)
        with self.allowed(when=bool(found and found.state == "receiving")):
            self.ledger.queue(number, received(), None)
            assert found
            found.state = "queued"

    @rule(choice=CHOICE)
    def abort_submission(self, choice: int) -> None:
        """What has not started."""
        number = self.pick(choice * 4, "none")  # any: what is aborted leads nowhere
        found = self.submissions.get(number)
        with self.allowed(when=bool(found and found.state in {"receiving", "queued"})):
            self.ledger.abort_submission(number, "operator")
            assert found
            found.state = "aborted"

    @rule(choice=CHOICE, other=st.booleans(), tenths=st.integers(0, 400), compute=COMPUTE)
    def start(self, choice: int, tenths: int, compute: int, *, other: bool) -> None:
        """What waits, of a vendor that runs nothing, where bits and compute fit."""
        number = self.pick(choice, "queued")
        found = self.submissions.get(number, ModelSubmission("acme", OPENS, "none"))
        vendor = VENDORS[other] if choice % 8 == 1 else found.vendor
        fits = (
            (found.state, found.vendor) == ("queued", vendor)
            and all(run.vendor != vendor for run in self.runs.values() if run.state in OPEN)
            and sum(run.tenths for run in self.runs.values()) + tenths <= 10 * BUDGET
            and sum(self.used(vendor)) + compute <= SMALL.micro_petaflops
        )
        with self.allowed(when=fits):
            self.ledger.start(
                run_name(number),
                number,
                vendor,
                1,
                bits=tenths / 10,
                bit_budget=BUDGET,
                micro_petaflops=compute,
                limits=SMALL,
            )
            found.state = "running"
            self.turns.append(vendor)
            self.runs[number] = ModelRun(vendor, number, tenths=tenths, reserved=compute)

    @rule(
        choice=CHOICE,
        share=st.sampled_from([0, 0.5, 1, 1.1]),
        refused=st.booleans(),
        fee=st.integers(0, 500),
    )
    def settle(self, choice: int, share: float, fee: int, *, refused: bool) -> None:
        """Downwards, once; a refused one is charged nothing."""
        number = self.pick(choice, "reserved")
        run = self.runs.get(number, ModelRun("", 0, state="none"))
        tenths, charge = round(run.tenths * share), int(run.reserved * share)
        charge = 0 if refused and choice % 3 else charge
        legal = run.state == "reserved" and tenths <= run.tenths and charge <= run.reserved
        with self.allowed(when=legal and not (refused and charge)):
            statuses = ("REFUSED", None) if refused else ("OK", "TIMEOUT")
            charges = (charge // 2, charge - charge // 2)
            self.ledger.settle(run_name(number), tenths / 10, statuses, charges, fee)
            run.state, run.tenths, run.reserved, run.charged = "settled", tenths, 0, charge
            run.refused, run.fee = refused, 0 if refused else fee

    @rule(choice=CHOICE)
    def release(self, choice: int) -> None:
        """What is settled."""
        number = self.pick(choice, "settled")
        run = self.runs.get(number)
        with self.allowed(when=bool(run and run.state == "settled")):
            self.ledger.release(run_name(number))
            assert run
            run.state = "released"
            self.submissions[number].state = "refused" if run.refused else "done"

    @rule(choice=CHOICE)
    def abort(self, choice: int) -> None:
        """What has not ended."""
        number = self.pick(choice, "reserved", "settled") if choice % 3 else self.pick(choice)
        run = self.runs.get(number)
        with self.allowed(when=bool(run and run.state in OPEN)):
            self.ledger.abort(run_name(number), "killed")
            assert run
            self.runs[number] = ModelRun(run.vendor, number, state="aborted")
            self.submissions[number].state = "aborted"

    @invariant()
    def sums_are_right(self) -> None:
        """Quotas, compute, bits and fees, by the ledger and by the account made of it."""
        runs = self.runs.values()
        terms, contents = Terms(SMALL, "EUR", FEE, 3600), self.ledger.contents()
        uses = self.ledger.used(SMALL, OPENS)
        assert tuple(vendor for vendor, _ in uses) == contents.vendors
        for vendor, used in uses:
            charged, reserved = self.used(vendor.name)
            slots = self.slots(vendor.name, *DAYS)
            owed = sum(
                run.fee for run in runs if run.vendor == vendor.name and run.state == "released"
            )
            made = account(contents, vendor, terms, OPENS)
            assert slots == self.ledger.slots(vendor.name, OPENS, CLOSES) <= SMALL.total
            assert (made.submissions, made.today) == (slots, self.slots(vendor.name, OPENS))
            assert (made.charged, made.reserved, made.owed_cents) == (charged, reserved, owed)
            assert asdict(used) == {field.name: getattr(made, field.name) for field in fields(Used)}
            left = SMALL.micro_petaflops - charged - reserved
            assert 0 <= left == self.ledger.petaflops_left(vendor.name, SMALL)
        released = sum(run.tenths for run in runs if run.state == "released")
        assert round(10 * self.ledger.released()) == released
        assert round(10 * self.ledger.taken()) == sum(run.tenths for run in runs) <= 10 * BUDGET

    @invariant()
    def states_are_right(self) -> None:
        """Of every row, and what runs is exactly what has an open run."""
        contents = self.ledger.contents()
        assert [row.state for row in contents.submissions] == [
            each.state for each in self.submissions.values()
        ]
        assert {run.submission: run.state for run in contents.runs} == {
            number: run.state for number, run in self.runs.items()
        }
        running = {row.id for row in contents.submissions if row.state == "running"}
        assert running == {run.submission for run in self.ledger.running()}

    @invariant()
    def turns_are_fair(self) -> None:
        """The next is the first of the vendor whose last start is longest ago."""
        busy = {run.vendor for run in self.runs.values() if run.state in OPEN}
        waiting = [
            (self._last_start(each.vendor), number)
            for number, each in self.submissions.items()
            if each.state == "queued" and each.vendor not in busy
        ]
        found = self.ledger.next()
        assert (found.id if found else None) == (min(waiting)[1] if waiting else None)

    def _last_start(self, vendor: str) -> int:
        return max((turn for turn, whose in enumerate(self.turns, 1) if whose == vendor), default=0)


OPEN = {"reserved", "settled"}
TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_every_step_ends_somewhere() -> None:
    """From each state there is a way on, but from the last ones."""
    for steps, last in (
        (SUBMISSION_STEPS, {"done", "refused", "aborted"}),
        (RUN_STEPS, {"released", "aborted"}),
    ):
        assert {to for _, to in steps} - {state for state, _ in steps} == last


# The file


def test_the_ledger_is_its_owners_alone(path: Path) -> None:
    """Whatever the umask; and so are the journals beside it, which hold the same rows."""
    before = os.umask(0)
    try:
        with open_ledger(path) as ledger:
            ledger.add_vendor(Vendor("acme"))
            modes = {
                found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()
            }
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(
        ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"), 0o600
    )


def test_every_commit_is_synced(path: Path) -> None:
    """FULL (2) with a write-ahead log: a power cut takes back nothing."""
    with open_ledger(path) as ledger:
        found = [
            ledger._connection.execute(f"PRAGMA {name}").fetchone()[0]  # noqa: SLF001 - settings
            for name in ("synchronous", "journal_mode", "user_version", "foreign_keys")
        ]

    assert found == [2, "wal", ledger_schema.FORMAT, 1]


def test_the_tables_hold_no_state_that_there_is_not(path: Path, ledger: Ledger) -> None:
    """Nor a sum of what is set aside and charged, whoever writes into the file."""
    started(ledger, submitted(ledger))
    with closing(sqlite3.connect(path)) as other:
        for change in (
            "UPDATE runs SET state = 'gone'",
            "UPDATE runs SET micro_baseline = 1",
            "UPDATE runs SET state = 'aborted', reason = 'killed', ended = 'now'",
            "UPDATE runs SET run = 'short'",
            "UPDATE submissions SET state = 'done'",
            "UPDATE submissions SET sha256 = NULL",
            "UPDATE submissions SET day = 'today'",
            "UPDATE vendors SET name = '=1+1'",
            "UPDATE vendors SET per_day = -1",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                other.execute(change)


def test_a_ledger_that_is_held_is_told_and_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, not for ever; who only reads never waits; it works once it is let go."""
    monkeypatch.setattr(ledger_file, "BUSY_SECONDS", 0.1)
    with open_ledger(path) as ledger:
        ledger.add_vendor(Vendor("acme"))
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with open_ledger(path) as ledger:
            assert ledger.contents().vendors
        with (
            pytest.raises(SandboxError, match="Another process has held the ledger"),
            open_ledger(path) as ledger,
        ):
            submitted(ledger)
        holder.execute("ROLLBACK")
        with open_ledger(path) as ledger:
            submitted(ledger)


@pytest.mark.parametrize(
    ("offset", "content"), [(0, b"not a database" * 100), (100, b"\xff" * 60), (16, b"\x00\x03")]
)
def test_a_damaged_ledger_is_told(path: Path, offset: int, content: bytes) -> None:
    """And how to go on; nothing is written over it."""
    with open_ledger(path):
        pass
    whole = path.read_bytes()
    damaged = whole[:offset] + content + whole[offset + len(content) :]
    path.write_bytes(damaged)

    with (
        pytest.raises(OwnerError, match=r"is damaged\. Restore it from a backup"),
        open_ledger(path),
    ):
        pass
    assert path.read_bytes() == damaged


def test_a_ledger_is_checked_whole_unless_it_is_as_it_was_left(path: Path) -> None:
    """It is what a restored or a damaged file is not; nothing else is believed of the note."""

    def checks() -> int:
        with open_ledger(path) as ledger:
            ledger.vendors()
        return seen.count("PRAGMA quick_check")

    seen: list[str] = []
    real = ledger_file.prepare

    def prepare(connection: sqlite3.Connection, *, whole: bool = False) -> None:
        connection.set_trace_callback(seen.append)
        real(connection, whole=whole)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_file, "prepare", prepare)
        assert (checks(), checks()) == (1, 1)
        path.with_name("copy").write_bytes(path.read_bytes())
        path.with_name("copy").rename(path)
        assert (checks(), checks()) == (2, 2)
        path.with_name("ledger.sqlite-checked").write_text("1 2")
        assert (checks(), checks()) == (3, 3)


def test_a_ledger_opened_inside_another_opening_is_the_same(path: Path) -> None:
    """What one of them commits the other sees, and a fork's or another file's is its own."""
    with open_ledger(path) as ledger:
        with open_ledger(path) as again:
            again.add_vendor(Vendor("acme"))
            assert again._connection is ledger._connection  # noqa: SLF001 - that is the point
        assert ledger.vendor("acme")
        child = os.fork()
        if not child:
            code = 1
            with suppress(BaseException), open_ledger(path) as other:
                code = int(other._connection is ledger._connection)  # noqa: SLF001 - as above
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        path.rename(path.with_name("moved"))
        with open_ledger(path) as other:
            assert other.vendors() == ()
    with open_ledger(path) as ledger:
        assert ledger.vendors() == ()


def test_a_ledger_of_another_version_is_left_alone(path: Path) -> None:
    """It may count by other rules; not even its journal changes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (a)")
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()

    with pytest.raises(OwnerError, match="another version of this program"), open_ledger(path):
        pass
    assert path.read_bytes() == before


def test_a_ledger_without_a_directory_is_told(tmp_path: Path) -> None:
    """Its file cannot be made."""
    with pytest.raises(OSError, match="No such file"), open_ledger(tmp_path / "gone" / "l.sqlite"):
        pass


def test_two_ledgers_of_one_process_keep_their_locks(path: Path, ledger: Ledger) -> None:
    """Closing a second one drops no lock of the first, as POSIX would if it opened the file.

    Then another process would think itself the last one, and remove the log under the first.
    """
    log = path.with_name("ledger.sqlite-wal")
    with open_ledger(path) as second:
        assert second.vendors()
    program = (
        "import sys, pathlib, evaluator.ledger as them\n"
        "with them.open_ledger(pathlib.Path(sys.argv[1])) as other: other.vendors()"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)

    assert log.exists()
    submitted(ledger)


FORMAT_1 = """
CREATE TABLE leakage (
    run TEXT PRIMARY KEY,
    vendor TEXT NOT NULL,
    dataset_version INTEGER NOT NULL CHECK (dataset_version >= 1),
    tenths INTEGER NOT NULL CHECK (tenths >= 0),
    state TEXT NOT NULL CHECK (state IN ('reserved', 'released')),
    time TEXT NOT NULL
) STRICT
"""


def format_1(path: Path, rows: list[tuple[str, str, int, int, str, str]]) -> None:
    """A ledger as the version before this one wrote it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(FORMAT_1)
        connection.executemany("INSERT INTO leakage VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("PRAGMA user_version = 1")


def test_an_older_ledger_becomes_one_of_this_format(path: Path) -> None:
    """Bits stay counted, vendors become known; what a kill left can be released or aborted."""
    when = "2029-12-31T23:59:59Z"
    format_1(
        path,
        [
            (run_name(1), "zenith", 1, 815, "released", when),
            (run_name(2), "acme", 2, 16, "released", when),
            (run_name(3), "acme", 2, 100, "reserved", when),
            (run_name(4), "acme", 2, 50, "reserved", when),
        ],
    )
    with open_ledger(path) as ledger:
        assert [vendor.name for vendor in ledger.vendors()] == ["acme", "zenith"]
        assert [run.run for run in ledger.running()] == [run_name(3), run_name(4)]
        assert (ledger.released(), ledger.taken()) == (83.1, 98.1)
        ledger.release(run_name(3))
        ledger.abort(run_name(4), "killed")
    with open_ledger(path) as ledger:
        rows = [(run.run, run.vendor, run.version, run.tenths, run.state) for run in ledger.runs()]

    assert rows == [
        (run_name(1), "zenith", 1, 815, "released"),
        (run_name(2), "acme", 2, 16, "released"),
        (run_name(3), "acme", 2, 100, "released"),
        (run_name(4), "acme", 2, 0, "aborted"),
    ]


def test_a_ledger_from_before_the_log_learns_of_it(path: Path) -> None:
    """Nothing is known to be logged, and no vendor has named a price."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in ledger_schema.SCHEMA:  # what format 2 was
            connection.execute(statement)
        connection.execute("INSERT INTO vendors (name, added) VALUES ('acme', '2029-12-31')")
        connection.execute("PRAGMA user_version = 2")
    with open_ledger(path) as ledger:
        assert (ledger.vendor("acme").price, ledger.names()) == (None, {})
        ledger.note([("received/1", 3)])
        assert ledger.position("received/1") == 3


def format_3(path: Path) -> None:
    """A ledger as the version before this one wrote it: its sums were made of all rows."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in (*ledger_schema.SCHEMA, *ledger_schema.TO_3):
            connection.execute(statement)
        connection.execute("INSERT INTO vendors (name, added) VALUES ('acme', 'then')")
        for number, (state, bits) in enumerate(
            [("released", 815), ("released", 16), ("settled", 100), ("reserved", 50)], 1
        ):
            end = ("done", "then") if state == "released" else ("running", "")
            connection.execute(
                "INSERT INTO submissions VALUES (?, 'acme', 'both', 'onnx', 'file', ?, 3, '', "
                "NULL, 'then', '2030-01-01', ?, '', ?)",
                (number, "0" * 64, *end),
            )
            connection.execute(
                "INSERT INTO runs VALUES (?, ?, ?, 'acme', 1, ?, ?, 0, 0, 0, 0, 'OK', NULL, "
                "'2030-01-01', 'then', ?, '')",
                (number, run_name(number), number, state, bits, "then" * (state != "reserved")),
            )
        names = [("key/0", 0), *((f"received/{number}", number) for number in range(1, 5))]
        connection.executemany("INSERT INTO logged VALUES (?, ?)", [*names, ("end/1", 5)])
        connection.execute("PRAGMA user_version = 3")


def test_a_ledger_of_the_format_before_goes_on(path: Path) -> None:
    """Its bits count, and what the log still awaits of it is found, whatever ends next."""
    format_3(path)
    with open_ledger(path) as ledger:
        assert (ledger.released(), ledger.taken()) == (83.1, 98.1)
        assert [position for position, _ in ledger.unlogged()] == [2]
        ledger.settle(run_name(4), 4, ("OK", None), (0, 0), FEE)
        for number in (3, 4):
            ledger.release(run_name(number))
        ledger.note([("end/2", 6)])
        assert (ledger.released(), ledger.taken()) == (97.1, 97.1)
    with open_ledger(path) as ledger:
        assert [position for position, _ in ledger.unlogged()] == [3, 4]


@pytest.mark.parametrize("older", [1, 3])
def test_an_older_ledger_changes_whole_or_not_at_all(
    path: Path, monkeypatch: pytest.MonkeyPatch, older: int
) -> None:
    """A step of the change that fails takes back those before it; the next opening succeeds."""

    def look() -> list[tuple[str, str]]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT type, name FROM sqlite_master").fetchall()

    if older == 1:
        format_1(path, [(run_name(1), "acme", 1, 831, "released", "2029-12-31T23:59:59Z")])
    else:
        format_3(path)
    before, whole = look(), ledger_schema.STEPS[older]
    for steps in range(len(whole)):
        with monkeypatch.context() as patch:
            patch.setitem(ledger_schema.STEPS, older, (*whole[:steps], "this is no SQL"))
            with pytest.raises(OwnerError), open_ledger(path):
                pass
        assert look() == before
    with open_ledger(path) as ledger:
        assert ledger.released() == 83.1


@pytest.mark.parametrize("change", ["tenths + 1", "tenths"])
def test_sums_that_are_not_those_of_the_rows_are_damage(path: Path, change: str) -> None:
    """Nobody but this program keeps them; the control writes the file too, and changes none."""
    with open_ledger(path) as ledger:
        ledger.adopt(run_name(1), "acme", 1, 1.6)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE sums SET tenths = {change} WHERE state = 'released'")  # noqa: S608 - ours
    expected = pytest.raises(OwnerError, match="is damaged") if "+" in change else nullcontext()
    with expected, open_ledger(path) as ledger:
        assert ledger.released() == 1.6


def test_rows_that_somebody_takes_out_count_no_more(path: Path) -> None:
    """The sums follow the rows, by whatever hand, and the results of that vendor are looked at."""
    with open_ledger(path) as ledger:
        ledger.adopt(run_name(1), "acme", 1, 1.6)
        ledger.adopt(run_name(2), "zenith", 1, 5)
        ledger.found_known({"acme": "as it was", "zenith": "as it was"})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM runs WHERE vendor = 'acme'")
    with open_ledger(path) as ledger:
        assert (ledger.released(), ledger.compared()) == (5, {"zenith": "as it was"})


# What the log awaits

MOMENTS = ("2030-01-02T00:00:00Z", "2030-01-03T00:00:00Z")
ROOMY = replace(LIMITS, total=1000, per_day=1000)


class Awaited(RuleBasedStateMachine):
    """Received, ended and logged in any order: what is unlogged is what the names say."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        ledger_file.prepare(self.connection)
        self.ledger = Ledger(self.connection)
        self.ledger.add_vendor(Vendor("acme"))
        self.due: dict[str, str | None] = {}
        self.runs = 0
        self.size = 0

    def teardown(self) -> None:
        """Close the file that is none."""
        self.connection.close()

    def log(self, name: str) -> None:
        """One entry more."""
        self.ledger.note([(name, self.size)])
        self.size += 1

    def release(self, run: str, received_as: str, due: str | None) -> None:
        """Its result, of which the ledger is told when it may leave, or not."""
        self.ledger.settle(run, 0, ("OK", None), (0, 0), FEE)
        self.ledger.release(run, due)
        logged = self.ledger.position(f"received/{received_as}") is not None
        self.due[received_as] = due if logged else None

    @rule(logged=st.booleans())
    def submit(self, *, logged: bool) -> None:
        """One that waits, and that the log may not have yet."""
        number = self.ledger.receive("acme", "both", ROOMY, OPENS)
        self.ledger.queue(number, received(), None)
        if logged:
            self.log(f"received/{number}")

    @rule(due=st.sampled_from([None, *MOMENTS]))
    def run(self, due: str | None) -> None:
        """The next, to its end."""
        if queued := self.ledger.next():
            self.release(started(self.ledger, queued.id, bits=0), str(queued.id), due)

    @rule(due=st.sampled_from([None, *MOMENTS]), abort=st.booleans())
    def run_own(self, due: str | None, *, abort: bool) -> None:
        """A run of the owner's, to whichever end."""
        self.runs += 1
        run = f"{2**60 + self.runs:x}"
        own(self.ledger, run, 0)
        self.log(f"received/run-{run}")
        if abort:
            self.ledger.abort(run, "host")
        else:
            self.release(run, f"run-{run}", due)

    @rule()
    def abort(self) -> None:
        """The next, before it ran."""
        if queued := self.ledger.next():
            self.ledger.abort_submission(queued.id, "operator")

    @rule(choice=CHOICE)
    def end(self, choice: int) -> None:
        """Log one of what has ended."""
        if ends := self.ledger.unlogged():
            self.log(f"end/{ends[choice % len(ends)][0]}")

    @rule(choice=CHOICE)
    def note_again(self, choice: int) -> None:
        """A name that is known stays where it is."""
        if names := sorted(self.ledger.names()):
            self.log(names[choice % len(names)])

    @invariant()
    def unlogged_is_right(self) -> None:
        """In order, each with its end; with a moment, without those that leave after it."""
        names, contents = self.ledger.names(), self.ledger.contents()
        ended = {
            **{str(row.id): row for row in contents.submissions if row.state == "aborted"},
            **{
                str(run.submission or f"run-{run.run}"): run
                for run in contents.runs
                if run.state == "released" or (run.state == "aborted" and not run.submission)
            },
        }
        right = [
            (position, key, ended[key])
            for name, position in sorted(names.items(), key=lambda each: each[1])
            if (key := name.removeprefix("received/")) in ended and f"end/{position}" not in names
        ]
        assert self.ledger.unlogged() == tuple((position, row) for position, _, row in right)
        for moment in MOMENTS:
            assert self.ledger.unlogged(by=moment) == tuple(
                (position, row)
                for position, key, row in right
                if (self.due.get(key) or "") <= moment
            )


TestAwaited = Awaited.TestCase
TestAwaited.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


# A disk that is full


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_cannot_grow_says_so_and_loses_nothing(path: Path) -> None:
    """What a call had committed stays; the call that failed left nothing; then it goes on."""
    with open_ledger(path) as ledger:
        ledger.add_vendor(Vendor("acme", submissions=1000, per_day=1000))
        numbers = [submitted(ledger)]
        room = path.with_name("ledger.sqlite-wal").stat().st_size + 20_000

        def fill() -> None:
            while True:
                numbers.append(submitted(ledger))

        with pytest.raises(sqlite3.OperationalError), largest_file(room):
            fill()
        assert [row.id for row in ledger.submissions() if row.state == "queued"] == numbers
    with (
        pytest.raises(SandboxError, match="The disk did not take or give"),
        open_ledger(path) as ledger,
        largest_file(0),
    ):
        submitted(ledger)
    with open_ledger(path) as ledger:
        assert len(ledger.submissions()) in {len(numbers), len(numbers) + 1}
        submitted(ledger)


def test_a_full_disk_says_so_and_loses_nothing(small_disk: Path) -> None:
    """Until it is full, every call that returned is kept; with room again, all goes on."""
    path, hog = small_disk / "ledger.sqlite", small_disk / "hog"
    numbers: list[int] = []
    hog.write_bytes(bytes(128 * 1024))

    def fill() -> None:
        with open_ledger(path) as ledger:
            ledger.add_vendor(Vendor("acme", submissions=10_000, per_day=10_000))
            while True:
                numbers.append(submitted(ledger))

    with pytest.raises(SandboxError, match=r"The disk is full\. Free some space"):
        fill()
    hog.unlink()
    with open_ledger(path) as ledger:
        assert [row.id for row in ledger.submissions() if row.state == "queued"] == numbers
        assert numbers
        submitted(ledger)


def test_a_ledger_that_finds_no_room_is_not_begun(small_disk: Path) -> None:
    """It says that the disk is full; with room, it is begun."""
    path, hog = small_disk / "ledger.sqlite", small_disk / "hog"
    with hog.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
    with pytest.raises(SandboxError, match="The disk is full"), open_ledger(path):
        pass
    hog.unlink()
    with open_ledger(path) as ledger:
        assert ledger.vendors() == ()


def test_ten_thousand_rows_are_read_and_written_as_a_few_are(path: Path) -> None:
    """Every sum and every turn goes through an index or one pass; the window's sums are exact."""
    with open_ledger(path) as ledger:
        ledger.add_vendor(Vendor("acme", submissions=20_000, per_day=20_000))
        ledger._connection.execute("BEGIN")  # noqa: SLF001 - filled by hand, in one transaction
        for number in range(1, 10_001):
            ledger._connection.execute(  # noqa: SLF001 - as above
                "INSERT INTO submissions VALUES (?, 'acme', 'both', 'onnx', 'file', ?, 3, '', "
                "NULL, 'then', '2030-01-01', 'done', '', 'then')",
                (number, "0" * 64),
            )
            ledger._connection.execute(  # noqa: SLF001 - as above
                "INSERT INTO runs VALUES (?, ?, ?, 'acme', 1, 'released', 16, 0, 1, 1, 250, 'OK', "
                "'OK', '2030-01-01', 'then', 'then', '')",
                (number, run_name(number), number),
            )
        ledger._connection.execute("COMMIT")  # noqa: SLF001 - as above
    limits = replace(LIMITS, micro_petaflops=10**9)
    for _ in range(5):
        with open_ledger(path) as ledger:
            number = ledger.receive("acme", "both", limits, OPENS)
            ledger.queue(number, received(), None)
            queued = ledger.next()
            assert queued
            run = run_name(queued.id)
            ledger.start(
                run, number, "acme", 1, bits=1, bit_budget=10**6, micro_petaflops=2, limits=limits
            )
            ledger.settle(run, 1, ("OK", None), (2, 0), FEE)
            ledger.release(run)
    with open_ledger(path) as ledger:
        contents = ledger.contents()
        made = account(contents, contents.vendors[0], Terms(limits, "EUR", FEE, 3600), OPENS)

    assert (made.submissions, made.charged, made.owed_cents) == (10_005, 20_010, 10_005 * FEE)


# What a vendor may be told


def test_a_vendor_is_told_nothing_before_the_slot_ends(ledger: Ledger) -> None:
    """Queued, running and ended look alike until then, and times are never told."""
    for state in ("done", "queued", "running", "aborted"):
        number = submitted(ledger, day=OPENS + timedelta(days=ledger.slots("acme", OPENS, CLOSES)))
        if state == "done":
            ledger.settle(started(ledger, number), 1, ("OK", None), (7, 0), FEE)
            ledger.release(run_name(number))
        if state == "running":
            number = ledger.queued(2).id
            started(ledger, number)
        if state == "aborted":
            ledger.abort_submission(number, "operator")
    contents = ledger.contents("acme")
    ended = max(row.ended for row in contents.submissions)
    moment = datetime.fromisoformat(ended)
    early = vendors_view(contents, 86_400, moment)
    late = vendors_view(contents, 86_400, moment + timedelta(days=1))

    assert {row.state for row in early.submissions} == {"queued"}
    assert early.runs == ()
    assert [row.state for row in late.submissions] == ["done", "queued", "queued", "aborted"]
    assert [run.charges for run in late.runs] == [(7, 0)]
    assert not any(run.started or run.ended for run in late.runs)


def test_what_a_vendor_is_told_follows_the_time_that_the_result_states(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settled a second before midnight and released one after it: it is told after midnight."""
    times = ["2030-01-01T23:59:59Z"]
    monkeypatch.setattr("evaluator.ledger._now", lambda: times[-1])
    run = started(ledger, submitted(ledger))
    ledger.settle(run, 1, ("OK", None), (0, 0), FEE)
    times.append("2030-01-02T00:00:01Z")
    ledger.release(run)
    told = [
        vendors_view(ledger.contents("acme"), 86_400, datetime.fromisoformat(moment))
        for moment in ("2030-01-01T23:59:59Z", "2030-01-02T00:00:01Z")
    ]

    assert [view.submissions[0].state for view in told] == ["queued", "done"]

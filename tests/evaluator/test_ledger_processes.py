"""The ledger among processes: many at once, and one that is killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import closing, suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evaluator.admission import Received
from evaluator.errors import OwnerError
from evaluator.ledger import Ledger, Limits, TakenError, Vendor, open_ledger

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = date(2030, 1, 1)
LIMITS = Limits(5, 5, 10**9, DAY, DAY)
MANY = Limits(100_000, 100_000, 10**9, DAY, DAY)
RECEIVED = Received("onnx", "file", "0" * 64, 3, Path("gone"), "0" * 64)
TAKEN, REFUSED, BROKEN = 0, 7, 1


def forked(work: Callable[[], int]) -> int:
    """A child that does the work and ends with its answer."""
    child = os.fork()
    if child:
        return child
    code = BROKEN
    try:
        code = work()
    finally:
        os._exit(code)


def together(*works: Callable[[], int]) -> list[int]:
    """The answers of children that begin at the same moment: when the door is shut."""
    gate, door = os.pipe()

    def behind(work: Callable[[], int]) -> Callable[[], int]:
        def wait() -> int:
            os.close(door)  # the child's own copy
            os.read(gate, 1)
            return work()

        return wait

    children = [forked(behind(work)) for work in works]
    os.close(door)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(gate)
    return codes


def new_ledger(path: Path, *vendors: str) -> Path:
    """A ledger that knows these."""
    with open_ledger(path) as ledger:
        for name in vendors:
            ledger.add_vendor(Vendor(name))
    return path


def submitted(ledger: Ledger, vendor: str) -> int:
    """A submission that waits."""
    number = ledger.receive(vendor, "both", MANY, DAY)
    ledger.queue(number, RECEIVED, b"{}")
    return number


def start(ledger: Ledger, number: int, vendor: str) -> str:
    """Its run, with 2 bits and 10 micro-petaflops set aside."""
    run = f"{number:016x}"
    ledger.start(run, number, vendor, 1, bits=2, bit_budget=10**9, micro_petaflops=10, limits=MANY)
    return run


def assert_consistent(path: Path) -> None:
    """The file is whole, what runs has one open run, and nothing is taken that nobody has."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    with open_ledger(path) as ledger:
        contents, running = ledger.contents(), ledger.running()
    ended = {row.id for row in contents.submissions if row.state in {"done", "refused"}}
    assert {row.id for row in contents.submissions if row.state == "running"} == {
        run.submission for run in running
    }
    assert len({run.vendor for run in running}) == len(running)
    assert ended == {run.submission for run in contents.runs if run.state == "released"}
    for run in contents.runs:
        took = (run.tenths, run.micro_reserved, sum(run.charges), run.fee_cents)
        assert (
            took
            == {
                "reserved": (20, 10, 0, 0),
                "settled": (10, 0, 7, 250),
                "released": (10, 0, 7, 250),
                "aborted": (0, 0, 0, 0),
            }[run.state]
        )


# Many at once


@pytest.mark.parametrize("_again", range(5))
def test_twenty_submitters_share_a_quota_of_five(tmp_path: Path, _again: int) -> None:
    """Exactly five are taken, each by a number of its own; the others are told."""
    path = new_ledger(tmp_path / "ledger.sqlite", "acme")

    def submit() -> int:
        try:
            with open_ledger(path) as ledger:
                ledger.receive("acme", "both", LIMITS, DAY)
        except OwnerError as error:
            return REFUSED if "used 5 of 5 submissions" in str(error) else BROKEN
        return TAKEN

    codes = together(*[submit] * 20)

    assert sorted(codes) == [TAKEN] * 5 + [REFUSED] * 15
    with open_ledger(path) as ledger:
        assert [row.id for row in ledger.submissions()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("older", [False, True])
def test_a_ledger_is_begun_once_by_whoever_is_first(tmp_path: Path, *, older: bool) -> None:
    """Ten that find none, or one of the format before, make one together and lose nothing."""
    path = tmp_path / "ledger.sqlite"
    if older:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "CREATE TABLE leakage (run TEXT, vendor TEXT, dataset_version INTEGER, "
                "tenths INTEGER, state TEXT, time TEXT)"
            )
            connection.execute("PRAGMA user_version = 1")

    def work(name: str) -> Callable[[], int]:
        def add() -> int:
            with open_ledger(path) as ledger:
                ledger.add_vendor(Vendor(name))
            return TAKEN

        return add

    names = [f"vendor-{number}" for number in range(10)]
    assert together(*map(work, names)) == [TAKEN] * 10
    with open_ledger(path) as ledger:
        assert [vendor.name for vendor in ledger.vendors()] == names


def test_two_workers_run_each_submission_once(tmp_path: Path) -> None:
    """On one queue: all are run, none twice, and no vendor has two runs at a time."""
    path = new_ledger(tmp_path / "ledger.sqlite", "acme", "yard", "zenith")
    with open_ledger(path) as ledger:
        numbers = [submitted(ledger, name) for name in ("acme", "yard", "zenith") * 8]

    def work() -> int:
        with open_ledger(path) as ledger:
            while any(row.state in {"queued", "running"} for row in ledger.submissions()):
                queued = ledger.next()
                if queued is None:  # the other one runs the last
                    continue
                with suppress(TakenError):
                    run = start(ledger, queued.id, queued.vendor)
                    open_runs = [run.vendor for run in ledger.running()]
                    if len(set(open_runs)) != len(open_runs):
                        return BROKEN
                    ledger.settle(run, 1, ("OK", "OK"), (3, 4), 250)
                    ledger.release(run)
        return TAKEN

    assert together(work, work) == [TAKEN, TAKEN]
    assert_consistent(path)
    with open_ledger(path) as ledger:
        assert sorted(run.submission or 0 for run in ledger.runs()) == numbers
        assert ledger.released() == len(numbers)


# One that is killed


def _receive(ledger: Ledger) -> None:
    ledger.receive("acme", "both", MANY, DAY)


def _queue(ledger: Ledger) -> None:
    ledger.queue(ledger.receiving()[0].id, RECEIVED, b"{}")


def _start(ledger: Ledger) -> None:
    start(ledger, ledger.submissions()[0].id, "acme")


def _settle(ledger: Ledger) -> None:
    ledger.settle(ledger.running()[0].run, 1, ("OK", "OK"), (3, 4), 250)


def _release(ledger: Ledger) -> None:
    ledger.release(ledger.running()[0].run)


def _abort(ledger: Ledger) -> None:
    ledger.abort(ledger.running()[0].run, "killed")


def _abort_submission(ledger: Ledger) -> None:
    ledger.abort_submission(ledger.submissions()[0].id, "killed")


def _adopt(ledger: Ledger) -> None:
    ledger.adopt("f" * 16, "new", 1, 5)


def _add_vendor(ledger: Ledger) -> None:
    ledger.add_vendor(Vendor("new"))


@pytest.mark.parametrize(
    "calls",
    [
        (_receive,),
        (_receive, _queue),
        (_receive, _queue, _start),
        (_receive, _queue, _start, _settle),
        (_receive, _queue, _start, _settle, _release),
        (_receive, _queue, _start, _abort),
        (_receive, _queue, _start, _settle, _abort),
        (_receive, _abort_submission),
        (_receive, _queue, _abort_submission),
        (_adopt,),
        (_add_vendor,),
    ],
    ids=lambda calls: "-".join(call.__name__.strip("_") for call in calls),
)
def test_a_call_is_whole_or_was_never_made(
    tmp_path: Path, calls: tuple[Callable[[Ledger], None], ...]
) -> None:
    """Killed before each statement of it, commit included: it can be made again, with one end."""
    *before, call = calls
    ends = set()
    for statement in range(1, 100):
        path = new_ledger(tmp_path / f"{statement}.sqlite", "acme")
        with open_ledger(path) as ledger:
            for earlier in before:
                earlier(ledger)
            was = _rows(ledger)
        code = os.waitstatus_to_exitcode(os.waitpid(forked(_killed(path, call, statement)), 0)[1])
        with open_ledger(path) as ledger:
            left = _rows(ledger)
            if code == -signal.SIGKILL:
                assert left == was
                call(ledger)
            ends.add(repr(_rows(ledger)))
        if code != -signal.SIGKILL:
            assert code == TAKEN
            break

    assert statement > 3  # it was killed at all
    assert len(ends) == 1


def _killed(path: Path, call: Callable[[Ledger], None], statement: int) -> Callable[[], int]:
    """Make the call in a process that dies before its n-th statement."""

    def work() -> int:
        left = iter(range(statement - 1))

        def trace(_sql: str) -> None:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        with open_ledger(path) as ledger:
            ledger._connection.set_trace_callback(trace)  # noqa: SLF001 - to die in the middle
            call(ledger)
            ledger._connection.set_trace_callback(None)  # noqa: SLF001 - as above
        return TAKEN

    return work


def _rows(ledger: Ledger) -> tuple[object, ...]:
    """Everything but the times."""
    contents = ledger.contents()
    return (
        [vendor.name for vendor in contents.vendors],
        [(row.id, row.state, row.kind, row.reason, row.run) for row in contents.submissions],
        [(run.run, run.state, run.tenths, run.charges, run.fee_cents) for run in contents.runs],
    )


def test_a_kill_at_any_moment_loses_nothing_that_was_said(tmp_path: Path) -> None:
    """Forty kills at random: what the process had said is done, once, and the sums are whole."""
    path = new_ledger(tmp_path / "ledger.sqlite", "acme")
    pauses = random.Random(7)  # noqa: S311 - moments, not secrets
    said: set[int] = set()
    for _ in range(40):
        said |= _say_until_killed(path, pauses.uniform(0, 0.06))
        assert_consistent(path)
        with open_ledger(path) as ledger:  # as the next worker does, under its lock
            for run in ledger.running():
                ledger.abort(run.run, "killed")
            for row in ledger.submissions():
                if row.state in {"receiving", "queued"}:
                    ledger.abort_submission(row.id, "killed")
        assert_consistent(path)
    with open_ledger(path) as ledger:
        finished = {run.submission for run in ledger.runs() if run.state == "released"}
        charged = ledger.charged("acme", MANY)
        slots = ledger.slots("acme", DAY, DAY)

    assert said
    assert said <= finished
    assert len(finished) - len(said) <= 40  # it was killed before it could say so
    assert (slots, charged) == (len(finished), 7 * len(finished))


def _say_until_killed(path: Path, pause: float) -> set[int]:
    """The submissions that a process said it has released before it was killed."""
    ear, mouth = os.pipe()

    def work() -> int:
        os.close(ear)
        while True:
            with open_ledger(path) as ledger:
                number = submitted(ledger, "acme")
                run = start(ledger, number, "acme")
                ledger.settle(run, 1, ("OK", "OK"), (3, 4), 250)
                ledger.release(run)
            os.write(mouth, number.to_bytes(4, "big"))

    child = forked(work)
    os.close(mouth)
    time.sleep(pause)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(ear, "rb") as heard:
        numbers = heard.read()
    return {int.from_bytes(numbers[at : at + 4], "big") for at in range(0, len(numbers) - 3, 4)}

"""The ledger: what it counts, what it refuses, and what a kill or a broken file does to it."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import leak_ledger
from evaluator.errors import OwnerError
from evaluator.leak_ledger import Entry, Ledger, open_ledger
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BUDGET = 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where there is no ledger yet."""
    return tmp_path / "ledger.sqlite"


def rows(path: Path) -> list[tuple[str, float, str]]:
    """Run, bits and state of each row."""
    with open_ledger(path) as ledger:
        return [(entry.run, entry.tenths / 10, entry.state) for entry in ledger.entries()]


def test_a_run_is_reserved_settled_and_released(path: Path) -> None:
    """Its most, then its true bits, then for good; each is there when the file is opened again."""
    seen = []
    with open_ledger(path) as ledger:
        ledger.reserve("a", "acme", 2, 81.5, BUDGET)
    seen += rows(path)
    with open_ledger(path) as ledger:
        ledger.settle("a", 1.6)
        assert ledger.released() == 0
    seen += rows(path)
    with open_ledger(path) as ledger:
        ledger.release("a")
        assert ledger.released() == 1.6
        (entry,) = ledger.entries()
    seen += rows(path)

    assert seen == [("a", 81.5, "reserved"), ("a", 1.6, "reserved"), ("a", 1.6, "released")]
    assert entry == Entry("a", "acme", 2, 16, "released", entry.time)


def test_what_is_left_of_the_budget_can_be_spent_to_the_last_tenth(path: Path) -> None:
    """99.9 of 100 bits are gone: a tenth fits, and then nothing does."""
    with open_ledger(path) as ledger:
        ledger.adopt("a", "acme", 1, 99.9)
        with pytest.raises(OwnerError, match=r"99\.9 and one run may take 0\.2"):
            ledger.reserve("b", "acme", 1, 0.2, BUDGET)
        ledger.reserve("b", "zenith", 1, 0.1, BUDGET)
        with pytest.raises(OwnerError, match="nothing was run"):
            ledger.reserve("c", "acme", 1, 0.1, BUDGET)


@pytest.mark.parametrize("first", [("acme", 1), ("zenith", 1), ("acme", 2)])
def test_all_vendors_and_versions_share_the_budget(path: Path, first: tuple[str, int]) -> None:
    """They may collude, and versions share tiles."""
    with open_ledger(path) as ledger:
        ledger.reserve("a", *first, 60, BUDGET)
        with pytest.raises(OwnerError):
            ledger.reserve("b", "acme", 1, 60, BUDGET)


def test_bits_given_back_can_be_spent_again(path: Path) -> None:
    """A run from which nothing came took nothing; a released one stays."""
    with open_ledger(path) as ledger:
        ledger.reserve("a", "acme", 1, 60, BUDGET)
        ledger.give_back("a")
        ledger.reserve("b", "acme", 1, 60, BUDGET)
        ledger.release("b")
        ledger.give_back("b")

    assert rows(path) == [("b", 60.0, "released")]


@pytest.mark.parametrize(
    "step",
    [
        lambda ledger: ledger.settle("reserved", 60.1),  # above what was set aside
        lambda ledger: ledger.settle("released", 1),
        lambda ledger: ledger.release("released"),
        lambda ledger: ledger.settle("unknown", 1),
        lambda ledger: ledger.release("unknown"),
    ],
)
def test_only_a_reservation_can_be_settled(path: Path, step: Callable[[Ledger], None]) -> None:
    """And only downwards; anything else stops the release."""
    with open_ledger(path) as ledger:
        ledger.reserve("reserved", "acme", 1, 60, 1000)
        ledger.adopt("released", "acme", 1, 60)
        with pytest.raises(SandboxError, match="no longer holds this run"):
            step(ledger)

    assert {bits for _, bits, _ in rows(path)} == {60.0}


steps = st.lists(
    st.tuples(st.sampled_from(["reserve", "settle", "release", "give_back"]), st.integers(0, 5))
)


@given(steps=steps, bits=st.integers(1, 600))
def test_no_order_of_steps_passes_the_budget(steps: list[tuple[str, int]], bits: int) -> None:
    """Whatever is tried in whatever order, the rows never add up to more."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    leak_ledger._prepare(connection)  # noqa: SLF001 - a ledger without a file
    ledger = Ledger(connection)
    for name, number in steps:
        try:
            if name == "reserve":
                ledger.reserve(str(number), "acme", 1, bits / 10, BUDGET)
            elif name == "settle":
                ledger.settle(str(number), bits / 20)
            else:
                getattr(ledger, name)(str(number))
        except (OwnerError, SandboxError, sqlite3.IntegrityError):
            continue

        assert sum(entry.tenths for entry in ledger.entries()) <= 10 * BUDGET
    connection.close()


def test_the_ledger_is_its_owners_alone(path: Path) -> None:
    """Whatever the umask; and so is the journal beside it, which holds the same rows."""
    before = os.umask(0)
    try:
        with open_ledger(path) as ledger:
            ledger._connection.execute("BEGIN IMMEDIATE")  # noqa: SLF001 - to see the journal
            ledger.adopt("a", "acme", 1, 1)
            modes = {
                found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()
            }
            ledger._connection.execute("COMMIT")  # noqa: SLF001 - as above
    finally:
        os.umask(before)

    assert modes == {"ledger.sqlite": 0o600, "ledger.sqlite-journal": 0o600}


def test_every_commit_is_synced(path: Path) -> None:
    """EXTRA (3) with a journal that is deleted: a power cut takes back nothing."""
    with open_ledger(path) as ledger:
        found = [
            ledger._connection.execute(f"PRAGMA {name}").fetchone()[0]  # noqa: SLF001 - settings
            for name in ("synchronous", "journal_mode", "user_version")
        ]

    assert found == [3, "delete", leak_ledger.FORMAT]


WORKER = """
import sys
from pathlib import Path
from evaluator.leak_ledger import open_ledger
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
for number in range(count):
    run = f"{name}-{number}"
    with open_ledger(path) as ledger:
        ledger.reserve(run, name, 1, 2, 10**9)
        ledger.settle(run, 1)
        ledger.release(run)
    print(run, flush=True)
"""


def worker(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    """A process that takes `count` runs through the ledger and says which are done."""
    command = [sys.executable, "-c", WORKER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_wait_for_each_other(path: Path) -> None:
    """Two at once, each with its own runs: all are counted, none twice, nobody gives up."""
    workers = [worker(path, name, 30) for name in ("acme", "zenith")]
    for process in workers:
        process.communicate(timeout=60)

    assert [process.returncode for process in workers] == [0, 0]
    assert sorted(rows(path)) == sorted(
        (f"{name}-{number}", 1.0, "released") for name in ("acme", "zenith") for number in range(30)
    )


def test_a_kill_at_any_moment_loses_no_finished_run(path: Path) -> None:
    """Twelve kills: what the process had said is there, once, and the file is whole."""
    pauses = random.Random(7)  # noqa: S311 - moments, not secrets
    said: set[str] = set()
    for number in range(12):
        process = worker(path, f"vendor-{number}", 10_000)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pauses.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        said |= {line.strip() for line in process.stdout if line.endswith("\n")}
        process.wait(timeout=10)
        process.stdout.close()
    found = rows(path)
    released = {run for run, bits, state in found if state == "released" and bits == 1}

    assert said <= released
    assert len(released - said) <= 12  # it was killed before it could say so
    assert len(found) - len(released) <= 12


def test_a_ledger_that_is_held_is_told_and_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, not for ever; the control: it opens as soon as it is let go."""
    monkeypatch.setattr(leak_ledger, "BUSY_SECONDS", 0.1)
    rows(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with (
        pytest.raises(SandboxError, match="Another process has held the ledger"),
        open_ledger(path) as ledger,
    ):
        ledger.reserve("a", "acme", 1, 1, BUDGET)
    holder.execute("ROLLBACK")
    with open_ledger(path) as ledger:
        ledger.reserve("a", "acme", 1, 1, BUDGET)
    holder.close()


@pytest.mark.parametrize(
    ("offset", "content"), [(0, b"not a database" * 100), (100, b"\xff" * 60), (16, b"\x00\x03")]
)
def test_a_damaged_ledger_is_told(path: Path, offset: int, content: bytes) -> None:
    """And how to go on; nothing is written over it."""
    rows(path)
    whole = path.read_bytes()
    damaged = whole[:offset] + content + whole[offset + len(content) :]
    path.write_bytes(damaged)

    with pytest.raises(OwnerError, match=r"is damaged\. Restore it from a backup"):
        rows(path)
    assert path.read_bytes() == damaged


def test_a_ledger_of_another_version_is_left_alone(path: Path) -> None:
    """It may count by other rules."""
    rows(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(OwnerError, match="another version of this program"):
        rows(path)


def test_a_ledger_without_a_directory_is_told(tmp_path: Path) -> None:
    """Its file cannot be made."""
    with pytest.raises(OSError, match="No such file"), open_ledger(tmp_path / "gone" / "l.sqlite"):
        pass

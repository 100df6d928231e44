"""Workers: as many as slots, started again when they end, and none left afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from evaluator.founding import found
from evaluator.watch import workers
from evaluator.watch.metrics import Metrics
from evaluator.watch.workers import working

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SLEEPS = (
    "import os, pathlib, sys, time; "
    "pathlib.Path(sys.argv[1], str(os.getpid())).touch(); time.sleep(60)"
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits."""
    monkeypatch.setattr(workers, "_TICK", 0.02)
    monkeypatch.setattr(workers, "_FIRST", 0.05)


def eventually(fact: Callable[[], bool]) -> None:
    """Wait for something that has to happen."""
    deadline = time.monotonic() + 20
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pids(folder: Path) -> list[int]:
    """Who has started."""
    return [int(path.name) for path in folder.iterdir()]


def is_running(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_there_is_one_for_each_slot_and_none_afterwards(tmp_path: Path) -> None:
    """Each ends with SIGTERM when the watch does."""
    metrics, said = Metrics(), list[str]()
    command = (sys.executable, "-c", SLEEPS, str(tmp_path))
    with working(command, 2, metrics, said.append) as running:
        eventually(lambda: len(pids(tmp_path)) == 2)
        assert running.alive
        assert metrics.get("workers", "running") == 2
    assert not any(is_running(pid) for pid in pids(tmp_path))
    assert not said


def test_one_that_ends_is_started_again_later_each_time(tmp_path: Path) -> None:
    """It counts as ill meanwhile, and its code is said."""
    metrics, said = Metrics(), list[str]()
    command = (sys.executable, "-c", f"{SLEEPS.rpartition('; ')[0]}; sys.exit(3)", str(tmp_path))
    with working(command, 1, metrics, said.append) as running:
        eventually(lambda: not running.alive)
        eventually(lambda: metrics.get("worker_restarts") >= 2)
    assert len(pids(tmp_path)) >= 2
    assert said[0] == "A worker has ended with 3, for the reason above; the next in 0 s."


def test_a_worker_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while; what it leaves, the next sweep removes."""
    monkeypatch.setattr(workers, "PATIENCE", 0.1)
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"
    with working((sys.executable, "-c", deaf, str(tmp_path)), 1, Metrics(), lambda _: None):
        eventually(lambda: bool(pids(tmp_path)))
    assert not any(is_running(pid) for pid in pids(tmp_path))


def test_a_worker_without_its_watcher_does_not_begin(tmp_path: Path) -> None:
    """Its parent is another now, so it ends before it takes a run; so it does between two runs."""
    root = found(tmp_path / "farm", class_sizes=False).workspace.root
    command = [sys.executable, "-m", "evaluator", "work", "--wait", "--workspace", str(root)]
    orphan = subprocess.run([*command, "--beside", "1"], timeout=60, check=False)

    assert orphan.returncode == 0

"""Who holds the host, its slots, its GPUs and a run, as the kernel sees it."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox import SandboxError, lock
from sandbox.lock import gpu_locks, host_lock, host_slot, is_alive, run_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

A, B = "GPU-6c5b9f0e-0000-0000-0000-00000000000a", "nvidia.com/gpu=1"
HOLD = """
import sys
from pathlib import Path
from sandbox import lock
lock.lock_path = lambda: Path(sys.argv[1])
waiting = lambda: print("waiting", flush=True)
kind, *names = sys.argv[2:]
held = {
    "gpu": lambda: lock.gpu_locks(tuple(names)),
    "slot": lambda: lock.host_slot(int(names[0]), waiting),
    "host": lambda: lock.host_lock(waiting),
    "run": lambda: lock.run_lock(names[0]),
    "sweep": lock.sweep_lock,
}[kind]
with held() as slot:
    print("held" if slot is None else f"held {slot}", flush=True)
    sys.stdin.read()
"""
RUN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for locks of this test alone."""
    monkeypatch.setattr(lock, "lock_path", lambda: tmp_path / "evaluator.lock")
    return tmp_path


@pytest.fixture
def begin(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function that has another process take a lock, or wait for it."""
    started = []

    def hold(*arguments: object) -> subprocess.Popen[str]:
        lock_file = str(folder / "evaluator.lock")
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, lock_file, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def other(
    begin: Callable[..., subprocess.Popen[str]],
) -> Callable[..., subprocess.Popen[str]]:
    """A function that has another process hold devices."""

    def hold(*devices: str) -> subprocess.Popen[str]:
        process = begin("gpu", *devices)
        assert line(process) == "held"
        return process

    return hold


def line(process: subprocess.Popen[str]) -> str:
    """What it says next."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    """Let it go on to its end."""
    process.communicate("")


def kill(process: subprocess.Popen[str]) -> None:
    """End it as the kernel would."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def alarmed() -> None:
    """Whoever waits here was not meant to."""
    pytest.fail("it had to wait")


def test_a_gpu_has_one_holder(other: Callable[..., subprocess.Popen[str]]) -> None:
    """A second process is told so at once; a GPU that nobody has is free."""
    other(A)
    with gpu_locks((B,)):
        pass

    with pytest.raises(SandboxError, match="in use by another run"), gpu_locks((A,)):
        pytest.fail("two hold one GPU")


def test_a_killed_holder_holds_nothing(other: Callable[..., subprocess.Popen[str]]) -> None:
    """The kernel drops the lock with the process."""
    kill(other(A))

    with gpu_locks((A,)):
        pass


def test_who_cannot_have_all_has_none(other: Callable[..., subprocess.Popen[str]]) -> None:
    """After a refusal of two GPUs, the one that was free is free."""
    other(B)
    with pytest.raises(SandboxError), gpu_locks((A, B)):
        pytest.fail("two hold one GPU")

    other(A)


def test_a_gpu_named_twice_does_not_wait_for_itself(folder: Path) -> None:
    """And without a GPU there is no lock at all."""
    with gpu_locks(()):
        assert list(folder.iterdir()) == []
    with gpu_locks((A, A)):
        assert len(list(folder.iterdir())) == 1


def test_a_device_name_is_no_path(folder: Path) -> None:
    """Whatever an operator writes, the lock is a file of the locks' own folder."""
    with gpu_locks(("../../vendor/class=../x",)):
        (made,) = folder.iterdir()

    assert made.name.startswith("evaluator-gpu-")


def test_a_link_in_place_of_a_lock_is_refused(folder: Path, tmp_path: Path) -> None:
    """Whoever else may write to the folder cannot have a file of ours opened through it."""
    with gpu_locks((A,)):
        (made,) = folder.iterdir()
    made.unlink()
    made.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(SandboxError, match="cannot be opened"), gpu_locks((A,)):
        pytest.fail("it followed a link")


# Slots of a host


def test_two_slots_have_two_holders_and_a_third_waits(
    begin: Callable[..., subprocess.Popen[str]],
) -> None:
    """Each has a number of its own; whoever comes third says so once, and gets what is let go."""
    first, second = begin("slot", 2), begin("slot", 2)
    held = {line(first): first, line(second): second}
    assert held.keys() == {"held 0", "held 1"}
    third = begin("slot", 2)
    assert line(third) == "waiting"
    end(held["held 1"])

    assert line(third) == "held 1"


def test_a_killed_holders_slot_is_free(begin: Callable[..., subprocess.Popen[str]]) -> None:
    """The kernel drops it with the process; the other slot is still held."""
    first = begin("slot", 2)
    assert line(first) == "held 0"
    second = begin("slot", 2)
    assert line(second) == "held 1"
    kill(first)

    with host_slot(2, alarmed) as slot:
        assert slot == 0


def test_one_slot_is_the_host_itself(begin: Callable[..., subprocess.Popen[str]]) -> None:
    """Whoever asks for one of one waits for whoever has the host, and the other way round."""
    holder = begin("slot", 1)
    assert line(holder) == "held 0"
    for other in (begin("host"), begin("slot", 1)):
        assert line(other) == "waiting"
        other.kill()
    end(holder)
    with host_lock(alarmed), pytest.raises(BlockingIOError):
        fcntl.flock(os.open(lock.lock_path(), os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_host_is_not_had_alone_while_a_slot_is_held(
    begin: Callable[..., subprocess.Popen[str]],
) -> None:
    """A workspace without slots waits for every slot of another, and slots wait for it."""
    slots = [begin("slot", 2), begin("slot", 2)]
    assert {line(slot) for slot in slots} == {"held 0", "held 1"}
    alone = begin("host")
    assert line(alone) == "waiting"
    end(slots[0])
    kill(slots[1])
    assert line(alone) == "held"
    late = begin("slot", 2)
    assert line(late) == "waiting"
    end(alone)

    assert line(late) == "held 0"


def test_a_slot_is_let_go_where_its_block_fails() -> None:
    """Ctrl-C within a run leaves no slot taken."""

    def interrupted() -> None:
        with host_slot(2, alarmed) as slot:
            assert slot == 0
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            interrupted()


def test_sweeps_follow_one_another(begin: Callable[..., subprocess.Popen[str]]) -> None:
    """Of two slots one at a time removes what it takes for left over."""
    first = begin("sweep")
    assert line(first) == "held"
    second = begin("sweep")
    assert second.stdout is not None
    assert select.select([second.stdout], [], [], 0.5)[0] == []
    end(first)

    assert line(second) == "held"


# A run that is alive


def test_a_run_is_alive_while_some_process_holds_it(
    begin: Callable[..., subprocess.Popen[str]],
) -> None:
    """Another name is another run; at its end nothing is left of the lock."""
    holder = begin("run", RUN)
    assert line(holder) == "held"
    assert is_alive(RUN)
    assert not is_alive("f" * 16)
    end(holder)

    assert not is_alive(RUN)


def test_a_killed_run_is_not_alive(
    begin: Callable[..., subprocess.Popen[str]], folder: Path
) -> None:
    """The file of its lock may stay: it says nothing without its holder, and goes when asked."""
    holder = begin("run", RUN)
    assert line(holder) == "held"
    kill(holder)
    assert list(folder.iterdir()) != []

    assert not is_alive(RUN)
    assert list(folder.iterdir()) == []


def test_a_run_is_alive_for_its_own_process_too(folder: Path) -> None:
    """A sweep of the same process spares it, and a run that failed is over."""

    def interrupted() -> None:
        with run_lock(RUN):
            assert is_alive(RUN)
            assert is_alive(RUN)  # to look takes nothing
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not is_alive(RUN)
    with run_lock(RUN):
        pass
    assert list(folder.iterdir()) == []


def test_a_link_in_place_of_a_runs_lock_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """Whoever else may write to the folder cannot have a run taken for a dead one's file."""
    target = tmp_path / "elsewhere"
    target.touch()
    (folder / f"evaluator-run-{RUN}.lock").symlink_to(target)

    with pytest.raises(OSError, match="symbolic links"):
        is_alive(RUN)
    assert target.exists()

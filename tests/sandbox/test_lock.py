"""One holder for each GPU, as the kernel sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox import SandboxError, lock
from sandbox.lock import gpu_locks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

A, B = "GPU-6c5b9f0e-0000-0000-0000-00000000000a", "nvidia.com/gpu=1"
HOLD = """
import sys
from pathlib import Path
from sandbox import lock
lock.lock_path = lambda: Path(sys.argv[1])
with lock.gpu_locks(tuple(sys.argv[2:])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for locks of this test alone."""
    monkeypatch.setattr(lock, "lock_path", lambda: tmp_path / "evaluator.lock")
    return tmp_path


@pytest.fixture
def other(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function that has another process hold devices."""
    started = []

    def hold(*devices: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(folder / "evaluator.lock"), *devices]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_a_gpu_has_one_holder(other: Callable[..., subprocess.Popen[str]]) -> None:
    """A second process is told so at once; a GPU that nobody has is free."""
    other(A)
    with gpu_locks((B,)):
        pass

    with pytest.raises(SandboxError, match="in use by another run"), gpu_locks((A,)):
        pytest.fail("two hold one GPU")


def test_a_killed_holder_holds_nothing(other: Callable[..., subprocess.Popen[str]]) -> None:
    """The kernel drops the lock with the process."""
    process = other(A)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

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

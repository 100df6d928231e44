"""Traces on the host: each is seen when it is there, and not when it is not."""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import time
from pathlib import Path

import pytest

from evaluator.attacks.traces import (
    KernelLog,
    Traces,
    own_process,
    process_named,
    shared_file,
    shared_segment,
)

LIBC = ctypes.CDLL(None, use_errno=True)
CREATE, REMOVE, SET_NAME = 0o1000, 0, 15  # of sys/ipc.h and sys/prctl.h


def test_a_process_is_found_by_its_name_while_it_runs() -> None:
    """In whatever container: the host's own process table holds them all."""
    name = secrets.token_hex(16)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        LIBC.prctl(SET_NAME, name.encode(), 0, 0, 0)
        os.write(writer, b"!")
        time.sleep(30)
        os._exit(0)
    os.read(reader, 1)
    during = process_named(name)
    os.kill(child, 9)
    os.waitpid(child, 0)

    assert during
    assert not process_named(name)


def test_a_lock_on_the_tiles_is_noticed(tmp_path: Path) -> None:
    """Though no byte of them changes."""
    tiles = tmp_path / "tiles.npy"
    tiles.touch()
    with Traces(secrets.token_hex(16), tiles) as traces:
        time.sleep(0.2)
        before = traces.seen()
        with tiles.open() as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            time.sleep(0.2)
        after = traces.seen()

    assert "lock" not in before
    assert "lock" in after


def test_a_file_in_shared_memory_is_found_and_removed() -> None:
    """Once: what a container of root's left is not to stay."""
    name = secrets.token_hex(16)
    Path("/dev/shm", name).touch()

    assert shared_file(name)
    assert not shared_file(name)


def test_a_segment_is_found_by_its_key() -> None:
    """The host lists the keys of every segment that is in its own namespace."""
    name = secrets.token_hex(16)
    segment = LIBC.shmget(int(name[:7], 16), 4096, CREATE | 0o600)
    during = shared_segment(name)
    LIBC.shmctl(segment, REMOVE, None)

    assert during
    assert not shared_segment(name)


def test_we_know_ourselves_by_pid_and_start() -> None:
    """The start tells us from a later process of the same number."""
    stat = Path(f"/proc/{os.getpid()}/stat").read_text()

    assert own_process() == (os.getpid(), int(stat.rpartition(")")[2].split()[19]))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may write to the kernel's log")
def test_the_kernel_log_is_read_from_now_on() -> None:
    """What was said before does not count, what is said after does."""
    Path("/dev/kmsg").write_text("evaluator test: before\n")
    log = KernelLog()
    before = log.has("evaluator test: before")
    Path("/dev/kmsg").write_text("evaluator test: after\n")
    after = log.has("evaluator test: after")
    log.close()

    assert not before
    assert after

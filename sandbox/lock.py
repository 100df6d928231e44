"""One run at a time per host, and one per GPU: containers side by side could signal to each other.

File locks on the tiles, the page cache and the load of the machine are seen by every
container of a host; the memory and the clocks of a GPU by everything that computes on it. An owner
may choose slots all the same: runs side by side, each on CPUs or GPUs and on a copy of the tiles of
its own. The kernel drops a lock when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_POLL = 0.2  # seconds between two looks for a free slot


def lock_path() -> Path:
    """The same file for every operator of a host."""
    shared = Path("/run/lock")
    directory = shared if shared.is_dir() else Path(tempfile.gettempdir())
    return directory / "evaluator.lock"


@contextmanager
def host_lock(waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the host, waiting for whoever has it; `waiting` is called once before that."""
    with _locked(lock_path(), fcntl.LOCK_EX, waiting):
        yield


@contextmanager
def host_slot(slots: int, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold one of the host's slots, and yield its number; with one slot, the host itself.

    Whoever holds the host alone waits for all slots, and they for it.
    """
    if slots < 2:
        with host_lock(waiting):
            yield 0
        return
    with _locked(lock_path(), fcntl.LOCK_SH, waiting), ExitStack() as held:
        descriptors = [
            _open(lock_path().with_name(f"evaluator-slot-{n}.lock")) for n in range(slots)
        ]
        for descriptor in descriptors:
            held.callback(os.close, descriptor)
        yield _first_free(descriptors, waiting)


def _first_free(descriptors: list[int], waiting: Callable[[], None]) -> int:
    """The place of the first lock that can be had, sooner or later."""
    while True:
        for slot, descriptor in enumerate(descriptors):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return slot
        waiting()
        waiting = _quiet
        time.sleep(_POLL)


def _quiet() -> None:
    """Say nothing a second time."""


@contextmanager
def sweep_lock() -> Iterator[None]:
    """Hold what one of several slots does at a time: to remove leftovers, and to write a result."""
    with _locked(lock_path().with_name("evaluator-sweep.lock"), fcntl.LOCK_EX, _quiet):
        yield


_held: set[str] = set()  # runs of this process: a run and its containers say the same


@contextmanager
def run_lock(run: str) -> Iterator[None]:
    """Say, for as long as the block lasts, that this run is alive."""
    if run in _held:
        yield
        return
    path = _run_path(run)
    with _locked(path, fcntl.LOCK_EX, _quiet):
        _held.add(run)
        try:
            yield
        finally:
            _held.discard(run)
            path.unlink(missing_ok=True)


def is_alive(run: str) -> bool:
    """Whether some process of this host holds the run."""
    path = _run_path(run)
    alive = is_locked(path)
    if not alive:
        with suppress(OSError):  # of another user, or not there: it says nothing without its holder
            path.unlink()
    return alive


def is_locked(path: Path) -> bool:
    """Whether some process holds a lock on this file or directory; not on one that is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _run_path(run: str) -> Path:
    return lock_path().with_name(f"evaluator-run-{run}.lock")


@contextmanager
def _locked(path: Path, kind: int, waiting: Callable[[], None]) -> Iterator[None]:
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def gpu_locks(devices: tuple[str, ...]) -> Iterator[None]:
    """Hold every one of these GPUs, or raise SandboxError and hold none.

    A device is known by the name it is asked for: a GPU that one workspace calls by its UUID and
    another by a CDI name is two devices here. The host's lock stands before this one; what it does
    not cover is a program that uses a GPU outside a run, as the self-test of `doctor` does.
    """
    with ExitStack() as held:
        for device in set(devices):
            name = hashlib.sha256(device.encode()).hexdigest()[:16]
            descriptor = _open(lock_path().with_name(f"evaluator-gpu-{name}.lock"))
            held.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SandboxError(
                    f"The GPU {device} is in use by another run or self-test on this host. Wait "
                    "for its end, or name another in gpu_devices of evaluator.toml."
                ) from error
        yield


def _open(path: Path) -> int:
    """A descriptor to lock; reading is enough, so operators need not own the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o444)
    except FileExistsError:
        try:
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise SandboxError(
                f"The lock {path} cannot be opened. Remove it, then run again."
            ) from error
    except OSError as error:
        raise SandboxError(f"The lock {path} cannot be made: {error.strerror}.") from error
    os.fchmod(descriptor, 0o444)
    return descriptor

"""One run at a time per host, and one per GPU: containers side by side could signal to each other.

File locks on the tiles, the page cache and the load of the machine are seen by every
container of a host; the memory and the clocks of a GPU by everything that computes on it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def lock_path() -> Path:
    """The same file for every operator of a host."""
    shared = Path("/run/lock")
    directory = shared if shared.is_dir() else Path(tempfile.gettempdir())
    return directory / "evaluator.lock"


@contextmanager
def host_lock(waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the host, waiting for whoever has it; `waiting` is called once before that.

    The kernel drops the lock when its holder dies, however it dies.
    """
    descriptor = _open(lock_path())
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
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

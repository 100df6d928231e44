"""One run at a time per host: two containers side by side could signal to each other.

File locks on the tiles, the page cache and the load of the machine are seen by every
container of a host.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import contextmanager
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

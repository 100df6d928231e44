"""The folder a log is written in: its lock, and files that are on the disk when a call returns."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from evaluator.errors import OwnerError
from evaluator.files import sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECKPOINT: Final = "checkpoint"
PUBLISHED: Final = "published"
"""In a served log, the checkpoint up to which entries are served: a later one may be blind."""
_LOCK: Final = ".lock"
_PART: Final = ".checkpoint.part"


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the folder's lock; the kernel drops it when its holder dies, however it dies.

    Waits for whoever has it, or, where that makes no sense, raises OwnerError.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(folder / _LOCK, flags, 0o600)
    except OSError as error:
        raise OwnerError(
            f"The lock {folder / _LOCK} cannot be opened ({error.strerror})."
        ) from error
    try:
        _lock(folder, descriptor, wait=wait)
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path, descriptor: int, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OwnerError(f"Another process serves from {folder} already.") from error


def write_checkpoint(folder: Path, note: bytes) -> None:
    """Make `note` the checkpoint: before the rename nothing has happened, after it everything."""
    write(folder, _PART, note, Directories({folder}))
    os.rename(folder / _PART, folder / CHECKPOINT)  # noqa: PTH104  # tests fail this very call
    sync(folder)


@dataclass(slots=True)
class Directories:
    """Directories with new names in them, to be synced; those that are `durable` have theirs."""

    durable: set[Path]
    changed: set[Path] = field(default_factory=set)

    def make(self, directory: Path) -> None:
        """See that a directory is there, and its name in the one above it once that is synced.

        One that is there already may be of an append that was killed before it had synced it.
        """
        if directory in self.durable or directory in self.changed:
            return
        self.make(directory.parent)
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
            directory.chmod(0o700)
        self.changed.add(directory.parent)

    def sync(self) -> None:
        """Have all new names on the disk."""
        for directory in self.changed:
            sync(directory)


def write(folder: Path, path: str, content: bytes, directories: Directories) -> None:
    """Have a file of the log on the disk, and its directory among those to be synced for it.

    Files are 0600 and new directories 0700, whatever the umask.
    """
    directories.make((folder / path).parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / path, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    directories.changed.add((folder / path).parent)

"""A new version in the making: it appears whole under its number, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from evaluator.dataset.sealed import versions
from evaluator.errors import OwnerError
from evaluator.files import sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import SandboxError

# One instant for every file: times would tell the order in which a version was written.
MTIME = 946_684_800
"""2000-01-01T00:00:00Z."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A directory to fill, and the number that it will have."""

    folder: Path
    version: int


@contextmanager
def new_version(data: Path) -> Iterator[Draft]:
    """Give a directory for the next version; publish it at the end, or remove it on an error.

    A lock on `data/.lock` is held meanwhile, and what a killed import left behind is removed.
    Raises OwnerError if another import holds the lock or a file cannot be written, and
    SandboxError if the disk is full.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(data):
            version = max(versions(data), default=0) + 1
            folder = data / f".{version}.tmp"
            _sweep(data)
            folder.mkdir(mode=0o700)
            try:
                yield Draft(folder, version)
                _settle(folder)
                folder.rename(data / str(version))
                sync(data)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise _explain(data, error) from error


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    with (data / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OwnerError(
                f"Another import is writing to {data}. Wait until it has ended, then start again."
            ) from error
        _held.append(lock)
        try:
            yield
        finally:
            _held.remove(lock)


_held: list[TextIO] = []
# A child has no part in a lock, or it would hold it for as long as it outlives a killed import.
os.register_at_fork(after_in_child=lambda: [lock.close() for lock in _held])


def _sweep(data: Path) -> None:
    for entry in data.iterdir():
        if re.fullmatch(r"\.\d+\.tmp", entry.name):
            shutil.rmtree(entry)


def _settle(folder: Path) -> None:
    """Give everything one time, and have it on the disk before the version gets its name."""
    for where, _, files in os.walk(folder, topdown=False):
        for path in (*(Path(where, file) for file in files), Path(where)):
            os.utime(path, (MTIME, MTIME))
            sync(path)


def _explain(data: Path, error: OSError) -> OwnerError | SandboxError:
    from sandbox import SandboxError  # noqa: PLC0415 - it brings the engine's client with it

    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return SandboxError(
            f"The disk under {data} is full, so nothing was imported. An import needs room for "
            "the decoded tiles twice, once while it works; make room, then start again."
        )
    reason = error.strerror or str(error)
    return OwnerError(f"Nothing was imported: {error.filename or data}: {reason}.")

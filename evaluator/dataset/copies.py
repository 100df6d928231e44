"""A copy of the tiles for each slot: locks and page caches of shared files would be channels."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from evaluator.dataset.sealed import versions
from sandbox import SandboxError

if TYPE_CHECKING:
    from pathlib import Path


def own_copy(data: Path, copy: Path) -> Path:
    """Return `copy`, holding today's version of `data` alone; `data` itself where it is that.

    The seal of a copy is checked before each run like the original's.
    """
    if copy == data or not versions(data):
        return data
    newest = str(versions(data)[-1])
    copy.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in copy.iterdir():
        if old.name != newest:
            shutil.rmtree(old)
    if not (copy / newest).exists():
        part = copy / f".{newest}.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            shutil.copytree(data / newest, part)
        except shutil.Error as error:
            raise SandboxError(
                f"The tiles cannot be copied to {copy}, and each slot needs its own copy. Make "
                "room there, or leave `slots` in evaluator.toml empty."
            ) from error
        part.rename(copy / newest)
    return copy

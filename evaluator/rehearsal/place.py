"""Where a rehearsal is: a folder of the user's cache, the host to itself, and nothing afterwards.

Whatever ends a rehearsal, the next one of this user removes what it left: its folder, and what the
engine still has of it.
"""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sandbox
from evaluator.admission import PULLED
from evaluator.kept_images import KeptImages
from evaluator.rootfs import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one rehearsal, whose name is the run's."""

    folder: Path

    @property
    def run(self) -> str:
        """The name of the run."""
        return self.folder.name

    @property
    def scratch(self) -> Path:
        """What a run's scratch is: nobody else enters it."""
        return self.folder / "scratch"

    @property
    def images(self) -> Path:
        """The record of images that were admitted here."""
        return self.folder / "images.json"

    def clear(self) -> None:
        """Leave nothing: neither in the engine nor here."""
        try:
            sandbox.remove_pulled(self.scratch / PULLED)
            KeptImages(self.images, "", 0).prune()
        finally:
            with suppress(FileNotFoundError):
                shutil.rmtree(self.folder)


@contextmanager
def rehearsal_place(say: Callable[[str], None]) -> Iterator[Place]:
    """A place of its own, with the host held as a run holds it; gone at the end."""
    root = cache() / "rehearsals"
    root.mkdir(mode=0o700, exist_ok=True)
    with sandbox.host_lock(lambda: say("Another run has this host; waiting for its end ...")):
        _sweep(root)
        place = Place(root / secrets.token_hex(8))
        with sandbox.run_lock(place.run):
            try:
                place.scratch.mkdir(mode=0o700, parents=True)
                yield place
            finally:
                with sandbox.uninterrupted():
                    place.clear()


def _sweep(root: Path) -> None:
    """Remove what killed rehearsals left; whoever holds a run's lock is alive."""
    sandbox.remove_leftovers(sandbox.connect())
    for left in root.glob("*"):
        if not sandbox.is_alive(left.name):
            Place(left).clear()

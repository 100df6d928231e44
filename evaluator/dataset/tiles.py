"""A tile on its way in, and how a reader tells that it is still at work."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evaluator.dataset.pixels import Pixels
from evaluator.dataset.scratch import Stored

Progress = Callable[[str, int, int], None]
"""Called as (stage, done, total); `stage` is "copying", "reading" or "sealing".

The unit is tiles, except that reading an archive counts its bytes: its tiles cannot be
counted beforehand. The last call of a stage has done == total.
"""

PROGRESS_EVERY = 64
"""Tiles between two calls."""

# What systems and GDAL leave beside images.
_LITTER = ("thumbs.db", "desktop.ini")
_SIDECARS = (".aux.xml", ".tfw", ".jgw", ".pgw", ".prj", ".ovr")


@dataclass(frozen=True, slots=True)
class File:
    """An image file as it was found: its bytes, or the path of a file that has them.

    `group` names a field or scene whose tiles may not be divided between training and holdout.
    `target` is the number to predict, where there is one.
    """

    where: str
    label: str
    group: str | None
    data: bytes | Path
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    """What is in a `File`, where it needs no decoding. `pixels` is (H, W) or (H, W, C)."""

    where: str
    label: str
    group: str | None
    pixels: Pixels
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A tile that can be used: an import has its pixels, and from here on nothing else of it."""

    where: str
    label: str
    group: str | None
    pixels: Stored
    target: float | None = None


def is_litter(name: str) -> bool:
    """Say whether a file or folder is none of an import's business: hidden, or a sidecar."""
    lower = name.lower()
    return name.startswith(".") or lower in _LITTER or lower.endswith(_SIDECARS)

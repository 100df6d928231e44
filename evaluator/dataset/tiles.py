"""What a reader of tiles yields, and how it tells that it is still at work."""

from collections.abc import Callable
from dataclasses import dataclass

from evaluator.dataset.decoding import Pixels, TileError, decode
from evaluator.dataset.problems import Problem

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
class Tile:
    """One tile as it was found: an import keeps its pixels, and from here on nothing else.

    `pixels` is (H, W) or (H, W, C). `group` names a field or scene whose tiles may not be
    divided between training and holdout. `target` is the number to predict, where there is one.
    """

    where: str
    label: str
    group: str | None
    pixels: Pixels
    target: float | None = None


def decode_tile(
    where: str, label: str, group: str | None, data: bytes, target: float | None = None
) -> Tile | Problem:
    """Decode one image file, or say what is wrong with it."""
    try:
        return Tile(where, label, group, decode(data), target)
    except TileError as error:
        return Problem(error.kind, f"{where}: {error.reason}")


def is_litter(name: str) -> bool:
    """Say whether a file or folder is none of an import's business: hidden, or a sidecar."""
    lower = name.lower()
    return name.startswith(".") or lower in _LITTER or lower.endswith(_SIDECARS)

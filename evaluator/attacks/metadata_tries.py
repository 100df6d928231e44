"""A try on an import: what of a tile's file, beside its pixels, still tells its class."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from evaluator.attacks.probing import Tried
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.labels import read_labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

_CLASSES = ("oats", "rye")
_OF_EACH = 60
_SHAPE = (8, 8)
# Of 80 tiles in random order, the first 40 have this share of one class once in 10 million.
_TOLD = 0.8


def tile_metadata(attack: Attack, bench: Bench) -> Tried:
    """Import tiles whose names, order, times and texts say their class, and look at what is left.

    What a run mounts is the manifest and the tiles; both are read as a submission would.
    """
    folder = bench.scratch / secrets.token_hex(4)
    folder.mkdir(mode=0o700)
    mark = marked_tiles(folder / "source")
    rules = ImportRules(rare=1)
    report = import_tiles(
        folder / "data", folder / "source", rules, holdout=80, progress=lambda *_: None
    )
    holdout = report.dataset.holdout
    shown = holdout.manifest.read_bytes() + holdout.tiles.read_bytes()
    pixels = np.load(holdout.tiles).nbytes
    told = (
        mark.encode() in shown
        or holdout.tiles.stat().st_size > pixels + 128  # more than the header of NumPy's format
        or told_by_order(read_labels(holdout, len(_CLASSES)).tolist())
    )
    return Tried(attack, "succeeds" if told else "blocked")


def marked_tiles(source: Path) -> str:
    """Write tiles of random pixels in folders by class; returns the text that each carries."""
    mark = secrets.token_hex(8)
    for number, name in enumerate(_CLASSES):
        (source / name).mkdir(parents=True)
        for tile in range(_OF_EACH):
            text = PngInfo()
            text.add_text("Description", f"{mark} {name}")
            path = source / name / f"{name}-{tile:03}.png"
            pixels = np.frombuffer(secrets.token_bytes(_SHAPE[0] * _SHAPE[1]), np.uint8)
            Image.fromarray(pixels.reshape(_SHAPE)).save(path, pnginfo=text)
            os.utime(path, (number + 1, number + 1))
    return mark


def told_by_order(labels: Sequence[int]) -> bool:
    """Whether "the first half is of one class" is mostly right."""
    half = labels[: len(labels) // 2]
    share = sum(half) / len(half)
    return max(share, 1 - share) > _TOLD

"""Tiles that were made up: of a challenge's shape, sealed as an owner's are, and learnable.

Each class has a brightness of its own in every band, so that training finds something; every tile
has noise, so that no two are alike. The same challenge gives the same tiles.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.targets import TargetRule

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.challenge import Challenge, Tiles
    from evaluator.dataset.sealed import Dataset

_SIDE_BYTES = 2**28  # of one side's tiles: beyond it there are fewer
_LEAST = 4  # tiles of a class, so that a validation set has one
_WHOLE = {"uint8": 256.0, "uint16": 65_536.0}


def make_dataset(challenge: Challenge, tiles: int, folder: Path) -> Dataset:
    """A sealed dataset below `folder`, of about `tiles` tiles on either side.

    Every class is on either side. There is a training side where the owner's dataset has one.
    """
    given = challenge.tiles
    held = _number(given, min(tiles, given.holdout), 1)
    trained = _number(given, min(tiles, given.training), _LEAST) if given.training else 0
    source = folder / "source"
    source.mkdir()
    random = np.random.default_rng(0)
    labels = (np.arange(held + trained) % len(given.classes)).astype(np.uint8)
    np.save(source / "labels.npy", labels)
    _write_tiles(source / "tiles.npy", given, labels, random)
    if given.range:
        np.save(source / "targets.npy", _targets(given, labels, random))
    height, width = given.shape[:2]
    rules = ImportRules(
        classes=given.classes,
        rare=given.rare or given.classes[:1],
        shape=(height, width),
        targets=TargetRule(given.unit or "", *given.range) if given.range else None,
    )
    made = import_tiles(folder / "data", source, rules, holdout=held, progress=lambda *_: None)
    for each in source.iterdir():
        each.unlink()
    source.rmdir()
    return made.dataset


def _number(given: Tiles, wanted: int, least: int) -> int:
    size = prod(given.shape) * np.dtype(given.dtype).itemsize
    return max(len(given.classes) * least, min(wanted, _SIDE_BYTES // size))


def _write_tiles(
    path: Path, given: Tiles, labels: NDArray[np.uint8], random: np.random.Generator
) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(given.dtype))
    header = {"descr": descr, "fortran_order": False, "shape": (len(labels), *given.shape)}
    scale = _WHOLE.get(given.dtype, 1.0)
    bands = given.shape[2] if len(given.shape) == 3 else 1
    levels = 0.15 + 0.7 * random.permuted(
        np.tile(np.linspace(0, 1, len(given.classes))[:, None], bands), axis=0
    )
    with path.open("wb") as file:  # not mapped: a full disk would be a signal
        np.lib.format.write_array_header_1_0(file, header)
        for label in labels:
            level = levels[label] if len(given.shape) == 3 else levels[label, 0]
            pixels = np.clip(level + random.normal(0, 0.05, given.shape), 0, 0.999)
            file.write((pixels * scale).astype(given.dtype).tobytes())


def _targets(
    given: Tiles, labels: NDArray[np.uint8], random: np.random.Generator
) -> NDArray[np.float32]:
    """Numbers in the middle of the range, by class, and no two alike."""
    assert given.range is not None  # noqa: S101 - the caller asked
    low, high = given.range
    shares = 0.2 + 0.5 * labels / max(1, len(given.classes) - 1) + 0.1 * random.random(len(labels))
    return (low + (high - low) * shares).astype(np.float32)

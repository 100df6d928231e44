"""What chance decides, in one order, from one generator: another program can draw the same.

`numpy.random.default_rng(seed)` is asked for

1. the validation tiles: for each class, in order, `permutation` of its tiles' indices; the first
   round(share * n) of them are set aside, and both parts are sorted;
2. in every epoch `permutation` of the training tiles' indices, cut into batches in that order;
3. for every batch of n tiles, as the recipe has them: flips `integers(0, 2, (n, 2))` (down,
   across), rotations `integers(0, 4, n)` quarter turns, crop `integers(-crop, crop + 1, (n, 2))`.

Nothing else draws: weights start as they are, and Dropout is off.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from settings import Settings

Indices = NDArray[np.int64]


def split(
    labels: NDArray[np.uint8], share: float, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """(training, validation) indices; a class of one tile is trained on."""
    held = []
    for label in np.unique(labels):
        mine = rng.permutation(np.flatnonzero(labels == label))
        held.append(mine[: min(round(share * len(mine)), len(mine) - 1)])
    validation = np.sort(np.concatenate(held)).astype(np.int64)
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def batches(training: Indices, size: int, rng: np.random.Generator) -> Iterator[Indices]:
    """One epoch's; the last one may be shorter."""
    order = rng.permutation(training)
    for start in range(0, len(order), size):
        yield order[start : start + size]


def class_weights(labels: NDArray[np.uint8], classes: int, weighting: str) -> NDArray[np.float32]:
    """(classes,) what a tile of each class weighs in the loss; 1 on the average of all tiles."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[weighting]
    weights = np.maximum(counts, 1) ** -power
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


def augmented(tiles: NDArray[Any], settings: Settings, rng: np.random.Generator) -> NDArray[Any]:
    """(n, H, W, C) tiles mirrored, turned and shifted, each by chance; a copy."""
    count = len(tiles)
    result = np.array(tiles)
    if settings.flips:
        for at, (down, across) in enumerate(rng.integers(0, 2, (count, 2))):
            result[at] = result[at][:: -1 if down else 1, :: -1 if across else 1]
    if settings.rotations:
        square = tiles.shape[1] == tiles.shape[2]
        for at, turns in enumerate(rng.integers(0, 4, count)):
            if square or turns % 2 == 0:  # an oblong tile is turned by half only
                result[at] = np.rot90(result[at], turns)
    if settings.crop:
        for at, (down, across) in enumerate(
            rng.integers(-settings.crop, settings.crop + 1, (count, 2))
        ):
            rows = reflected(tiles.shape[1], down)
            columns = reflected(tiles.shape[2], across)
            result[at] = result[at][rows][:, columns]
    return result


def reflected(side: int, shift: int) -> Indices:
    """(side,) indices of a line moved by `shift`, its end filled up by reflection."""
    if side == 1:
        return np.zeros(1, np.int64)
    folded = (np.arange(side) + shift) % (2 * (side - 1))
    return np.minimum(folded, 2 * (side - 1) - folded)

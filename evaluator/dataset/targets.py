"""The number of each tile that a regression predicts: what it may be, where it lies, and strata."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset.arrays import open_array, read_header
from evaluator.dataset.problems import Problem
from evaluator.dataset.sealed import Split
from evaluator.errors import OwnerError

QUANTILES = 4
"""Parts of a class by its targets, of which the holdout gets its share of each."""

LEAST = 8
"""Tiles of a class for each such part; a class of fewer than twice as many is one part."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TargetRule:
    """What the owner says of the targets: their unit, such as t/ha, and their range."""

    unit: str
    low: float
    high: float

    def problem(self, where: str, target: float | None) -> Problem | None:
        """Say what is wrong with a tile's target, if anything is."""
        if target is None:
            return Problem("no target", f"{where}: needs a number in {self.unit}, as 4.25")
        if not float32(self.low) <= float32(target) <= float32(self.high):  # false for a NaN
            limits = f"{self.low:g} to {self.high:g} {self.unit}"
            return Problem("target out of range", f"{where}: {target:g} is not within {limits}")
        return None


def float32(value: float) -> float:
    """Return the nearest float32, infinite where it is beyond all; -0 as 0."""
    with np.errstate(over="ignore"):
        return float(np.float32(value)) + 0.0


def read_number(text: str) -> float | None:
    """Return the number that a cell of a table holds, or None."""
    return float(text) if _NUMBER.fullmatch(text) else None


def read_targets(split: Split) -> NDArray[np.float32]:
    """Return the targets, (N,) finite float32; OwnerError where they are not those sealed."""
    path = split.targets
    if path is None:
        raise OwnerError("The dataset has classes alone and no targets. Import it again.")
    with open_array(path) as file:
        header = read_header(file, path)
        targets = np.fromfile(file, "<f4").astype(np.float32)
    plain = header.dtype == np.float32 and header.shape == (split.size,)
    if not plain or not np.isfinite(targets).all():
        raise OwnerError(
            f"{path} does not hold the targets that were sealed. Restore it from a backup, or "
            "import the tiles again."
        )
    return targets


def strata(labels: Sequence[str], targets: Sequence[float | None]) -> list[int]:
    """Return for each tile the part of its class that its target is in, from 0.

    Parts are quantiles by rank, QUANTILES of them or one for every LEAST tiles; equal targets are
    in one part. Without targets there is one part.
    """
    found = [0] * len(labels)
    classes: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for row, (label, target) in enumerate(zip(labels, targets, strict=True)):
        if target is not None:
            classes[label].append((target, row))
    for tiles in classes.values():
        tiles.sort()
        parts = max(1, min(QUANTILES, len(tiles) // LEAST))
        first = 0
        for rank, (target, row) in enumerate(tiles):
            first = rank if target != tiles[first][0] else first
            found[row] = first * parts // len(tiles)
    return found

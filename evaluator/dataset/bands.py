"""Mean, spread and range of each band: of each tile, and from these of classes and of all."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset.pixels import Pixels
from evaluator.dataset.sealed import Band, Moments

_Rows = NDArray[np.float64]
_BLOCK = 2**16
"""Numbers taken in at once: as float64 they fit into a core's own cache."""

_EXACT = 2**20
"""Pixels of 16 bits whose sums and squares float64 holds without rounding, `_about_mean`'s too."""


class Sums(NamedTuple):
    """What is known of some groups of pixels: (groups, bands) float64.

    `pixels` is their number, (groups, 1), and `squares` the sum of squared distances from the mean.
    """

    pixels: _Rows
    mean: _Rows
    squares: _Rows
    minimum: _Rows
    maximum: _Rows


class BandStatistics:
    """Running statistics of the tiles of each class."""

    def __init__(self, classes: int, bands: int) -> None:
        nothing, far = np.zeros((classes, bands)), np.full((classes, bands), np.inf)
        self._sums = Sums(np.zeros((classes, 1)), nothing, nothing, far, -far)

    def add(self, tiles: Sums, labels: NDArray[np.intp]) -> None:
        """Take in what is known of some tiles, each of the class that its label says."""
        classes = len(self._sums.pixels)
        both = Sums(*map(np.concatenate, zip(self._sums, tiles, strict=True)))
        self._sums = _gathered(both, np.append(np.arange(classes), labels), classes)

    def bands(self) -> tuple[Band, ...]:
        """Return the statistics of all that was added, one tile at least."""
        whole = _gathered(self._sums, np.zeros(len(self._sums.pixels), np.intp), 1)
        std = np.sqrt(whole.squares / whole.pixels)
        columns = (whole.mean[0], std[0], whole.minimum[0], whole.maximum[0])
        return tuple(
            Band(mean=mean, std=spread, minimum=low, maximum=high)
            for mean, spread, low, high in zip(*(c.tolist() for c in columns), strict=True)
        )

    def moments(self) -> tuple[tuple[Moments, ...], ...]:
        """Return of each class what is no single pixel's value: mean and spread.

        Each must have a tile.
        """
        std = np.sqrt(self._sums.squares / self._sums.pixels)
        return tuple(
            tuple(Moments(mean=mean, std=spread) for mean, spread in zip(*bands, strict=True))
            for bands in zip(self._sums.mean.tolist(), std.tolist(), strict=True)
        )


def of_tiles(tiles: Pixels) -> Sums:
    """Return what is known of each of some tiles, (n, H, W) or (n, H, W, C)."""
    bands = tiles.shape[3] if tiles.ndim == 4 else 1
    # A row of pixels at a time, all bands side by side: NumPy is many times as fast along rows of
    # hundreds of numbers as along pixels of two to thirteen. Of one band all pixels are one row.
    rows = tiles.reshape(len(tiles), -1, tiles.shape[2] * bands if bands > 1 else 1)
    pixels = tiles.shape[1] * tiles.shape[2]
    near = None
    if tiles.dtype.kind == "f" or pixels > _EXACT:  # distances from a pixel are smaller numbers
        near = rows[:, 0, :bands].astype(np.float64)
    total, squares = (_by_band(each, np.add, bands) for each in _added_up(rows, near))
    mean, squares = _about_mean(pixels, total, squares)
    return Sums(
        np.full((len(tiles), 1), float(pixels)),
        mean if near is None else mean + near,
        squares,
        _by_band(rows.min(axis=1).astype(np.float64), np.minimum, bands),
        _by_band(rows.max(axis=1).astype(np.float64), np.maximum, bands),
    )


def _added_up(rows: Pixels, near: _Rows | None) -> tuple[_Rows, _Rows]:
    """Add up each column of each tile, and its squares."""
    tiles, height, width = rows.shape
    total, squares = np.zeros((tiles, width)), np.zeros((tiles, width))
    step = min(tiles, max(1, _BLOCK // (height * width)))
    slab = min(height, max(1, _BLOCK // width))
    room = np.empty((step, slab, width))  # of one size, and used again
    for first in range(0, tiles, step):
        some = slice(first, first + step)
        for row in range(0, height, slab):
            numbers = rows[some, row : row + slab]
            values = room[: numbers.shape[0], : numbers.shape[1]]
            values[:] = numbers
            if near is not None:
                values -= np.tile(near[some, None], width // near.shape[1])
            total[some] += values.sum(axis=1)
            squares[some] += np.einsum("tij,tij->tj", values, values)
    return total, squares


def _by_band(columns: _Rows, add: np.ufunc, bands: int) -> _Rows:
    """Bring the columns of each tile together."""
    together: _Rows = add.reduce(columns.reshape(len(columns), -1, bands), axis=1)
    return together


def _about_mean(pixels: int, total: _Rows, squares: _Rows) -> tuple[_Rows, _Rows]:
    """Return the mean, and the squared distances from it, of what was added up.

    The difference of large numbers is taken about the whole number next to the mean, where it is
    exact if all numbers are whole; what is left is of small ones.
    """
    middle = np.rint(total / pixels)
    squares = squares + (pixels * middle**2 - 2 * middle * total)
    rest = total - pixels * middle
    return total / pixels, np.maximum(squares - rest**2 / pixels, 0)


def _gathered(parts: Sums, labels: NDArray[np.intp], groups: int) -> Sums:
    """Bring parts together to the groups that their labels say.

    By the formulas of Chan, Golub and LeVeque (1979), which keep their precision where a sum of
    squares would lose it.
    """
    pixels = np.zeros((groups, 1))
    mean, squares = np.zeros((2, groups, parts.mean.shape[1]))
    minimum, maximum = np.full_like(mean, np.inf), np.full_like(mean, -np.inf)
    np.add.at(pixels, labels, parts.pixels)
    np.add.at(mean, labels, parts.pixels * parts.mean)
    mean /= np.maximum(pixels, 1)
    np.add.at(squares, labels, parts.squares + parts.pixels * (parts.mean - mean[labels]) ** 2)
    np.minimum.at(minimum, labels, parts.minimum)
    np.maximum.at(maximum, labels, parts.maximum)
    return Sums(pixels, mean, squares, minimum, maximum)

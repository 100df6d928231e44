"""Mean, spread and range of each band, gathered batch by batch."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset.pixels import Pixels
from evaluator.dataset.sealed import Band, Moments

_Row = NDArray[np.float64]
_BLOCK = 2**16
"""Numbers taken in at once: as float64 they fit into a core's own cache."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What is known of `count` pixels: of each band, (bands,) float64.

    `squares` is the sum of squared distances from the mean.
    """

    count: int
    mean: _Row
    squares: _Row
    minimum: _Row
    maximum: _Row


class BandStatistics:
    """Running statistics over tiles of `bands` bands, in float64.

    Batches are merged with the pairwise formulas of Chan, Golub and LeVeque (1979), which
    keep their precision where a sum of squares would lose it.
    """

    def __init__(self, bands: int) -> None:
        self._bands = bands
        nothing, far = np.zeros(bands), np.full(bands, np.inf)
        self.sums = Sums(0, nothing, nothing, far, -far)

    def add(self, tiles: Pixels) -> None:
        """Take in a batch, (n, H, W) or (n, H, W, C)."""
        # A row of pixels at a time, all bands side by side: NumPy is many times as fast along
        # rows of hundreds of numbers as along pixels of one to thirteen.
        rows = tiles.reshape(-1, tiles.shape[2] * self._bands)
        step = max(1, _BLOCK // rows.shape[1])
        blocks = (rows[start : start + step] for start in range(0, len(rows), step))
        if rows.dtype.kind == "u":
            self.merge(self._whole_numbers(rows, blocks))
        else:
            for block in blocks:
                self.merge(self._block(block))

    def _whole_numbers(self, rows: Pixels, blocks: Iterable[Pixels]) -> Sums:
        # Of 8 or 16 bits: float64 holds the sums of two million squares exactly, and Python's
        # integers do the one subtraction in which they would lose it.
        total, squares = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        for block in blocks:
            values = block.astype(np.float64)
            total += values.sum(axis=0)
            squares += np.einsum("ij,ij->j", values, values)
        count = rows.size // self._bands
        sums, products = (
            [int(value) for value in self._fold(each).sum(axis=0)] for each in (total, squares)
        )
        pairs = zip(sums, products, strict=True)
        return Sums(
            count,
            np.array(sums) / count,
            np.array([(count * square - one * one) / count for one, square in pairs]),
            *self._range(rows),
        )

    def _block(self, rows: Pixels) -> Sums:
        # Distances from some pixel, or else the mean so far, keep sums of squares precise.
        near = self.sums.mean if self.sums.count else rows[0, : self._bands].astype(np.float64)
        far = rows.astype(np.float64)
        far -= np.tile(near, rows.shape[1] // self._bands)
        count = rows.size // self._bands
        total = self._fold(far.sum(axis=0)).sum(axis=0)
        squares = self._fold(np.einsum("ij,ij->j", far, far)).sum(axis=0)
        return Sums(
            count,
            near + total / count,
            np.maximum(squares - total**2 / count, 0),
            *self._range(rows),
        )

    def _range(self, rows: Pixels) -> tuple[_Row, _Row]:
        return (
            self._fold(rows.min(axis=0)).min(axis=0).astype(np.float64),
            self._fold(rows.max(axis=0)).max(axis=0).astype(np.float64),
        )

    def _fold(self, row: Pixels) -> Pixels:
        return row.reshape(-1, self._bands)

    def merge(self, more: Sums) -> None:
        """Take in what was gathered of other pixels, one of them at least."""
        old = self.sums
        delta = more.mean - old.mean
        count = old.count + more.count
        self.sums = Sums(
            count,
            old.mean + delta * more.count / count,
            old.squares + more.squares + delta**2 * old.count * more.count / count,
            np.minimum(old.minimum, more.minimum),
            np.maximum(old.maximum, more.maximum),
        )

    def bands(self) -> tuple[Band, ...]:
        """Return the statistics of what was added so far."""
        std = np.sqrt(self.sums.squares / self.sums.count)
        columns = (self.sums.mean, std, self.sums.minimum, self.sums.maximum)
        return tuple(
            Band(mean=mean, std=spread, minimum=low, maximum=high)
            for mean, spread, low, high in zip(*(c.tolist() for c in columns), strict=True)
        )

    def moments(self) -> tuple[Moments, ...]:
        """Return what of them is no single pixel's value: mean and spread."""
        return tuple(Moments(mean=band.mean, std=band.std) for band in self.bands())

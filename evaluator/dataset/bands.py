"""Mean, spread and range of each band, gathered batch by batch."""

import numpy as np

from evaluator.dataset.decoding import Pixels
from evaluator.dataset.sealed import Band


class BandStatistics:
    """Running statistics over tiles of `bands` bands, in float64.

    Batches are merged with the pairwise formulas of Chan, Golub and LeVeque (1979), which
    keep their precision where a sum of squares would lose it.
    """

    def __init__(self, bands: int) -> None:
        self._bands = bands
        self._count = 0
        self._mean = np.zeros(bands)
        self._squares = np.zeros(bands)
        self._minimum = np.full(bands, np.inf)
        self._maximum = np.full(bands, -np.inf)

    def add(self, tiles: Pixels) -> None:
        """Take in a batch, (n, H, W) or (n, H, W, C)."""
        pixels = tiles.reshape(-1, self._bands).astype(np.float64)
        added = len(pixels)
        mean = pixels.mean(axis=0)
        delta = mean - self._mean
        total = self._count + added
        self._squares += pixels.var(axis=0) * added + delta**2 * self._count * added / total
        self._mean += delta * added / total
        self._count = total
        self._minimum = np.minimum(self._minimum, pixels.min(axis=0))
        self._maximum = np.maximum(self._maximum, pixels.max(axis=0))

    def bands(self) -> tuple[Band, ...]:
        """Return the statistics of what was added so far."""
        std = np.sqrt(self._squares / self._count)
        columns = (self._mean, std, self._minimum, self._maximum)
        return tuple(
            Band(mean=mean, std=spread, minimum=low, maximum=high)
            for mean, spread, low, high in zip(*(c.tolist() for c in columns), strict=True)
        )

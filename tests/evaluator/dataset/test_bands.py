"""Statistics that are gathered bit by bit are those of everything at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluator.dataset.bands import BandStatistics, of_tiles
from evaluator.dataset.pixels import Pixels

SHAPES = [(8, 6), (1, 1), (64, 64), (5, 7, 3), (64, 64, 13), (300, 260), (2, 3, 2)]


def noise(seed: int, tiles: int, shape: tuple[int, ...], dtype: str) -> Pixels:
    """Tiles of noise, which reaches to both ends of what whole numbers can be."""
    random = np.random.default_rng(seed)
    if dtype == "float32":
        return random.normal(1000, 3, (tiles, *shape)).astype(dtype)
    top = np.iinfo(dtype).max
    return random.choice(np.array([0, 1, top - 1, top], dtype), (tiles, *shape))


def gathered(
    tiles: Pixels, labels: NDArray[np.intp], classes: int, parts: tuple[int, ...] = ()
) -> BandStatistics:
    """The statistics of tiles that come in some parts."""
    statistics = BandStatistics(classes, tiles.shape[3] if tiles.ndim == 4 else 1)
    for some, theirs in zip(np.split(tiles, parts), np.split(labels, parts), strict=True):
        statistics.add(of_tiles(some), theirs)
    return statistics


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 9),
    st.sampled_from(SHAPES),
    st.sampled_from(["uint8", "uint16", "float32"]),
    st.sets(st.integers(1, 11), max_size=3).map(sorted),
)
def test_statistics_are_numpys(
    seed: int, shape: tuple[int, ...], dtype: str, parts: list[int]
) -> None:
    """Of each class and of all, in whatever parts the tiles came."""
    tiles = noise(seed, 12, shape, dtype)
    labels = np.array([0, 1, 2, 2, 1, 0, 0, 0, 1, 2, 1, 0])
    bands = tiles.shape[3] if tiles.ndim == 4 else 1
    found = gathered(tiles, labels, 3, tuple(parts))

    for number, band in enumerate(found.bands()):
        values = tiles.reshape(-1, bands)[:, number].astype(np.float64)
        assert band.mean == pytest.approx(values.mean(), rel=1e-12)
        assert band.std == pytest.approx(values.std(), rel=1e-9, abs=1e-9)
        assert (band.minimum, band.maximum) == (values.min(), values.max())
    for label, moments in enumerate(found.moments()):
        for number, moment in enumerate(moments):
            values = tiles[labels == label].reshape(-1, bands)[:, number].astype(np.float64)
            assert moment.mean == pytest.approx(values.mean(), rel=1e-12)
            assert moment.std == pytest.approx(values.std(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("shape", [(16, 16, 2), (64, 64), (1100, 1000)])
def test_small_spread_around_a_large_mean_survives(dtype: str, shape: tuple[int, ...]) -> None:
    """Where a sum of squares would lose it: also in tiles of more than a million pixels."""
    random = np.random.default_rng(5)
    tiles = (65_000 + random.integers(0, 3, (16, *shape))).astype(dtype)
    labels = np.zeros(16, np.intp)

    for band, found in enumerate(gathered(tiles, labels, 1, (7, 9)).bands()):
        values = tiles[..., band] if tiles.ndim == 4 else tiles
        assert found.std == pytest.approx(values.std(dtype=np.float64), rel=1e-9)


def test_equal_pixels_have_no_spread() -> None:
    """Not even one of rounding."""
    tiles = np.full((7, 9, 11, 3), 54_321, np.uint16)

    assert {band.std for band in gathered(tiles, np.zeros(7, np.intp), 1).bands()} == {0.0}

"""What chance decides: the split, the order, the weights of classes, the augmentation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluator.recipe import Recipe
from tests.images.trainer.conftest import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

sampling, settings = load("sampling"), load("settings")
PLAIN = settings.Settings(**Recipe(flips=False, rotations=False).model_dump())


def test_settings_are_the_recipes_keys() -> None:
    """Neither side has a key that the other lacks."""
    fields = [field.name for field in dataclasses.fields(settings.Settings)]
    assert fields == list(Recipe.model_fields)


@given(arrays(np.uint8, st.integers(1, 200), elements=st.integers(0, 4)), st.floats(0, 0.9))
def test_a_split_takes_its_share_of_every_class(labels: NDArray[np.uint8], share: float) -> None:
    """Both parts are whole and disjoint, and no class is set aside altogether."""
    training, validation = sampling.split(labels, share, np.random.default_rng(0))
    assert sorted([*training, *validation]) == list(range(len(labels)))
    for label in np.unique(labels):
        size = int((labels == label).sum())
        assert int((labels[validation] == label).sum()) == min(round(share * size), size - 1)


def test_batches_are_one_permutation() -> None:
    """Every training tile once in an epoch, in another order in the next."""
    rng = np.random.default_rng(0)
    first, second = (list(sampling.batches(np.arange(10, 33), 8, rng)) for _ in range(2))
    assert [len(batch) for batch in first] == [8, 8, 7]
    assert sorted(np.concatenate(first)) == list(range(10, 33))
    assert np.concatenate(first).tolist() != np.concatenate(second).tolist()


@pytest.mark.parametrize(
    ("weighting", "wanted"),
    [("none", [1, 1]), ("balanced", [5 / 9, 5]), ("sqrt", [5 / 6, 5 / 2])],
)
def test_rare_classes_weigh_more(weighting: str, wanted: list[float]) -> None:
    """By 1 / n or 1 / sqrt(n), and 1 on the average of all tiles."""
    labels = np.repeat(np.arange(2, dtype=np.uint8), [90, 10])
    weights = sampling.class_weights(labels, 2, weighting)
    assert weights[labels].mean() == pytest.approx(1)
    assert weights == pytest.approx(wanted)


def test_augmentation_moves_pixels_and_invents_none() -> None:
    """Flips and turns keep each tile's pixels; the original stays as it is."""
    tiles = np.random.default_rng(1).integers(0, 256, (20, 6, 6, 2), np.uint8)
    kept = tiles.copy()
    turned = dataclasses.replace(PLAIN, flips=True, rotations=True)
    result = sampling.augmented(tiles, turned, np.random.default_rng(2))
    assert (tiles == kept).all()
    assert (result != tiles).any()
    assert (np.sort(result.reshape(20, -1)) == np.sort(tiles.reshape(20, -1))).all()


def test_an_oblong_tile_keeps_its_shape() -> None:
    """It is turned by half a turn only."""
    tiles = np.arange(20 * 3 * 5, dtype=np.float32).reshape(20, 3, 5, 1)
    result = sampling.augmented(
        tiles, dataclasses.replace(PLAIN, rotations=True), np.random.default_rng(2)
    )
    assert result.shape == tiles.shape
    assert all(
        (made == tile).all() or (made == tile[::-1, ::-1]).all()
        for made, tile in zip(result, tiles, strict=True)
    )


@given(st.integers(1, 20), st.integers(-20, 20))
def test_a_shift_is_filled_up_by_reflection(side: int, shift: int) -> None:
    """As numpy pads by reflection."""
    wanted = np.pad(np.arange(side), 20, mode="reflect" if side > 1 else "edge")
    assert (sampling.reflected(side, shift) == wanted[20 + shift :][:side]).all()


def test_nothing_asked_for_is_nothing_done() -> None:
    """Without augmentation the generator is not even asked."""
    rng = np.random.default_rng(4)
    tiles = np.ones((3, 4, 4, 1), np.uint8)
    assert (sampling.augmented(tiles, PLAIN, rng) == tiles).all()
    assert rng.integers(1000) == np.random.default_rng(4).integers(1000)

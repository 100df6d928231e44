"""Tiles that were made up: of every kind that owners have, and a dataset like any other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluator.challenge import sample_challenge
from evaluator.dataset.commitment import check_commitment
from evaluator.dataset.labels import read_labels
from evaluator.dataset.sealed import check_seal
from evaluator.dataset.targets import read_targets
from evaluator.rehearsal import synthetic
from evaluator.rehearsal.synthetic import make_dataset
from tests.helpers.challenges import KINDS, challenge_of_kind, manifest_of

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.challenge import Challenge
    from evaluator.dataset.sealed import Dataset, Split


def sides(dataset: Dataset) -> list[Split]:
    """Both, or the one that there is."""
    return [side for side in (dataset.holdout, dataset.training) if side]


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_are_of_the_challenges_kind(tmp_path: Path, kind: str) -> None:
    """Shape, type, manifest; sealed and committed to; every class on both sides."""
    challenge = challenge_of_kind(kind)
    dataset = make_dataset(challenge, 40, tmp_path)
    given = challenge.tiles

    check_seal(dataset)
    check_commitment(dataset)
    assert len(sides(dataset)) == 2
    for side in sides(dataset):
        tiles = np.load(side.tiles)
        assert (tiles.shape, tiles.dtype.name) == ((40, *given.shape), given.dtype)
        assert json.loads(side.manifest.read_bytes()) == json.loads(
            json.dumps(manifest_of(kind, 40))
        )
        labels = read_labels(side, len(given.classes))
        assert set(labels) == set(range(len(given.classes)))
        if given.range:
            targets = read_targets(side)
            assert given.range[0] <= targets.min() < targets.max() <= given.range[1]
    assert not (tmp_path / "source").exists()


def test_the_same_challenge_gives_the_same_tiles(tmp_path: Path) -> None:
    """On sides and in an order that are as secret as an owner's."""
    rows = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        made = sides(make_dataset(challenge_of_kind("grey"), 30, folder))
        rows.append(sorted(tile.tobytes() for side in made for tile in np.load(side.tiles)))

    assert rows[0] == rows[1]


def test_there_is_something_to_learn(tmp_path: Path) -> None:
    """The mean of a tile tells its class, by the means of the training side."""
    dataset = make_dataset(challenge_of_kind("grey"), 60, tmp_path)
    held, trained = sides(dataset)
    means = [np.load(side.tiles).mean((1, 2)) for side in (trained, held)]
    labels = [read_labels(side, 3) for side in (trained, held)]
    centres = np.array([means[0][labels[0] == label].mean() for label in range(3)])
    guessed = abs(means[1][:, None] - centres).argmin(1)

    assert (guessed == labels[1]).all()


def changed(**tiles: object) -> Challenge:
    """A grey challenge with other tiles."""
    challenge = challenge_of_kind("grey")
    return challenge.model_copy(update={"tiles": challenge.tiles.model_copy(update=tiles)})


def test_without_training_tiles_there_is_one_side(tmp_path: Path) -> None:
    """As where the owner holds every tile out."""
    assert make_dataset(changed(training=0), 20, tmp_path).training is None


def test_few_tiles_still_show_every_class(tmp_path: Path) -> None:
    """And never more than the owner has, where that is enough for its classes."""
    dataset = make_dataset(changed(holdout=5), 1, tmp_path)

    assert dataset.holdout.size == 3
    assert [side.counts for side in sides(dataset)] == [(1, 1, 1), (4, 4, 4)]


def test_large_tiles_are_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rehearsal does not fill the disk."""
    monkeypatch.setattr(synthetic, "_SIDE_BYTES", 16 * 16 * 20)

    assert make_dataset(challenge_of_kind("grey"), 1000, tmp_path).holdout.size == 20


def test_a_full_disk_is_an_error_and_no_signal(small_disk: Path) -> None:
    """A file that is mapped to be written kills the program instead."""
    with pytest.raises(OSError, match="No space left"):
        make_dataset(sample_challenge(), 400, small_disk)

"""A sealed dataset opens as what was sealed, or says what is no longer so."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evaluator.dataset.importing import ImportRules, import_tiles, split_again
from evaluator.dataset.labels import read_labels
from evaluator.dataset.sealed import Dataset, check_seal, describe, open_dataset
from evaluator.errors import OwnerError

RULES = ImportRules(rare=1)


def quiet(_stage: str, _done: int, _total: int) -> None:
    """Show nobody anything."""


@pytest.fixture
def dataset(class_folders: Callable[..., Path], tmp_path: Path) -> Dataset:
    """Give a small sealed dataset: 12 tiles of barley and 8 of corn, 5 of them held out."""
    source = class_folders({"barley": 12, "corn": 8}, shape=(8, 6, 3))
    return import_tiles(tmp_path / "data", source, RULES, holdout=5, progress=quiet).dataset


def test_dataset_opens_as_it_was_sealed(dataset: Dataset) -> None:
    """Classes, sizes, shape and paths come back from the disk."""
    opened = open_dataset(dataset.folder.parent)

    assert opened == dataset
    assert (opened.classes, opened.rare) == (("barley", "corn"), ("corn",))
    assert (opened.shape, opened.dtype) == ((8, 6, 3), "uint8")
    assert opened.holdout.counts == (3, 2)
    assert opened.training is not None
    assert opened.training.counts == (9, 6)
    assert np.load(opened.holdout.tiles, mmap_mode="r").shape == (5, 8, 6, 3)
    check_seal(opened)


def test_manifest_says_what_the_contract_promises(dataset: Dataset) -> None:
    """manifest.json describes the tiles beside it, and nothing of their classes' sizes."""
    assert json.loads(dataset.holdout.manifest.read_text()) == {
        "contract": 1,
        "tiles": 5,
        "shape": [8, 6, 3],
        "dtype": "uint8",
        "bands": 3,
        "classes": ["barley", "corn"],
        "task": "classification",
        "output_dtype": "uint8",
    }


def test_containers_files_are_readable_behind_closed_directories(dataset: Dataset) -> None:
    """A fresh uid can read what is mounted into its container; no other user gets that far."""
    modes = {
        str(path.relative_to(dataset.folder)): path.stat().st_mode & 0o777
        for path in dataset.folder.rglob("*")
    }
    folders = {path for path in modes if (dataset.folder / path).is_dir()}
    readable = {path for path in set(modes) - folders if modes[path] == 0o444}

    assert dataset.folder.stat().st_mode & 0o777 == 0o700
    assert {modes[path] for path in folders} == {0o700}
    assert readable == {
        "commitment.json",
        "holdout/tiles/manifest.json",
        "holdout/tiles/tiles.npy",
        "training/labels/labels.npy",
        "training/tiles/manifest.json",
        "training/tiles/tiles.npy",
    }
    assert {modes[path] for path in set(modes) - folders - readable} == {0o600}


def test_labels_are_read_as_sealed(dataset: Dataset) -> None:
    """Labels are class numbers, as many of each as the seal says."""
    labels = read_labels(dataset.holdout, 2)

    assert labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [3, 2]


@pytest.mark.parametrize("content", [[0, 0, 0, 0, 0], [0, 0, 1, 9, 1], [0, 1], [[0, 0, 0, 1, 1]]])
def test_other_labels_are_refused(dataset: Dataset, content: list[int]) -> None:
    """Labels that are not those sealed never reach the scoring."""
    dataset.holdout.labels.chmod(0o600)
    np.save(dataset.holdout.labels, np.array(content, np.uint8))

    with pytest.raises(OwnerError, match="not hold the labels"):
        read_labels(dataset.holdout, 2)


def test_every_changed_file_is_named(dataset: Dataset) -> None:
    """One bit anywhere in a sealed file is found, and the file named."""
    files = [path for path in dataset.folder.rglob("*") if path.is_file()]
    for path in files:
        if path.name == "seal.json":
            continue
        original, stamp = path.read_bytes(), path.stat()
        path.chmod(0o600)
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # a forger would as well
        with pytest.raises(OwnerError, match="has changed") as error:
            check_seal(dataset)
        assert str(path.relative_to(dataset.folder)) in str(error.value)
        path.write_bytes(original)

    check_seal(dataset)  # the control: with everything as it was, nothing is found
    assert len(files) == 9


def test_link_is_not_taken_for_a_sealed_file(dataset: Dataset, tmp_path: Path) -> None:
    """A link to the same bytes elsewhere could change under a run."""
    elsewhere = dataset.holdout.tiles.rename(tmp_path / "elsewhere.npy")
    dataset.holdout.tiles.symlink_to(elsewhere)

    with pytest.raises(OwnerError, match="link"):
        check_seal(dataset)


def test_missing_dataset_says_what_to_do(tmp_path: Path) -> None:
    """Without a version the message names the command that makes one."""
    for data in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(OwnerError, match="evaluator data import"):
            open_dataset(data)


def test_missing_file_is_named(dataset: Dataset) -> None:
    """A dataset without one of its files does not open."""
    dataset.holdout.manifest.unlink()

    with pytest.raises(OwnerError, match=r"manifest\.json is missing"):
        open_dataset(dataset.folder.parent)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"version": 2},
        {"classes": ["barley"]},
        {"rare": ["rye"]},
        {"holdout": [5]},
        {"holdout": [5, 0]},
        {"training": None},
        {"dtype": "object"},
        {"extra": 1},
        {"files": {"../../../etc/passwd": "0" * 64}},
    ],
)
def test_malformed_seal_is_refused(dataset: Dataset, change: dict[str, object]) -> None:
    """A seal that contradicts itself opens nothing, and no foreign path."""
    path = dataset.folder / "seal.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(OwnerError, match=r"seal\.json"):
        open_dataset(dataset.folder.parent)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff"])
def test_seal_that_is_no_json_is_refused(dataset: Dataset, text: str) -> None:
    """Garbage in place of the seal is an OwnerError."""
    (dataset.folder / "seal.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(OwnerError, match=r"seal\.json"):
        open_dataset(dataset.folder.parent)


def test_highest_version_is_current(dataset: Dataset) -> None:
    """A new version takes over; the old one stays as it is."""
    data = dataset.folder.parent
    (data / "notes").mkdir()

    second = split_again(data, RULES, holdout=0.5, progress=quiet).dataset

    assert open_dataset(data) == second
    assert (second.version, second.holdout.size) == (2, 10)
    check_seal(dataset)


def test_version_without_its_seal_is_not_passed_over(dataset: Dataset) -> None:
    """Deleting a seal must not quietly bring an older holdout back."""
    data = dataset.folder.parent
    second = split_again(data, RULES, holdout=0.5, progress=quiet).dataset
    (second.folder / "seal.json").unlink()

    with pytest.raises(OwnerError, match="2/seal"):
        open_dataset(data)


def test_description_sums_up(dataset: Dataset) -> None:
    """Counts, shares and band statistics are those of the tiles."""
    assert dataset.training is not None
    tiles = np.concatenate([np.load(s.tiles) for s in (dataset.holdout, dataset.training)])

    description = describe(dataset)

    assert [row.name for row in description.classes if row.rare] == ["corn"]
    assert [row.holdout_share for row in description.classes] == [0.6, 0.4]
    assert [row.training_share for row in description.classes] == [0.6, 0.4]
    for band, found in enumerate(description.bands):
        values = tiles[..., band].astype(float)
        assert found.mean == pytest.approx(values.mean())
        assert found.std == pytest.approx(values.std())
        assert (found.minimum, found.maximum) == (values.min(), values.max())

"""A dataset is hashed in a thread: what is wrong with it is told to who waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evaluator.dataset.hashing import hashing
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.sealed import open_dataset
from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path, class_folders: Callable[..., Path]) -> Path:
    """A dataset of one version."""
    source = class_folders({"barley": 10, "corn": 6})
    rules = ImportRules(rare=1)
    import_tiles(tmp_path / "data", source, rules, holdout=8, progress=lambda *_: None)
    return tmp_path / "data"


def spoil(data: Path) -> None:
    """Change one byte of the tiles held out."""
    tiles = open_dataset(data).holdout.tiles
    whole = tiles.read_bytes()
    tiles.chmod(0o600)
    tiles.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def test_a_whole_dataset_is_what_comes_of_it(data: Path) -> None:
    """Waiting for it, as often as one likes, says nothing."""
    begun = hashing(data, data)
    begun.wait()
    begun.wait()

    assert begun.dataset == open_dataset(data)


def test_a_changed_file_is_told_to_who_waits(data: Path) -> None:
    """And not where the hashing begins: something else may go wrong first."""
    spoil(data)
    begun = hashing(data, data)

    with pytest.raises(OwnerError, match="has changed since version 1 was sealed"):
        begun.wait()


def test_a_slot_has_its_own_copy_hashed(data: Path, tmp_path: Path) -> None:
    """The copy is what its run will read, so the original is not looked at."""
    copy = tmp_path / "slots" / "1"
    hashing(data, copy).wait()
    spoil(copy)

    hashing(data, data).wait()  # the control: the original is whole
    with pytest.raises(OwnerError, match="has changed"):
        hashing(data, copy).wait()

"""Each slot has tiles of its own: a copy that is sealed like the original, of today's version."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from evaluator.dataset.copies import own_copy
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.sealed import check_seal, open_dataset
from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path, class_folders: Callable[..., Path]) -> Path:
    """A dataset of one version."""
    class_folders({"barley": 10, "corn": 6})
    return another_version(tmp_path / "data")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Where the copy of a slot goes."""
    return tmp_path / "slots" / "1"


def another_version(data: Path) -> Path:
    """Import the same tiles as the next version."""
    source, rules = data.parent / "source", ImportRules(rare=1)
    import_tiles(data, source, rules, holdout=8, progress=lambda *_: None)
    return data


def files(folder: Path) -> dict[str, bytes]:
    """What every file below a folder holds."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def identities(folder: Path) -> set[tuple[int, int]]:
    """What the kernel knows every file by."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return {(found.st_dev, found.st_ino) for found in stats}


def test_the_first_slot_uses_the_data_itself(data: Path) -> None:
    """Nothing is copied where runs do not stand side by side."""
    before = files(data)

    assert own_copy(data, data) == data
    assert files(data) == before


def test_a_copy_holds_the_same_bytes_in_files_of_its_own(data: Path, copy: Path) -> None:
    """Shared files would share page cache and locks, which is what a copy is against."""
    assert own_copy(data, copy) == copy

    assert files(copy / "1") == files(data / "1")
    assert identities(copy).isdisjoint(identities(data))


def test_a_copy_is_sealed_like_the_original(data: Path, copy: Path) -> None:
    """A byte that differs in it is found before a run, as in the original."""
    dataset = open_dataset(own_copy(data, copy))
    check_seal(dataset)
    assert dataset.holdout.tiles.is_relative_to(copy)
    tiles = dataset.holdout.tiles
    tiles.chmod(0o600)
    whole = tiles.read_bytes()
    tiles.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    with pytest.raises(OwnerError, match=r"tiles\.npy has changed"):
        check_seal(dataset)


def test_nobody_else_enters_a_copy(data: Path, copy: Path) -> None:
    """It has the permissions of the original, and so has every directory in it."""
    own_copy(data, copy)

    def modes(folder: Path) -> dict[str, int]:
        return {str(path.relative_to(folder)): path.stat().st_mode for path in folder.rglob("*")}

    assert modes(copy / "1") == modes(data / "1")
    assert copy.stat().st_mode & 0o077 == 0


def test_a_copy_is_made_once(data: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run finds it."""
    own_copy(data, copy)
    before = identities(copy)
    monkeypatch.setattr(shutil, "copytree", None)  # it would fail

    assert own_copy(data, copy) == copy
    assert identities(copy) == before


def test_a_copy_follows_the_newest_version_alone(data: Path, copy: Path) -> None:
    """An older one that stayed would be tiles that nobody looks after."""
    own_copy(data, copy)
    another_version(data)
    own_copy(data, copy)

    assert [path.name for path in copy.iterdir()] == ["2"]
    assert files(copy / "2") == files(data / "2")


def test_a_copy_that_was_cut_short_is_made_again(
    data: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill leaves a part of it, under another name."""

    def cut(source: Path, target: Path) -> None:
        target.mkdir()
        shutil.copy2(source / "seal.json", target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", cut)
        with pytest.raises(KeyboardInterrupt):
            own_copy(data, copy)
    assert not (copy / "1").exists()
    own_copy(data, copy)

    assert [path.name for path in copy.iterdir()] == ["1"]
    assert files(copy / "1") == files(data / "1")

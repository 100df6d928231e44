"""Targets come in with their tiles, are split by quantile, sealed, committed to and checked."""

import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.dataset import commitment
from evaluator.dataset.commitment import check_commitment
from evaluator.dataset.importing import ImportRules, import_tiles, split_again
from evaluator.dataset.labels import read_labels
from evaluator.dataset.problems import ImportProblems
from evaluator.dataset.sealed import Dataset, Split, check_seal, open_dataset
from evaluator.dataset.splitting import split
from evaluator.dataset.targets import TargetRule, read_targets, strata
from evaluator.errors import OwnerError

Folders = Callable[..., Path]
RULES = ImportRules(rare=1, targets=TargetRule("t/ha", 0.0, 12.0))


def quiet(_stage: str, _done: int, _total: int) -> None:
    """Show nobody anything."""


def arrays(folder: Path, targets: np.ndarray | None, crops: int = 2, tiles: int = 40) -> Path:
    """Tiles whose first pixel is their number, crops in turn, and what is to be predicted."""
    folder.mkdir()
    pixels = np.random.default_rng(3).integers(0, 256, (tiles, 8, 8), dtype=np.uint8)
    pixels[:, 0, 0] = np.arange(tiles)
    np.save(folder / "tiles.npy", pixels)
    np.save(folder / "labels.npy", (np.arange(tiles) % crops).astype(np.uint8))
    if targets is not None:
        np.save(folder / "targets.npy", targets)
    return folder


def yields(tiles: int = 40) -> np.ndarray:
    """A quarter of the tile's number: exact as a float32, and within 0 to 12."""
    return (np.arange(tiles) / 4).astype(np.float32)


def pairs(side: Split | None) -> list[tuple[int, float, int]]:
    """(number of the tile, target, crop) of all tiles of one side."""
    assert side is not None
    numbers = np.load(side.tiles)[:, 0, 0].tolist()
    crops = read_labels(side, len(side.counts)).tolist()
    return list(zip(numbers, read_targets(side).tolist(), crops, strict=True))


def imported(tmp_path: Path, targets: np.ndarray | None = None, **options: object) -> Dataset:
    """Sealed from arrays."""
    source = arrays(tmp_path / "source", yields() if targets is None else targets)
    rules = options.pop("rules", RULES)
    assert isinstance(rules, ImportRules)
    return import_tiles(tmp_path / "data", source, rules, holdout=16, progress=quiet).dataset


def test_each_tile_keeps_its_target_and_its_crop(tmp_path: Path) -> None:
    """On both sides, in the secret order of the tiles."""
    dataset = imported(tmp_path)
    found = pairs(dataset.holdout) + pairs(dataset.training)

    assert sorted(found) == [(at, at / 4, at % 2) for at in range(40)]
    assert (dataset.task, dataset.unit, dataset.range) == ("regression", "t/ha", (0.0, 12.0))
    check_seal(dataset)
    check_commitment(dataset)


def test_a_table_has_a_column_of_targets(class_folders: Folders, tmp_path: Path) -> None:
    """labels.csv: file, label and target, the label being the crop."""
    source = class_folders({"maize": 8, "rice": 8})
    files = sorted(path.relative_to(source) for path in source.rglob("*.png"))
    rows = [f"{file},{file.parent},{at / 2}" for at, file in enumerate(files)]
    (source / "labels.csv").write_text("\n".join(["file,label,target", *rows]))

    dataset = import_tiles(tmp_path / "data", source, RULES, holdout=6, progress=quiet).dataset
    found = read_targets(dataset.holdout).tolist()
    assert dataset.training is not None
    found += read_targets(dataset.training).tolist()

    assert dataset.classes == ("maize", "rice")
    assert sorted(found) == [at / 2 for at in range(16)]


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("", "no target"),
        ("4,5", "no target"),
        ("nan", "no target"),
        ("1_0", "no target"),
        ("٣", "no target"),
        ("1e999", "target out of range"),
        ("-0.001", "target out of range"),
        ("12.001", "target out of range"),
    ],
)
def test_a_bad_target_is_a_problem_of_its_tile(
    class_folders: Folders, tmp_path: Path, cell: str, problem: str
) -> None:
    """Told with its line, and left out with --skip-bad; the other tiles come in."""
    source = class_folders({"maize": 8, "rice": 8})
    files = sorted(path.relative_to(source) for path in source.rglob("*.png"))
    rows = [f'{file},{file.parent},"{at / 2}"' for at, file in enumerate(files)]
    rows[3] = f'{files[3]},{files[3].parent},"{cell}"'
    (source / "labels.csv").write_text("\n".join(["file,label,target", *rows]))

    with pytest.raises(ImportProblems) as caught:
        import_tiles(tmp_path / "data", source, RULES, holdout=6, progress=quiet)
    report = import_tiles(
        tmp_path / "data", source, RULES, holdout=6, skip_bad=True, progress=quiet
    )

    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"{problem}: labels.csv line 5")
    assert report.skipped == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 12.5])
def test_a_bad_number_in_an_array_is_a_problem(tmp_path: Path, value: float) -> None:
    """NaN, infinity and what lies outside the range."""
    targets = yields()
    targets[7] = value

    with pytest.raises(ImportProblems, match="target out of range"):
        imported(tmp_path, targets)


def test_an_array_without_targets_or_with_too_few_is_refused(tmp_path: Path) -> None:
    """Every tile lacks one, or the file is of another length."""
    source = arrays(tmp_path / "none", None)
    with pytest.raises(ImportProblems, match=r"no target \(40\)"):
        import_tiles(tmp_path / "data", source, RULES, holdout=16, progress=quiet)
    with pytest.raises(OwnerError, match="which is not"):
        imported(tmp_path, yields(39))


def test_the_ends_of_the_range_are_within_it(tmp_path: Path) -> None:
    """Also where they are no float32: 0.1 as a float32 is above 0.1."""
    targets = np.linspace(0.1, 0.7, 40).astype(np.float32)
    rules = ImportRules(rare=1, targets=TargetRule("t/ha", 0.1, 0.7))

    dataset = imported(tmp_path, targets, rules=rules)

    assert sorted(x[1] for x in pairs(dataset.holdout) + pairs(dataset.training)) == sorted(
        targets.tolist()
    )


def test_the_same_pixels_with_two_targets_are_a_problem(tmp_path: Path) -> None:
    """One of them must be wrong."""
    source = arrays(tmp_path / "source", yields())
    pixels = np.load(source / "tiles.npy")
    pixels[2] = pixels[0]
    np.save(source / "tiles.npy", pixels)

    with pytest.raises(ImportProblems, match="the same pixels are a 0 of 0 as well"):
        import_tiles(tmp_path / "data", source, RULES, holdout=16, progress=quiet)


def test_equal_targets_cannot_be_scored(tmp_path: Path) -> None:
    """R2 would be 0/0."""
    with pytest.raises(OwnerError, match="the same target"):
        imported(tmp_path, np.full(40, 3.0, np.float32))


def test_one_crop_is_enough(tmp_path: Path) -> None:
    """Yields of wheat alone; for classes two are needed."""
    source = arrays(tmp_path / "source", yields(), crops=1)
    dataset = import_tiles(tmp_path / "data", source, RULES, holdout=16, progress=quiet).dataset

    assert (dataset.classes, dataset.rare) == (("0",), ("0",))
    with pytest.raises(ImportProblems, match="number of classes"):
        import_tiles(tmp_path / "other", source, ImportRules(rare=1), holdout=16, progress=quiet)


def test_holdout_has_its_share_of_every_quantile(tmp_path: Path) -> None:
    """Of 20 tiles of a crop, two parts of ten: four of each are held out, whatever chance does."""
    dataset = imported(tmp_path)
    for crop in (0, 1):
        held = sorted(target for _, target, label in pairs(dataset.holdout) if label == crop)
        assert (len(held), sum(target < 5 for target in held)) == (8, 4)


def test_groups_stay_whole_and_crops_on_both_sides() -> None:
    """Each field is of one quantile, so no quantile can be on both sides, and each crop is."""
    labels = ["maize"] * 40
    targets = [float(at // 20) for at in range(40)]
    groups = [bytes([at // 20 + 1]) for at in range(40)]
    parts = strata(labels, targets)

    held = split(labels, groups, 10, random.SystemRandom(), None, parts)

    assert set(parts) == {0, 2}
    assert held in ([True] * 20 + [False] * 20, [False] * 20 + [True] * 20)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 9).map(float)), min_size=1, max_size=99
    )
)
def test_strata_follow_the_targets(tiles: list[tuple[str, float]]) -> None:
    """Within a class a larger target is in no lower part, and equal ones are together."""
    labels, targets = zip(*tiles, strict=True)
    found = sorted(zip(labels, targets, strata(labels, targets), strict=True))

    for (label, target, part), (other, larger, after) in pairwise(found):
        if label == other:
            assert part == after if target == larger else part <= after
    assert max(part for *_, part in found) < 4


def test_a_seal_of_before_there_were_targets_opens(class_folders: Folders, tmp_path: Path) -> None:
    """Its seal.json has no task: it is a classification."""
    source = class_folders({"barley": 12, "corn": 8})
    data = tmp_path / "data"
    dataset = import_tiles(data, source, ImportRules(rare=1), holdout=5, progress=quiet).dataset
    path = dataset.folder / "seal.json"
    document = json.loads(path.read_text())
    for name in ("task", "unit", "range"):
        del document[name]
    path.write_text(json.dumps(document))

    opened = open_dataset(data)

    assert (opened.task, opened.unit, opened.range) == ("classification", None, None)
    assert opened.holdout.targets is None
    check_seal(opened)
    assert json.loads(opened.commitment.read_text())["scheme"].endswith("/v1")


def test_commitment_binds_the_targets(tmp_path: Path) -> None:
    """Another target is another root, and the file changed after sealing is found."""
    dataset = imported(tmp_path)
    digests, labels = [b"\1" * 32] * 2, ["maize", "rice"]
    roots = {
        json.loads(commitment.commit("h", b"s" * 32, digests, labels, targets))["root"]
        for targets in ([1.0, 2.0], [1.0, 2.5], None)
    }
    path = dataset.holdout.targets
    assert path is not None
    raw = bytearray(path.read_bytes())
    raw[-2] ^= 1
    path.write_bytes(raw)

    assert len(roots) == 3
    assert json.loads(dataset.commitment.read_text())["scheme"].endswith("/v2")
    with pytest.raises(OwnerError, match="has changed"):
        check_seal(dataset)
    with pytest.raises(OwnerError, match="is not the one"):
        check_commitment(dataset)


def test_targets_survive_another_split_and_a_season(tmp_path: Path) -> None:
    """split_again and --add carry them along; another range or task is another dataset."""
    first = imported(tmp_path)
    data = tmp_path / "data"
    second = split_again(data, RULES, holdout=12, progress=quiet).dataset
    source = arrays(tmp_path / "more", yields(), tiles=40)
    pixels = np.load(source / "tiles.npy")
    np.save(source / "tiles.npy", pixels[:, ::-1])
    third = import_tiles(data, source, RULES, holdout=10, add=True, progress=quiet).dataset

    before = sorted(pairs(first.holdout) + pairs(first.training))
    assert sorted(pairs(second.holdout) + pairs(second.training)) == before
    assert third.training is not None
    assert (third.holdout.size, third.training.size) == (22, 58)
    for other in (ImportRules(rare=1), ImportRules(rare=1, targets=TargetRule("t/ha", 0.0, 13.0))):
        with pytest.raises(OwnerError, match="another task, unit or range"):
            split_again(data, other, holdout=12, progress=quiet)

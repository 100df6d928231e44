"""An import keeps pixels and labels, refuses what is wrong, and leaves all or nothing."""

import errno
import fcntl
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from evaluator.dataset import sealing
from evaluator.dataset.importing import ImportRules, import_tiles, split_again
from evaluator.dataset.labels import read_groups, read_labels
from evaluator.dataset.problems import SHOWN_PER_KIND, ImportProblems
from evaluator.dataset.sealed import (
    Dataset,
    Split,
    check_seal,
    describe,
    open_dataset,
)
from evaluator.errors import OwnerError
from sandbox import SandboxError

Folders = Callable[..., Path]
RULES = ImportRules(rare=1)
REAL_TILES = Path(
    os.environ.get("EVALUATOR_TILES")
    or Path(__file__).parents[4] / "shared" / "data" / "eurosat" / "tiles.tar"
)


def quiet(_stage: str, _done: int, _total: int) -> None:
    """Show nobody anything."""


def tiles_of(split: Split | None) -> list[tuple[int, bytes]]:
    """Return (label, pixels) of every tile on one side, in the order they are stored."""
    assert split is not None
    labels = read_labels(split, len(split.counts))
    return [(int(y), x.tobytes()) for y, x in zip(labels, np.load(split.tiles), strict=True)]


def both_sides(dataset: Dataset) -> list[tuple[int, bytes]]:
    """Return (label, pixels) of every tile of a dataset, sorted."""
    return sorted(tiles_of(dataset.holdout) + tiles_of(dataset.training))


def left_behind(data: Path) -> list[str]:
    """Name what is in a data directory besides its lock."""
    return sorted(path.name for path in data.iterdir() if path.name != ".lock")


def write_png(path: Path, pixels: np.ndarray, **options: PngInfo) -> None:
    """Write an array as a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG", **options)


def test_import_keeps_every_pixel_and_label(class_folders: Folders, tmp_path: Path) -> None:
    """What was in the source is in the dataset once, under its class."""
    source = class_folders({"barley": 12, "corn": 8})
    expected = sorted(
        (label, np.asarray(Image.open(path)).tobytes())
        for label, name in enumerate(("barley", "corn"))
        for path in (source / name).iterdir()
    )

    report = import_tiles(tmp_path / "data", source, RULES, holdout=5, progress=quiet)

    assert both_sides(report.dataset) == expected
    assert (report.skipped, report.duplicates, report.asked) == (0, 0, 5)


@pytest.mark.parametrize("size", [1, 3 * 8 * 8])
def test_pixels_are_kept_in_many_batches_as_in_one(
    class_folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """No batch is written over by the one after it, and the statistics are of all."""
    source = class_folders({"barley": 41, "corn": 32})
    one = import_tiles(tmp_path / "one", source, RULES, holdout=20, progress=quiet).dataset
    monkeypatch.setattr(sealing, "_BATCH_BYTES", size)

    many = import_tiles(tmp_path / "many", source, RULES, holdout=20, progress=quiet).dataset

    check_seal(many)
    assert both_sides(many) == both_sides(one)
    for ours, theirs in zip(describe(many).bands, describe(one).bands, strict=True):
        assert ours.model_dump() == pytest.approx(theirs.model_dump())


def test_nothing_but_pixels_comes_along(tmp_path: Path) -> None:
    """Names, EXIF, PNG text and times of the source are nowhere in the dataset."""
    source, secret = tmp_path / "source", b"field-of-farmer-x"
    random = np.random.default_rng(1)
    for label in ("barley", "corn"):
        for index in range(4):
            info = PngInfo()
            info.add_text("Comment", f"{secret.decode()} {label}")
            pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
            write_png(source / label / f"{secret.decode()}-{index}.png", pixels, pnginfo=info)
    started = time.time()

    dataset = import_tiles(tmp_path / "data", source, RULES, holdout=2, progress=quiet).dataset
    files = [path for path in dataset.folder.rglob("*") if path.is_file()]

    assert all(secret in path.read_bytes() for path in source.rglob("*.png"))  # the control
    assert not any(secret in path.read_bytes() for path in files)
    assert {int(path.stat().st_mtime) for path in dataset.folder.rglob("*")} == {946_684_800}
    assert started > 946_684_800


def test_order_of_tiles_tells_nothing(class_folders: Folders, tmp_path: Path) -> None:
    """Tiles lie in a random order, another in every version, and not one class after another."""
    source = class_folders({"barley": 60, "corn": 60})
    data = tmp_path / "data"
    first = import_tiles(data, source, RULES, holdout=60, progress=quiet).dataset
    second = split_again(data, RULES, holdout=60, progress=quiet).dataset

    for dataset in (first, second):
        labels = read_labels(dataset.holdout, 2).tolist()
        assert labels not in (sorted(labels), sorted(labels, reverse=True))
    assert both_sides(first) == both_sides(second)
    assert tiles_of(first.holdout) != tiles_of(second.holdout)


def test_grayscale_is_one_band(class_folders: Folders, tmp_path: Path) -> None:
    """--grayscale stores what Pillow's convert("L") gives, as (H, W)."""
    source = class_folders({"barley": 4, "corn": 4}, shape=(8, 6, 3))
    expected = sorted(
        np.asarray(Image.open(path).convert("L")).tobytes() for path in source.rglob("*.png")
    )

    report = import_tiles(
        tmp_path / "data", source, RULES, holdout=2, grayscale=True, progress=quiet
    )

    assert report.dataset.shape == (8, 6)
    assert sorted(pixels for _, pixels in both_sides(report.dataset)) == expected


@pytest.fixture
def spoiled(class_folders: Folders) -> Path:
    """Give a source with one problem of each kind that leaving tiles out can mend."""
    source = class_folders({"barley": 12, "corn": 8})
    first = source / "barley" / "0000.png"
    (source / "barley" / "z-cut.png").write_bytes(first.read_bytes()[:-30])
    (source / "corn" / "z-same.png").write_bytes(first.read_bytes())
    write_png(source / "barley" / "z-size.png", np.zeros((8, 9), np.uint8))
    write_png(source / "barley" / "z-bands.png", np.zeros((8, 8, 3), np.uint8))
    write_png(source / "barley" / "z-dtype.png", np.zeros((8, 8), np.uint16))
    write_png(source / "weeds" / "0.png", np.ones((8, 8), np.uint8))
    write_png(source / "weeds" / "1.png", np.full((8, 8), 2, np.uint8))
    return source


def test_every_problem_is_told_at_once_and_nothing_imported(spoiled: Path, tmp_path: Path) -> None:
    """One import names all that is wrong, and leaves no version."""
    rules = ImportRules(("barley", "corn"), rare=1, shape=(8, 8))
    with pytest.raises(ImportProblems) as error:
        import_tiles(tmp_path / "data", spoiled, rules, holdout=5, progress=quiet)

    assert sorted(problem.split(":")[0] for problem in error.value.problems) == [
        "corrupt",
        "two labels",
        "unknown class",
        "wrong bands",
        "wrong dtype",
        "wrong size",
    ]
    assert "6 problems" in str(error.value)
    assert "--skip-bad" in str(error.value)
    assert left_behind(tmp_path / "data") == []


def test_skip_bad_leaves_out_what_is_wrong(spoiled: Path, tmp_path: Path) -> None:
    """The good tiles come in, and the report says how many did not."""
    rules = ImportRules(("barley", "corn"), rare=1, shape=(8, 8))

    report = import_tiles(
        tmp_path / "data", spoiled, rules, holdout=5, skip_bad=True, progress=quiet
    )

    assert len(both_sides(report.dataset)) == 20
    assert report.skipped == 7
    assert len(report.left_out) == 6


@pytest.mark.parametrize(
    ("sizes", "classes", "told"),
    [
        ({"barley": 4, "corn": 1}, (), "class too small"),
        ({"barley": 4, "corn": 0}, (), "empty class"),
        ({"barley": 4, "corn": 4}, ("barley", "corn", "rye"), "rye has 0"),
        ({"barley": 4}, (), "number of classes"),
        ({f"c{number}": 2 for number in range(256)}, (), "number of classes"),
        ({"barley": 0, "corn": 0}, (), "no tiles"),
    ],
)
def test_what_no_left_out_tile_mends_is_refused(
    class_folders: Folders,
    tmp_path: Path,
    sizes: dict[str, int],
    classes: tuple[str, ...],
    told: str,
) -> None:
    """--skip-bad does not make a class, and the message says so."""
    rules = ImportRules(classes, rare=1)
    with pytest.raises(ImportProblems, match=told) as error:
        import_tiles(
            tmp_path / "data", class_folders(sizes), rules, holdout=2, skip_bad=True, progress=quiet
        )

    assert "--skip-bad cannot help" in str(error.value)


def test_long_lists_are_cut_and_counted(class_folders: Folders, tmp_path: Path) -> None:
    """Of a kind with many problems the message shows some, `problems` all."""
    source = class_folders({"barley": 4, "corn": 4})
    for number in range(50):
        (source / "barley" / f"bad{number:02d}.png").write_text("no image")
    with pytest.raises(ImportProblems) as error:
        import_tiles(tmp_path / "data", source, RULES, holdout=2, progress=quiet)

    assert len(error.value.problems) == 50
    assert str(error.value).count("/bad") == SHOWN_PER_KIND
    assert f"and {50 - SHOWN_PER_KIND} more" in str(error.value)


def copies(folder: Path, label: str, count: int) -> None:
    """Add copies of a class's first tile to it."""
    data = (folder / label / "0000.png").read_bytes()
    for number in range(count):
        (folder / label / f"copy{number}.png").write_bytes(data)


def test_copies_on_both_sides_are_refused_or_dropped(
    class_folders: Folders, tmp_path: Path
) -> None:
    """The same pixels never are in training and holdout; --skip-bad drops the training copies."""
    source = class_folders({"barley": 30, "corn": 12})
    copies(source, "barley", 40)  # 41 equal tiles of 70: no half holds them all

    with pytest.raises(ImportProblems, match="same pixels on both sides") as error:
        import_tiles(tmp_path / "data", source, RULES, holdout=0.5, progress=quiet)
    report = import_tiles(
        tmp_path / "data", source, RULES, holdout=0.5, skip_bad=True, progress=quiet
    )
    held = {pixels for _, pixels in tiles_of(report.dataset.holdout)}

    assert re.search(r"\d+ training tiles", str(error.value))
    assert not held & {pixels for _, pixels in tiles_of(report.dataset.training)}
    assert report.dataset.holdout.size == 41
    assert report.skipped == 82 - len(both_sides(report.dataset)) > 0
    assert report.duplicates >= 41 - 35 - 1


def test_training_set_of_copies_alone_is_refused(class_folders: Folders, tmp_path: Path) -> None:
    """Dropping every training tile must not turn a dataset into one without training."""
    source = class_folders({"barley": 1, "corn": 1})
    copies(source, "barley", 9)
    copies(source, "corn", 9)

    with pytest.raises(OwnerError, match="training set would have no tile"):
        import_tiles(tmp_path / "data", source, RULES, holdout=10, skip_bad=True, progress=quiet)


def test_all_tiles_may_be_held_out(class_folders: Folders, tmp_path: Path) -> None:
    """A workspace without training counts its rare classes in the holdout."""
    source = class_folders({"barley": 4, "corn": 3})

    dataset = import_tiles(tmp_path / "data", source, RULES, holdout=7, progress=quiet).dataset

    assert dataset.training is None
    assert (dataset.holdout.counts, dataset.rare) == ((4, 3), ("corn",))
    assert not (dataset.folder / "training").exists()
    check_seal(dataset)


@pytest.mark.parametrize(
    ("rare", "expected"),
    [(1, ("b",)), (2, ("b", "d")), (9, ("b", "d", "a")), (("c", "a"), ("c", "a"))],
)
def test_rare_classes_are_the_least_frequent_in_training(
    class_folders: Folders, tmp_path: Path, rare: int | tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """A number takes the least frequent, ties by class order, never all; names stay as given."""
    source = class_folders({"a": 8, "b": 4, "c": 8, "d": 4})
    rules = ImportRules(rare=rare)

    dataset = import_tiles(tmp_path / "data", source, rules, holdout=0.5, progress=quiet).dataset

    assert dataset.rare == expected


@pytest.mark.parametrize("rare", [0, (), ("rye",), ("corn", "corn")])
def test_impossible_rare_classes_are_refused(rare: int | tuple[str, ...]) -> None:
    """A setting that no import can satisfy is told before anything is read."""
    with pytest.raises(OwnerError, match="rare classes"):
        ImportRules(("barley", "corn"), rare=rare)


def season(folder: Path, fields: dict[str, str], first: int) -> Path:
    """Write a folder with labels.csv: eight tiles for each field, {field: class}."""
    folder.mkdir()
    random = np.random.default_rng(first)
    rows = ["file,label,field"]
    for field, label in fields.items():
        for index in range(8):
            name = f"{field}-{index}.png"
            write_png(folder / name, random.integers(0, 256, (8, 8), dtype=np.uint8))
            rows.append(f"{name},{label},{field}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


FIELDS = {f"north-{n}": "barley" for n in (1, 2, 3)} | {f"south-{n}": "corn" for n in (1, 2, 3)}


def groups_of(split: Split | None) -> set[bytes | None]:
    """Return the groups that a side has tiles of."""
    assert split is not None
    return set(read_groups(split))


def test_fields_stay_whole_and_stay_on_their_side(tmp_path: Path) -> None:
    """A field is never divided, nor does its next season move it, nor does the seal name it."""
    data = tmp_path / "data"
    one = season(tmp_path / "one", FIELDS, 1)
    two = season(tmp_path / "two", FIELDS | {"north-4": "barley", "north-5": "barley"}, 2)

    first = import_tiles(data, one, RULES, holdout=16, progress=quiet).dataset
    report = import_tiles(data, two, RULES, holdout=24, add=True, progress=quiet)
    second = report.dataset

    assert first.holdout.counts == (8, 8)
    assert groups_of(first.holdout) <= groups_of(second.holdout)
    assert groups_of(first.training) <= groups_of(second.training)
    assert not groups_of(second.holdout) & groups_of(second.training)
    assert report.asked == 24
    assert (data / "group-key").stat().st_mode & 0o777 == 0o600
    names = [name.encode() for name in FIELDS]
    for path in second.folder.rglob("*.np[y]"):
        if path.name == "groups.npy":
            assert path.stat().st_mode & 0o777 == 0o600
            assert not any(name in path.read_bytes() for name in names)


def test_add_keeps_every_earlier_tile_on_its_side(class_folders: Folders, tmp_path: Path) -> None:
    """The new version has the old one's tiles where they were, and the new ones split afresh."""
    data = tmp_path / "data"
    first = import_tiles(
        data, class_folders({"barley": 12, "corn": 8}), RULES, holdout=5, progress=quiet
    ).dataset
    more = class_folders({"barley": 10, "corn": 1}, name="season")

    report = import_tiles(data, more, RULES, holdout=0.5, add=True, progress=quiet)
    second = report.dataset

    assert set(tiles_of(first.holdout)) <= set(tiles_of(second.holdout))
    assert set(tiles_of(first.training)) <= set(tiles_of(second.training))
    assert len(both_sides(second)) == 31
    assert (second.holdout.size, report.asked) == (5 + 6, 6)


def test_add_takes_no_new_class_and_no_other_shape(class_folders: Folders, tmp_path: Path) -> None:
    """A season must be of the classes and the form of the dataset it joins."""
    data = tmp_path / "data"
    first = class_folders({"barley": 4, "corn": 4})
    import_tiles(data, first, RULES, holdout=2, progress=quiet)
    for name, sizes, shape in (("s1", {"rye": 4}, (8, 8)), ("s2", {"corn": 4}, (8, 9))):
        with pytest.raises(ImportProblems, match=r"unknown class|wrong size"):
            import_tiles(
                data,
                class_folders(sizes, name=name, shape=shape),
                RULES,
                holdout=2,
                add=True,
                progress=quiet,
            )
    with pytest.raises(OwnerError, match="other classes"):
        import_tiles(
            data, first, ImportRules(("a", "b"), rare=1), holdout=2, add=True, progress=quiet
        )


def test_add_without_the_group_key_is_refused(tmp_path: Path) -> None:
    """Without the key a known field could not be told from a new one, and would be divided."""
    data = tmp_path / "data"
    import_tiles(data, season(tmp_path / "1", FIELDS, 1), RULES, holdout=16, progress=quiet)
    (data / "group-key").unlink()

    with pytest.raises(OwnerError, match="group-key"):
        import_tiles(
            data, season(tmp_path / "2", FIELDS, 2), RULES, holdout=16, add=True, progress=quiet
        )


def test_changed_dataset_is_not_built_upon(class_folders: Folders, tmp_path: Path) -> None:
    """A new version must not launder tiles that changed after they were sealed."""
    data = tmp_path / "data"
    source = class_folders({"barley": 4, "corn": 4})
    dataset = import_tiles(data, source, RULES, holdout=2, progress=quiet).dataset
    dataset.holdout.tiles.chmod(0o600)
    with dataset.holdout.tiles.open("r+b") as file:
        file.seek(-1, io.SEEK_END)
        file.write(b"\x01" if file.read(1) == b"\x00" else b"\x00")

    with pytest.raises(OwnerError, match="has changed"):
        split_again(data, RULES, holdout=2, progress=quiet)
    assert open_dataset(data).version == 1


def test_arrays_become_a_dataset(tmp_path: Path) -> None:
    """Thirteen 16-bit bands come in from .npy files, with the settings' class names."""
    source = tmp_path / "source"
    source.mkdir()
    pixels = np.random.default_rng(1).integers(0, 9999, (20, 8, 8, 13)).astype(np.uint16)
    np.save(source / "tiles.npy", pixels)
    np.save(source / "labels.npy", np.arange(20) % 2)
    rules = ImportRules(("corn", "barley"), rare=1, shape=(8, 8))

    dataset = import_tiles(tmp_path / "data", source, rules, holdout=4, progress=quiet).dataset

    assert (dataset.classes, dataset.shape, dataset.dtype) == (
        ("corn", "barley"),
        (8, 8, 13),
        "uint16",
    )
    assert both_sides(dataset) == sorted((i % 2, tile.tobytes()) for i, tile in enumerate(pixels))


@pytest.mark.parametrize(
    ("error", "fault", "told"),
    [
        (errno.ENOSPC, SandboxError, "disk under .* is full"),
        (errno.EACCES, OwnerError, "Nothing was imported"),
    ],
)
def test_failing_disk_leaves_nothing(
    class_folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    fault: type[Exception],
    told: str,
) -> None:
    """A full disk is the host's fault, a file in the way the owner's, and the draft is gone."""

    def fail(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(sealing._Writer, "seal", fail)  # noqa: SLF001 - the last write of all
    with pytest.raises(fault, match=told):
        import_tiles(
            tmp_path / "data",
            class_folders({"barley": 4, "corn": 4}),
            RULES,
            holdout=2,
            progress=quiet,
        )

    assert left_behind(tmp_path / "data") == []


def test_really_full_disk_is_told(class_folders: Folders, tmp_path: Path) -> None:
    """A limit on file sizes, as a full disk, ends the import cleanly: a real write fails."""
    source = class_folders({"barley": 40, "corn": 40}, shape=(64, 64, 3))
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from evaluator.dataset.importing import ImportRules, import_tiles\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "import_tiles(Path(sys.argv[1]), Path(sys.argv[2]), ImportRules(rare=1), holdout=9,"
        " progress=lambda *_: None)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "data", source],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "OwnerError: Nothing was imported" in child.stderr
    assert "File too large" in child.stderr
    assert left_behind(tmp_path / "data") == []


def test_interrupt_leaves_nothing(class_folders: Folders, tmp_path: Path) -> None:
    """Ctrl-C in the middle of the last stage removes the draft."""

    def interrupt(stage: str, _done: int, _total: int) -> None:
        if stage == "sealing":
            assert left_behind(tmp_path / "data") == [".1.tmp"]  # the control
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_tiles(
            tmp_path / "data",
            class_folders({"barley": 4, "corn": 4}),
            RULES,
            holdout=2,
            progress=interrupt,
        )

    assert left_behind(tmp_path / "data") == []


def test_kill_leaves_a_draft_that_the_next_import_removes(
    class_folders: Folders, tmp_path: Path
) -> None:
    """A half-made version is never opened, and does not stay."""
    data = tmp_path / "data"
    source = class_folders({"barley": 4, "corn": 4})
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from evaluator.dataset.importing import ImportRules, import_tiles\n"
        "def kill(stage, *_):\n"
        "    if stage == 'sealing': os.kill(os.getpid(), signal.SIGKILL)\n"
        "import_tiles(Path(sys.argv[1]), Path(sys.argv[2]), ImportRules(rare=1), holdout=2,"
        " progress=kill)\n"
    )
    subprocess.run([sys.executable, "-c", program, data, source], timeout=60, check=False)

    assert left_behind(data) == [".1.tmp"]
    with pytest.raises(OwnerError, match="no dataset"):
        open_dataset(data)
    import_tiles(data, source, RULES, holdout=2, progress=quiet)
    assert left_behind(data) == ["1"]


def test_second_import_is_refused_while_one_runs(class_folders: Folders, tmp_path: Path) -> None:
    """Two imports never write the same version."""
    data = tmp_path / "data"
    data.mkdir()
    source = class_folders({"barley": 4, "corn": 4})
    with (data / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OwnerError, match="Another import"):
            import_tiles(data, source, RULES, holdout=2, progress=quiet)
    import_tiles(data, source, RULES, holdout=2, progress=quiet)

    assert left_behind(data) == ["1"]


MEMORY = """
import re, sys
from pathlib import Path
from evaluator.dataset.importing import ImportRules, import_tiles
import_tiles(Path(sys.argv[1]), Path(sys.argv[2]), ImportRules(rare=1), holdout=0.2,
             progress=lambda *_: None)
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def test_memory_does_not_grow_with_the_tiles(tmp_path: Path) -> None:
    """Twelve times the pixels, 120 MB instead of 10, take no more than 24 MB of memory more."""
    peaks = []
    for count in (100, 1200):
        source = tmp_path / f"source{count}"
        source.mkdir()
        noise = np.random.default_rng(1).integers(0, 9999, (count, 64, 64, 12), dtype=np.uint16)
        np.save(source / "tiles.npy", noise)
        np.save(source / "labels.npy", np.arange(count) % 9)
        del noise
        child = subprocess.run(
            [sys.executable, "-c", MEMORY, tmp_path / f"data{count}", source],
            capture_output=True,
            check=True,
            timeout=120,
        )
        peaks.append(int(child.stdout))

    assert peaks[1] - peaks[0] < 24


@pytest.mark.skipif(not REAL_TILES.exists(), reason=f"no real tiles at {REAL_TILES}")
def test_real_tiles_import(tmp_path: Path) -> None:
    """21,600 Sentinel-2 tiles come in grey, 5,000 of them held out, none twice."""
    report = import_tiles(
        tmp_path / "data", REAL_TILES, ImportRules(), holdout=5000, grayscale=True, progress=quiet
    )
    dataset = report.dataset
    assert dataset.training is not None

    assert (dataset.shape, dataset.holdout.size, dataset.training.size) == ((64, 64), 5000, 16600)
    assert dataset.rare == ("corn", "rapeseed", "sugar-beet", "potato")
    assert report.duplicates == 0
    assert json.loads(dataset.commitment.read_text())["count"] == 5000

"""Folders, archives, tables and arrays all yield the same tiles, and name what is wrong."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.dataset.decoders import Decoders
from evaluator.dataset.problems import Problem
from evaluator.dataset.scratch import Scratch
from evaluator.dataset.sources import declared_classes, read_tiles
from evaluator.dataset.tiles import Kept, Tile
from evaluator.errors import OwnerError

SIZES = {"barley": 3, "corn": 2}
Pack = Callable[..., Path]
Folders = Callable[..., Path]


def quiet(_stage: str, _done: int, _total: int) -> None:
    """Show nobody anything."""


def read(source: Path, classes: tuple[str, ...] = ()) -> tuple[list[Tile], list[Problem]]:
    """Read a source to its end, good tiles apart from problems."""
    files: list[Scratch] = []
    with TemporaryDirectory() as folder, opened(Path(folder), files) as decoders:
        found = list(read_tiles(source, classes, decoders, quiet))
        return (
            [pixels_of(item, files) for item in found if isinstance(item, Kept)],
            [item for item in found if isinstance(item, Problem)],
        )


def opened(folder: Path, files: list[Scratch], *, grayscale: bool = False) -> Decoders:
    """Return decoders whose scratch files come into a list."""

    def scratch() -> Scratch:
        files.append(Scratch(folder / "scratch", len(files)))
        return files[-1]

    return Decoders(scratch, grayscale=grayscale)


def pixels_of(kept: Kept, files: list[Scratch]) -> Tile:
    """Read back what was stored."""
    pixels = np.empty(kept.pixels.shape, kept.pixels.dtype)
    files[kept.pixels.scratch].read(pixels, kept.pixels.offset)
    return Tile(kept.where, kept.label, kept.group, pixels, kept.target)


def kinds(problems: list[Problem]) -> list[str]:
    """Name the kinds of problems found, sorted."""
    return sorted(problem.kind for problem in problems)


def contents(tiles: list[Tile]) -> set[tuple[str, bytes]]:
    """Return what tiles hold, in no order."""
    return {(tile.label, tile.pixels.tobytes()) for tile in tiles}


@pytest.mark.parametrize("suffix", [".tar", ".gz", ".xz"])
def test_archive_holds_the_tiles_of_its_folder(
    class_folders: Folders, pack: Pack, tmp_path: Path, suffix: str
) -> None:
    """Packing class folders changes nothing, compressed or not."""
    folder = class_folders(SIZES)
    tiles, problems = read(folder)

    assert problems == []
    assert [tile.label for tile in tiles] == ["barley"] * 3 + ["corn"] * 2
    assert read(pack(folder, tmp_path / f"packed{suffix}"))[1] == []
    assert contents(tiles) == contents(read(pack(folder, tmp_path / f"packed{suffix}"))[0])


def test_archive_may_hold_one_folder_around_the_classes(
    class_folders: Folders, pack: Pack, tmp_path: Path
) -> None:
    """`tar -c DIR` and `tar -C DIR -c .` give the same tiles."""
    folder = class_folders(SIZES, name="outer/season")

    packed, problems = read(pack(folder.parent, tmp_path / "packed.tar"))

    assert problems == []
    assert contents(read(folder)[0]) == contents(packed)


def test_what_systems_leave_beside_images_is_passed_over(class_folders: Folders) -> None:
    """Hidden files, thumbnails' indexes and GDAL's sidecars are no problems."""
    folder = class_folders(SIZES)
    for name in (".DS_Store", "barley/.hidden", "barley/Thumbs.db", "corn/0000.png.aux.xml"):
        (folder / name).write_bytes(b"litter")

    tiles, problems = read(folder)

    assert (len(tiles), problems) == (5, [])


def test_folder_names_every_problem(class_folders: Folders) -> None:
    """Stray, corrupt, special, nested and missing things are each told, and the rest is read."""
    folder = class_folders(SIZES)
    (folder / "README.md").write_text("about")
    (folder / "empty").mkdir()
    (folder / "barley" / "note.txt").write_text("no image")
    (folder / "barley" / "cut.png").write_bytes((folder / "barley/0000.png").read_bytes()[:-20])
    (folder / "corn" / "nested").mkdir()
    (folder / "corn" / "gone.png").symlink_to("nowhere")
    os.mkfifo(folder / "corn" / "pipe.png")

    tiles, problems = read(folder)

    assert len(tiles) == 5
    assert kinds(problems) == [
        "corrupt",
        "empty class",
        "missing",
        "not a plain file",
        "not a plain file",
        "not an image",
        "outside a class folder",
    ]


def test_file_that_cannot_be_opened_is_a_problem(
    class_folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No permission for one file leaves the others readable."""
    folder = class_folders(SIZES)
    real = io.open

    def refuse(path: str, mode: str, buffering: int = -1) -> IO[bytes]:
        if str(path).endswith("0001.png"):
            raise PermissionError(13, "Permission denied")
        return cast("IO[bytes]", real(path, mode, buffering))

    monkeypatch.setattr("builtins.open", refuse)
    tiles, problems = read(folder)

    assert len(tiles) == 3
    assert kinds(problems) == ["unreadable", "unreadable"]


def hostile(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    """Return the header of an archive member that no honest packer writes."""
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, "/etc/passwd"
    return member


def test_archive_follows_no_link_and_leaves_no_folder(
    class_folders: Folders, pack: Pack, tmp_path: Path
) -> None:
    """Links, devices, repeated names and ways out are problems, and nothing is written."""
    extra = [
        hostile("barley/link.png", tarfile.SYMTYPE),
        hostile("barley/hard.png", tarfile.LNKTYPE),
        hostile("barley/device.png", tarfile.CHRTYPE),
        hostile("barley/pipe.png", tarfile.FIFOTYPE),
        hostile("../../barley/out.png", size=4),
        hostile("./barley/0000.png", size=4),
        hostile("top.png", size=4),
        hostile("a/b/deep.png", size=4),
        hostile("empty", tarfile.DIRTYPE),
        hostile("barley/\x1b[2Jclear.png", size=4),
    ]
    packed = pack(class_folders(SIZES), tmp_path / "packed.tar", extra)
    before = sorted(tmp_path.rglob("*"))

    tiles, problems = read(packed)

    assert len(tiles) == 5
    assert sorted(tmp_path.rglob("*")) == before
    assert kinds(problems) == [
        "empty class",
        "listed twice",
        *["not a plain file"] * 4,
        "not an image",
        *["outside a class folder"] * 3,
    ]
    assert all(problem.text.isprintable() for problem in problems)


@pytest.mark.parametrize("damage", ["cut in a file", "cut at a header", "header", "gzip"])
def test_damaged_archive_is_never_taken_for_a_shorter_one(
    class_folders: Folders, pack: Pack, tmp_path: Path, damage: str
) -> None:
    """An archive that ends early is a problem that leaving tiles out does not mend."""
    packed = pack(class_folders(SIZES), tmp_path / f"p{'.gz' if damage == 'gzip' else '.tar'}")
    data = bytearray(packed.read_bytes())
    with tarfile.open(packed) as archive:
        last = archive.getmembers()[-1]
    if damage == "header":
        data[last.offset + 100] ^= 1
    end = {
        "cut in a file": last.offset_data + 10,
        "cut at a header": last.offset,
        "gzip": len(data) // 2,
    }
    packed.write_bytes(data[: end.get(damage, len(data))])

    tiles, problems = read(packed)

    assert len(tiles) <= 5
    assert [(p.kind, p.tiles) for p in problems] == [("damaged archive", None)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_archive_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    """Damage anywhere in an archive gives tiles, problems or OwnerError, nothing else."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("barley/ä.png", "corn/b.png"):
            archive.addfile(hostile(name, size=30), io.BytesIO(bytes(30)))
    data = bytearray(buffer.getvalue()[:6144])
    for position, value in changes:
        data[position % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.tar"
    path.write_bytes(data)

    try:
        tiles, problems = read(path)
    except OwnerError:
        return
    assert tiles or problems


def test_source_that_is_nothing_of_the_kind_is_an_owner_error(tmp_path: Path) -> None:
    """A missing path and a file that is no archive are told at once."""
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    for name in ("missing", "photo.jpg"):
        with pytest.raises(OwnerError, match="tar archive"):
            read(tmp_path / name)


def test_table_gives_labels_and_groups(class_folders: Folders) -> None:
    """labels.csv decides what a tile is, whatever folder it lies in."""
    folder = class_folders(SIZES)
    (folder / "labels.csv").write_text(
        "\ufeffFile, Label ,field\nbarley/0000.png, rye ,north\nbarley/0001.png,oats,\n"
    )

    tiles, problems = read(folder)

    assert problems == []
    assert [(tile.label, tile.group) for tile in tiles] == [("rye", "north"), ("oats", None)]


def test_table_names_every_problem(class_folders: Folders) -> None:
    """Missing, repeated, outside and incomplete rows are each told with their line."""
    folder = class_folders(SIZES)
    rows = "missing.png,rye\nbarley/0000.png,rye\nbarley/0000.png,rye\n../x.png,rye\n/x,rye\nx.png"
    (folder / "labels.csv").write_text(f"file,label\n{rows}\nnul\0.png,rye\n")

    tiles, problems = read(folder)

    assert len(tiles) == 1
    assert kinds(problems) == [
        "incomplete row",
        "listed twice",
        "missing",
        "outside the folder",
        "outside the folder",
        "unreadable",
    ]
    assert "line 2" in problems[0].text


@pytest.mark.parametrize(
    "table", ["name,label\n", "file,label,group,field\n", "", "file,label\n\xff", 'file,label\n"a']
)
def test_table_without_its_columns_is_an_owner_error(tmp_path: Path, table: str) -> None:
    """A table that cannot be understood is told as a whole."""
    (tmp_path / "labels.csv").write_bytes(table.encode("latin-1"))

    with pytest.raises(OwnerError, match=r"columns|UTF-8"):
        read(tmp_path)


def arrays(folder: Path, tiles: np.ndarray, labels: np.ndarray) -> Path:
    """Write tiles.npy and labels.npy."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "tiles.npy", tiles)
    np.save(folder / "labels.npy", labels)
    return folder


def test_arrays_give_numbered_classes(tmp_path: Path) -> None:
    """Without names in the settings, classes are 0, 1, ... in the order of numbers, not texts."""
    source = arrays(tmp_path / "s", np.zeros((3, 8, 8, 2), ">u2"), np.array([0, 10, 2]))
    classes = declared_classes(source)

    tiles, problems = read(source, classes)

    assert classes == tuple(str(number) for number in range(11))
    assert problems == []
    assert [tile.label for tile in tiles] == ["0", "10", "2"]
    assert {tile.pixels.dtype for tile in tiles} == {np.dtype("uint16")}


def test_arrays_tell_bad_tiles_and_unknown_labels(tmp_path: Path) -> None:
    """NaN spoils its own tile only; a label without a class keeps its number."""
    pixels = np.zeros((3, 8, 8), np.float32)
    pixels[1, 2, 2] = np.nan
    source = arrays(tmp_path / "s", pixels, np.array([0, 1, -1]))

    tiles, problems = read(source, ("barley", "corn"))

    assert [tile.label for tile in tiles] == ["barley", "number -1"]
    assert kinds(problems) == ["not finite"]


@pytest.mark.parametrize(
    ("tiles", "labels"),
    [
        (np.zeros((3, 8, 8), np.int32), np.zeros(3, int)),
        (np.zeros((3, 8, 8), np.uint8), np.zeros(2, int)),
        (np.zeros((3, 8, 8), np.uint8), np.zeros(3, float)),
        (np.zeros((3, 8, 8), np.uint8), np.zeros((3, 1), int)),
        (np.zeros((3, 8), np.uint8), np.zeros(3, int)),
        (np.zeros((3, 8, 8, 2, 2), np.uint8), np.zeros(3, int)),
        (np.asfortranarray(np.zeros((3, 8, 8), np.uint8)), np.zeros(3, int)),
        (np.array([{}, {}, {}]), np.zeros(3, int)),
        (np.zeros((3, 0, 8), np.uint8), np.zeros(3, int)),
    ],
)
def test_arrays_that_do_not_fit_are_an_owner_error(
    tmp_path: Path, tiles: np.ndarray, labels: np.ndarray
) -> None:
    """Wrong dtypes, shapes, orders and lengths are told as a whole; no pickle is loaded."""
    with pytest.raises(OwnerError):
        read(arrays(tmp_path / "s", tiles, labels), ("barley", "corn"))


def test_truncated_or_missing_array_is_an_owner_error(tmp_path: Path) -> None:
    """A file shorter than its header says, an absent one and an absurd label are refused."""
    source = arrays(tmp_path / "s", np.zeros((3, 8, 8), np.uint8), np.array([0, 1, 10**9]))
    with pytest.raises(OwnerError, match="label 1000000000"):
        declared_classes(source)
    tiles = (source / "tiles.npy").read_bytes()
    (source / "tiles.npy").write_bytes(tiles[:-1])
    with pytest.raises(OwnerError, match="as long as"):
        read(source, ("barley",))
    (source / "labels.npy").unlink()
    with pytest.raises(OwnerError, match="cannot be opened"):
        read(source, ("barley",))


def test_progress_ends_at_its_total(class_folders: Folders, pack: Pack, tmp_path: Path) -> None:
    """The last word of reading is done == total, for files and for archives."""
    folder = class_folders(SIZES)
    for source in (folder, pack(folder, tmp_path / "packed.tar")):
        calls: list[tuple[str, int, int]] = []
        with opened(tmp_path, []) as decoders:
            list(read_tiles(source, (), decoders, lambda *call, to=calls: to.append(call)))
        assert calls[-1][0] == "reading"
        assert 0 < calls[-1][1] == calls[-1][2]

"""Where tiles come from: a folder or tar of class folders, a labels.csv, or two .npy files.

Every reader is a generator of `Kept` and `Problem`: a tile that cannot be used is a value and
not an exception, so that one import tells everything that is wrong. Nothing is unpacked to
disk: a hostile name in an archive stays a string that only reaches the operator's screen.
"""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from evaluator.dataset import archives, arrays
from evaluator.dataset.decoders import Decoders
from evaluator.dataset.problems import Problem, shown
from evaluator.dataset.targets import read_number
from evaluator.dataset.tiles import PROGRESS_EVERY, File, Kept, Progress, is_litter
from evaluator.errors import OwnerError

GROUP_COLUMNS = ("group", "field", "scene")


def declared_classes(source: Path) -> tuple[str, ...]:
    """Return the classes that a source implies without naming them: labels.npy's 0, 1, ..."""
    return arrays.class_names(source) if arrays.is_source(source) else ()


def read_tiles(
    source: Path, classes: tuple[str, ...], decoders: Decoders, progress: Progress
) -> Iterator[Kept | Problem]:
    """Yield every tile of `source`, with its pixels stored, or the reason why it cannot be used.

    `classes` gives the numbers in a labels.npy their names and is not used otherwise.
    Raises OwnerError if `source` as a whole is not something that tiles can be read from.
    """
    if source.is_file():
        return archives.read_archive(source, decoders, progress)
    if not source.is_dir():
        raise OwnerError(f"{source} does not exist. Name a folder or a tar archive of tiles.")
    if arrays.is_source(source):
        return arrays.read_arrays(source, classes, decoders, progress)
    if (source / "labels.csv").exists():
        return decoders.decode(_read_table(source, progress))
    return decoders.decode(_read_class_folders(source, progress))


def _read_class_folders(source: Path, progress: Progress) -> Iterator[File | Problem]:
    files: list[tuple[str, Path]] = []
    for entry in _listing(source):
        if not entry.is_dir():
            yield Problem("outside a class folder", shown(entry.name))
            continue
        try:
            inside = _listing(entry)
        except OSError as error:
            yield Problem("unreadable", f"{shown(entry.name)}: {error.strerror}", tiles=None)
            continue
        if not inside:
            yield Problem("empty class", f"{shown(entry.name)} holds no tile", tiles=None)
        files += [(entry.name, file) for file in inside]
    for done, (label, file) in enumerate(files):
        if done % PROGRESS_EVERY == 0:
            progress("reading", done, len(files))
        yield File(shown(f"{label}/{file.name}"), label, None, file)
    progress("reading", len(files), len(files))


def _listing(folder: Path) -> list[Path]:
    names = sorted(os.listdir(folder))  # noqa: PTH208 - to sort paths takes ten times as long
    return [folder / name for name in names if not is_litter(name)]


def _read_table(source: Path, progress: Progress) -> Iterator[File | Problem]:
    rows = _rows(source / "labels.csv")
    listed: set[PurePosixPath] = set()
    for done, row in enumerate(rows):
        if done % PROGRESS_EVERY == 0:
            progress("reading", done, len(rows))
        where = f"labels.csv line {row.line}, {shown(row.file)}"
        file = PurePosixPath(row.file)
        if not row.file or not row.label:
            yield Problem("incomplete row", f"{where}: needs a file and a label")
        elif file.is_absolute() or ".." in file.parts:
            yield Problem("outside the folder", where)
        elif file in listed:
            yield Problem("listed twice", where)
        else:
            listed.add(file)
            target = read_number(row.target)
            yield File(where, row.label, row.group or None, source / file, target)
    progress("reading", len(rows), len(rows))


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    file: str
    label: str
    group: str
    target: str


def _rows(path: Path) -> list[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            columns = _columns(path, header)
            return [
                _Row(reader.line_num, *(_cell(row, column) for column in columns))
                for row in reader
                if row
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OwnerError(f"{path} cannot be read as a CSV table in UTF-8: {error}.") from error


def _columns(path: Path, header: list[str]) -> tuple[int, int, int, int]:
    """Find the columns file, label, group and target; -1 stands for none of the last two."""
    groups = [name for name in header if name in GROUP_COLUMNS]
    once = header.count("file") == header.count("label") == 1
    if not once or len(groups) > 1 or header.count("target") > 1:
        raise OwnerError(
            f"{path} must start with a line that names its columns: file and label, if "
            f"tiles of one field belong together, one of {', '.join(GROUP_COLUMNS)}, and if a "
            "number is to be predicted for each tile, target."
        )
    return (
        header.index("file"),
        header.index("label"),
        header.index(groups[0]) if groups else -1,
        header.index("target") if "target" in header else -1,
    )


def _cell(row: list[str], column: int) -> str:
    return row[column].strip() if 0 <= column < len(row) else ""

"""Tiles from tiles.npy and labels.npy, with targets.npy if there is one, and the .npy format.

NumPy's own reader would map the file into memory or load it whole; these read a header,
check it against the file's size, and leave the tiles to be read one by one.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.lib import format as npy

from evaluator.dataset.pixels import DTYPES, MAX_BYTES, Pixels, TileError, as_tile
from evaluator.dataset.problems import Problem
from evaluator.dataset.sealed import MAX_CLASSES
from evaluator.dataset.tiles import PROGRESS_EVERY, Tile
from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.dataset.decoders import Decoders
    from evaluator.dataset.tiles import Kept, Progress


@dataclass(frozen=True, slots=True)
class Header:
    """What a .npy file says of itself: its values start at byte `offset`."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    offset: int


def read_header(file: BinaryIO, path: Path) -> Header:
    """Read and check the header of a .npy file; `file` then stands at its first value.

    Raises OwnerError if it is no .npy file of plain numbers in C order, or if the file is not
    exactly as long as its header says. No pickle is ever loaded.
    """
    try:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran_order, dtype = read(file)
    except (ValueError, KeyError, OSError) as error:
        raise OwnerError(f"{path} is not a .npy file of numbers. Write it with np.save.") from error
    if fortran_order and len(shape) > 1:
        raise OwnerError(f"{path} is in Fortran order. Save np.ascontiguousarray(array) instead.")
    if dtype.kind not in "uif":
        raise OwnerError(f"{path} holds {dtype}, not plain numbers. Convert it before np.save.")
    header = Header(shape, dtype, file.tell())
    expected = header.offset + dtype.itemsize * int(np.prod(shape, dtype=object))
    if path.stat().st_size != expected:
        raise OwnerError(f"{path} is not as long as its header says. Copy or save it again.")
    return header


def header_bytes(shape: tuple[int, ...], dtype: str) -> bytes:
    """Return the header of a little-endian, C-ordered .npy file of this shape and dtype."""
    buffer = io.BytesIO()
    descr = npy.dtype_to_descr(np.dtype(dtype).newbyteorder("<"))
    npy.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def is_source(folder: Path) -> bool:
    """Say whether a folder holds its tiles as an array."""
    return (folder / "tiles.npy").exists()


def class_names(folder: Path) -> tuple[str, ...]:
    """Return "0", "1", ... up to the largest label; OwnerError if that is past 254."""
    labels = _read_labels(folder / "labels.npy")
    largest = max(labels, default=0)
    if largest >= MAX_CLASSES:
        raise OwnerError(
            f"{folder / 'labels.npy'} holds label {largest}; labels are 0 to {MAX_CLASSES - 1}."
        )
    return tuple(str(index) for index in range(largest + 1))


def read_arrays(
    folder: Path, classes: tuple[str, ...], decoders: Decoders, progress: Progress
) -> Iterator[Kept | Problem]:
    """Yield the tiles of tiles.npy, (N, H, W) or (N, H, W, C), with their labels' class names.

    Where there is a targets.npy, it holds one number for each tile.
    """
    labels = _read_labels(folder / "labels.npy")
    targets = _read_targets(folder / "targets.npy", len(labels))
    path = folder / "tiles.npy"
    with open_array(path) as file:
        header = read_header(file, path)
        if header.shape[:1] != (len(labels),) or len(header.shape) not in {3, 4}:
            raise OwnerError(
                f"{path} has the shape {header.shape}, which is not ({len(labels)}, height, "
                f"width[, bands]) for the {len(labels)} labels beside it."
            )
        _check_tile(path, header)
        for index, label in enumerate(labels):
            if index % PROGRESS_EVERY == 0:
                progress("reading", index, len(labels))
            name = classes[label] if 0 <= label < len(classes) else f"number {label}"
            tile = _read_tile(file, header, f"tile {index}", name, targets[index])
            yield tile if isinstance(tile, Problem) else decoders.keep(tile)
    progress("reading", len(labels), len(labels))


def open_array(path: Path) -> BinaryIO:
    """Open a .npy file for reading; OwnerError if that is not possible."""
    try:
        return path.open("rb")
    except OSError as error:
        raise OwnerError(f"{path} cannot be opened: {error.strerror}.") from error


def _read_labels(path: Path) -> list[int]:
    with open_array(path) as file:
        header = read_header(file, path)
        if len(header.shape) != 1 or header.dtype.kind not in "ui":
            raise OwnerError(f"{path} must hold one whole number per tile, its class.")
        labels: list[int] = np.fromfile(file, header.dtype).tolist()
        return labels


def _read_targets(path: Path, tiles: int) -> list[float] | list[None]:
    if not path.exists():
        return [None] * tiles
    with open_array(path) as file:
        header = read_header(file, path)
        if header.shape != (tiles,):
            raise OwnerError(
                f"{path} has the shape {header.shape}, which is not ({tiles},): it holds one "
                "number for each tile."
            )
        targets: list[float] = np.fromfile(file, header.dtype).astype(np.float64).tolist()
        return targets


def _check_tile(path: Path, header: Header) -> None:
    size = header.dtype.itemsize * int(np.prod(header.shape[1:], dtype=object))
    if header.dtype.name not in DTYPES or not 0 < size <= MAX_BYTES:
        raise OwnerError(
            f"{path} holds {header.dtype.name} tiles of {size} bytes; tiles are "
            f"{', '.join(DTYPES)} and at most {MAX_BYTES} bytes each."
        )


def _read_tile(
    file: BinaryIO, header: Header, where: str, label: str, target: float | None
) -> Tile | Problem:
    shape = header.shape[1:]
    count = int(np.prod(shape))
    pixels: Pixels = np.frombuffer(file.read(count * header.dtype.itemsize), header.dtype)
    try:
        return Tile(where, label, None, as_tile(pixels.reshape(shape)), target)
    except TileError as error:
        return Problem(error.kind, f"{where}: {error.reason}")

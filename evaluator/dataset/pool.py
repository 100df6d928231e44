"""Tiles on their way into a new version: pixels in one scratch file, the rest in memory.

The number of tiles that fit is a matter of disk, not of memory: a tile's pixels are written
once when it is decoded and read once when its place in the new version is known.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Self

import numpy as np

from evaluator.dataset.arrays import read_header
from evaluator.dataset.decoding import Pixels
from evaluator.dataset.sealed import Dataset, Split, check_seal, read_groups, read_labels
from evaluator.dataset.targets import read_targets
from evaluator.dataset.tiles import PROGRESS_EVERY, Progress
from evaluator.errors import OwnerError


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one pooled tile.

    `digest` is the SHA-256 of its pixels, little-endian and in C order; `group` a keyed digest
    of its group's name, 16 bytes; `holdout` its side, or None until the split decides; `target`
    the number to predict, a float32, where there is one.
    """

    label: str
    group: bytes | None
    digest: bytes
    holdout: bool | None
    target: float | None = None


class Pool:
    """Tiles of one shape and dtype, numbered as they were added. A context manager.

    `shape` is (H, W) or (H, W, C), and with `dtype` that of the first tile.
    """

    def __init__(self, path: Path) -> None:
        self.entries: list[Entry] = []
        self.shape: tuple[int, ...] = ()
        self.dtype: np.dtype[np.generic] = np.dtype(np.uint8)
        self._labels: dict[bytes, tuple[str, float | None]] = {}
        self._file = path.open("x+b")
        path.unlink()  # it lives on while it is open, and a kill cannot leave it behind

    def __enter__(self) -> Self:
        """Give the pool itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the disk space back."""
        self._file.close()

    def add(
        self,
        pixels: Pixels,
        label: str,
        group: bytes | None,
        *,
        holdout: bool | None = None,
        target: float | None = None,
    ) -> str | None:
        """Append one tile, which must have the shape and dtype of the first.

        If the pool has the same pixels under another label or target, nothing is appended and
        that label is returned, with its target.
        """
        data = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
        digest = sha256(data).digest()
        known, number = self._labels.setdefault(digest, (label, target))
        if (known, number) != (label, target):
            return known if number is None else f"{known} of {number:g}"
        if not self.entries:
            self.shape = pixels.shape
            self.dtype = pixels.dtype
        self._file.write(data)
        self.entries.append(Entry(label, group, digest, holdout, target))
        return None

    def read(self, rows: Sequence[int]) -> Pixels:
        """Return these tiles, (len(rows), *shape), in this order."""
        self._file.flush()
        tiles = np.empty((len(rows), *self.shape), self.dtype.newbyteorder("<"))
        size = tiles[:1].nbytes
        for tile, row in zip(tiles, rows, strict=True):
            # pread and not mmap: pages of a map would count as this program's memory
            done = os.preadv(self._file.fileno(), [memoryview(tile).cast("B")], row * size)
            if done != size:
                raise OSError(f"the scratch file gave {done} of {size} bytes")
        return tiles


def add_version(pool: Pool, dataset: Dataset, *, keep_sides: bool, progress: Progress) -> None:
    """Append the tiles of a sealed version, on their sides or to be split anew.

    Raises OwnerError if a sealed file has changed: a new version must not launder it.
    """
    check_seal(dataset)
    total = dataset.holdout.size + (dataset.training.size if dataset.training else 0)
    for side in (dataset.holdout, dataset.training):
        if side is None:
            continue
        holdout = side is dataset.holdout if keep_sides else None
        labels = read_labels(side, len(dataset.classes))
        groups = read_groups(side)
        targets = read_targets(side).tolist() if side.targets else [None] * side.size
        known = zip(_tiles(dataset, side), labels, groups, targets, strict=True)
        for pixels, label, group, target in known:
            if len(pool.entries) % PROGRESS_EVERY == 0:
                progress("copying", len(pool.entries), total)
            pool.add(pixels, dataset.classes[label], group, holdout=holdout, target=target)
    progress("copying", total, total)


def _tiles(dataset: Dataset, side: Split) -> Iterator[Pixels]:
    with side.tiles.open("rb") as file:
        header = read_header(file, side.tiles)
        if header.shape != (side.size, *dataset.shape) or header.dtype != dataset.dtype:
            raise OwnerError(
                f"{side.tiles} is not what its seal describes. Import the tiles again."
            )
        size = header.dtype.itemsize * prod(dataset.shape)
        for _ in range(side.size):
            yield np.frombuffer(file.read(size), header.dtype).reshape(dataset.shape)

"""Tiles on their way into a new version: pixels in scratch files, the rest in memory.

The number of tiles that fit is a matter of disk: a tile's pixels are written once when it is
decoded and read once when its place in the new version is known. In memory it costs about
100 bytes, a third of them the SHA-256 of its pixels.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import repeat
from math import prod
from pathlib import Path
from typing import Self

import numpy as np

from evaluator.dataset.arrays import read_header
from evaluator.dataset.digests import Digests
from evaluator.dataset.labels import read_groups, read_labels
from evaluator.dataset.pixels import Pixels
from evaluator.dataset.scratch import Scratch, Stored
from evaluator.dataset.sealed import Dataset, Split, check_seal
from evaluator.dataset.targets import read_targets
from evaluator.dataset.tiles import PROGRESS_EVERY, Progress
from evaluator.errors import OwnerError


class Pool:
    """Tiles of one shape and dtype, numbered as they were added. A context manager.

    `shape` is (H, W) or (H, W, C), and with `dtype` that of the first tile. Of tile number n,
    `labels[n]` is its class, `groups[n]` a keyed digest of its group's name, 16 bytes, or None,
    `holdout[n]` its side, or None until the split decides, `targets[n]` the number to predict,
    a float32, or None, and `digests[n]` the SHA-256 of its pixels, little-endian and in C order.
    """

    def __init__(self, path: Path) -> None:
        self.shape: tuple[int, ...] = ()
        self.dtype = "uint8"
        self.labels: list[str] = []
        self.groups: list[bytes | None] = []
        self.holdout: list[bool | None] = []
        self.targets: list[float | None] = []
        self.digests = Digests()
        self._names: dict[str, str] = {}  # one object for each label and each group
        self._ids: dict[bytes, bytes] = {}
        self._scratches: list[Scratch] = []
        self._files = array("I")  # where pixels are: the number of a scratch file, and a place
        self._offsets = array("Q")
        self._path = path

    def __enter__(self) -> Self:
        """Give the pool itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the disk space back."""
        for scratch in self._scratches:
            scratch.close()

    def __len__(self) -> int:
        """How many tiles there are."""
        return len(self.labels)

    @property
    def bands(self) -> int:
        """How many bands each tile has."""
        return self.shape[2] if len(self.shape) == 3 else 1

    def new_scratch(self) -> Scratch:
        """Return another file for pixels; `add` takes what was stored in any of them."""
        self._scratches.append(Scratch(self._path, len(self._scratches)))
        return self._scratches[-1]

    def add(
        self,
        pixels: Stored,
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
        same = self.digests.find(pixels.digest)
        if same is not None and (self.labels[same], self.targets[same]) != (label, target):
            known, number = self.labels[same], self.targets[same]
            return known if number is None else f"{known} of {number:g}"
        if not self.labels:
            self.shape = pixels.shape
            self.dtype = pixels.dtype
        self.digests.append(pixels.digest)
        self.labels.append(self._names.setdefault(label, label))
        self.groups.append(group and self._ids.setdefault(group, group))
        self.holdout.append(holdout)
        self.targets.append(target)
        self._files.append(pixels.scratch)
        self._offsets.append(pixels.offset)
        return None

    def room(self, tiles: int) -> Pixels:
        """Return an array for some tiles, (tiles, *shape), to be filled and filled again."""
        return np.empty((tiles, *self.shape), np.dtype(self.dtype).newbyteorder("<"))

    def read(self, rows: Sequence[int], room: Pixels) -> Pixels:
        """Fill as much of the room as these tiles need, in this order, and return that."""
        tiles = room[: len(rows)]
        for tile, row in zip(tiles, rows, strict=True):
            self._scratches[self._files[row]].read(tile, self._offsets[row])
        return tiles


def add_version(pool: Pool, dataset: Dataset, *, keep_sides: bool, progress: Progress) -> None:
    """Append the tiles of a sealed version, on their sides or to be split anew.

    Raises OwnerError if a sealed file has changed: a new version must not launder it.
    """
    check_seal(dataset)
    scratch = pool.new_scratch()
    total = dataset.holdout.size + (dataset.training.size if dataset.training else 0)
    for side in (dataset.holdout, dataset.training):
        if side is None:
            continue
        holdout = side is dataset.holdout if keep_sides else None
        labels = read_labels(side, len(dataset.classes))
        groups = read_groups(side)
        targets = read_targets(side).tolist() if side.targets else repeat(None, side.size)
        known = zip(_tiles(dataset, side), labels, groups, targets, strict=True)
        for pixels, label, group, target in known:
            if len(pool) % PROGRESS_EVERY == 0:
                progress("copying", len(pool), total)
            stored = scratch.append(pixels)
            pool.add(stored, dataset.classes[label], group, holdout=holdout, target=target)
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

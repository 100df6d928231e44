"""Where pixels wait until their place in the new version is known: files without a name."""

import os
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from evaluator.dataset.pixels import Pixels


class Stored(NamedTuple):
    """One tile's pixels: `digest` is their SHA-256, little-endian and in C order.

    They are the bytes from `offset` on of the scratch file with the number `scratch`.
    """

    shape: tuple[int, ...]
    dtype: str
    digest: bytes
    scratch: int
    offset: int


class Scratch:
    """A file that one process appends to, and that it and the process it came of may read."""

    def __init__(self, path: Path, number: int) -> None:
        self._file = path.open("x+b", buffering=0)
        path.unlink()  # it lives on while it is open, and a kill cannot leave it behind
        self._number = number
        self._size = 0

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def append(self, pixels: Pixels) -> Stored:
        """Store one tile."""
        data = pixels.astype(pixels.dtype.newbyteorder("<"), order="C", copy=False)
        start, rest = self._size, data.reshape(-1).data.cast("B")
        digest = sha256(rest).digest()
        while rest:
            written = os.pwrite(self._file.fileno(), rest, self._size)
            self._size += written
            rest = rest[written:]
        return Stored(pixels.shape, pixels.dtype.name, digest, self._number, start)

    def read(self, into: Pixels, offset: int) -> None:
        """Fill an array with the bytes from `offset` on."""
        # pread and not mmap: pages of a map would count as this program's memory
        done = os.preadv(self._file.fileno(), [into.data.cast("B")], offset)
        if done != into.nbytes:
            raise OSError(f"the scratch file gave {done} of {into.nbytes} bytes")

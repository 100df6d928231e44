"""A layer written anew, as pieces of two files: what is new, and contents that stay where they lie.

Headers and small files go into the spool. The bytes of a long file that lies in the archive in the
open, uncompressed, are not written a second time: the layer has them by their place.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SPOOL, ARCHIVE = 0, 1  # of which file a piece is

Piece = tuple[int, int, int]
"""A file, and the place and the number of the bytes in it."""

_CHUNK = 2**17  # bytes; what is hashed and sent on stays in a processor's own cache
_WORTH = 2**18  # bytes; a shorter content is copied as fast as it is looked up
_MOST = 50_000  # pieces of an image: a report of them has under 4 MiB


@dataclass(frozen=True, slots=True)
class Layer:
    """The pieces of one layer; `files` are the descriptors of the spool and the archive."""

    files: tuple[int, int]
    pieces: Sequence[Piece]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(size for _, _, size in self.pieces)

    def chunks(self) -> Iterator[bytes]:
        """Its bytes in order, wherever the files' own positions are."""
        return iter(Joined(self).read, b"")


class Joined:
    """The bytes of a layer as a stream."""

    def __init__(self, layer: Layer) -> None:
        self._files, self._pieces = layer.files, iter(layer.pieces)
        self._file, self._at, self._left = 0, 0, 0

    def read(self, size: int = _CHUNK) -> bytes:
        """At most `size` bytes; none only at the end."""
        if not self._found():
            return b""
        chunk = os.pread(self._files[self._file], min(size, self._left), self._at)
        self._pass(len(chunk))
        return chunk

    def skip(self, size: int) -> bool:
        """Leave `size` bytes unread; False where they are not there."""
        while size and self._found():
            step = min(size, self._left)
            self._pass(step)
            size -= step
        return not size

    def _found(self) -> bool:
        """Go on to the next piece that has bytes left; False at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._file, self._at, self._left = piece
        return True

    def _pass(self, size: int) -> None:
        self._at += size
        self._left -= size


class Writer:
    """Writes the layers of an image one after the other; `layers` are their pieces so far."""

    def __init__(self, spool: BinaryIO) -> None:
        self.layers: list[list[Piece]] = []
        self._spool, self._end = spool, spool.tell()
        self._new = self._end  # since here, nothing is in a piece
        self._count = 0
        self._lies: tuple[int, int] | None = None

    def begin(self, lies: tuple[int, int] | None) -> None:
        """Begin a layer, which lies in this file from this place on; None where it is packed."""
        self.layers.append([])
        self._lies = lies

    def write(self, content: bytes) -> None:
        """Add bytes."""
        self._spool.write(content)
        self._end += len(content)

    def leave(self, offset: int, size: int) -> bool:
        """Add what lies at `offset` of the stored layer; False where it has to be written."""
        if self._lies is None or size < _WORTH or self._count > _MOST:
            return False
        self.end()
        file, start = self._lies
        self.layers[-1].append((file, start + offset, size))
        self._count += 2
        return True

    def end(self) -> None:
        """Make a piece of what was written since the last one."""
        if self._end > self._new:
            self.layers[-1].append((SPOOL, self._new, self._end - self._new))
        self._new = self._end

"""Bytes in order: a part of a file, unpacked, hashed, and counted against the budgets."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from typing import Protocol

import zstandard

from evaluator.intake.refusals import refused

CHUNK = 2**18
_WINDOW = 2**27  # what `zstd --ultra -22` asks for; more is only there to take memory
_FREE = 64 * 2**20  # unpacked bytes that no ratio is asked of
_DAMAGED = (zlib.error, EOFError, gzip.BadGzipFile, zstandard.ZstdError)


class Readable(Protocol):
    """What both decompressors read from and are."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, and none only at the end."""


@dataclass(slots=True)
class Budget:
    """What all layers of an image may still use."""

    unpacked: int  # bytes
    entries: int
    ratio: int

    def take_entry(self) -> None:
        """Count one file, directory or link."""
        self.entries -= 1
        if self.entries < 0:
            raise refused("EVA205")

    def take_bytes(self, size: int) -> None:
        """Count unpacked bytes."""
        self.unpacked -= size
        if self.unpacked < 0:
            raise refused("EVA102")


class Region:
    """`size` bytes of a file from `start` on, hashed where they are read."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor, self._end = descriptor, start + size
        self.position, self.digest = start, hashlib.sha256()

    def read(self, size: int = CHUNK) -> bytes:
        """At most `size` bytes; none only at the end."""
        chunk = os.pread(self._descriptor, min(size, self._end - self.position), self.position)
        self.position += len(chunk)
        self.digest.update(chunk)
        return chunk

    def skip(self, size: int) -> bool:
        """Leave `size` bytes unread, and out of the digest; False where they are not there."""
        self.position += size
        return self.position <= self._end


class Unpacked:
    """The content of a region: gzip and zstd undone, anything else `plain`, as it is.

    Reads end in Refused where the compression is damaged (EVA106), the content outgrows the
    budget (EVA102) or its own compressed size (EVA206).
    """

    def __init__(self, descriptor: int, start: int, size: int, budget: Budget) -> None:
        self.packed, self._size, self._budget = Region(descriptor, start, size), size, budget
        self._source = _decompressor(os.pread(descriptor, 4, start), self.packed)
        self.plain = self._source is self.packed
        self.digest = self.packed.digest if self.plain else hashlib.sha256()
        self._count = 0

    def read(self, size: int = CHUNK) -> bytes:
        """At most `size` bytes; none only at the end."""
        try:
            chunk = self._source.read(size)
        except _DAMAGED as error:
            raise refused("EVA106") from error
        self._count += len(chunk)
        self._budget.take_bytes(len(chunk))
        if self._count > max(_FREE, self._budget.ratio * self._size):
            raise refused("EVA206")
        if not self.plain:  # else it has been hashed on its way
            self.digest.update(chunk)
        return chunk

    def skip(self, size: int) -> bool:
        """Pass over `size` bytes, which are hashed all the same."""
        while size and (chunk := self.read(min(size, CHUNK))):
            size -= len(chunk)
        return not size

    def drain(self) -> None:
        """Read what is left, packed bytes behind the content included: a digest covers all."""
        while self.read():
            pass
        while self.packed.read():
            pass


def is_compressed(magic: bytes) -> bool:
    """Whether a file that starts like this is gzip (RFC 1952) or zstd (RFC 8878)."""
    return magic[:2] == b"\x1f\x8b" or magic == b"\x28\xb5\x2f\xfd"


def _decompressor(magic: bytes, packed: Region) -> Readable:
    if not is_compressed(magic):
        return packed
    if magic[:1] == b"\x1f":
        return gzip.GzipFile(fileobj=packed, mode="rb")  # type: ignore[call-overload,no-any-return]  # its stub asks for more than it uses
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    return decompressor.stream_reader(packed, read_size=CHUNK, read_across_frames=True)  # type: ignore[arg-type]  # as above

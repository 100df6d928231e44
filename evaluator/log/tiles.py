"""The files of a static log (https://c2sp.org/tlog-tiles@v0.1.0).

    tile/L/N          256 hashes: of entries at level 0, of whole tiles of the level below above it
    tile/entries/N    the 256 entries themselves, each behind two bytes of its length
    ….p/W             the same with the first W only, where the log ends

A reader believes nothing: a tile is held against the hash of it in the tile above, and the
last tiles against the root of the signed checkpoint.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from evaluator import merkle
from evaluator.errors import VerificationError

WIDTH: Final = 256
HEIGHT: Final = 8  # WIDTH = 2**HEIGHT
HASH: Final = 32  # bytes
TILE: Final = WIDTH * HASH  # bytes of a whole tile
ENTRY_CAP: Final = 65_535
"""Bytes of an entry, by the two bytes of its length."""
_KEPT: Final = 64  # tiles of 8 KiB in memory

Read = Callable[[str], bytes]
"""From a path such as tile/0/000.p/44 to its content; VerificationError where there is none."""


def tile_path(level: int | str, number: int, width: int = WIDTH) -> str:
    """Return the path of tile `number` of a level, or of `entries`, with `width` of its 256."""
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03d}")
    partial = f".p/{width}" if width < WIDTH else ""
    return f"tile/{level}/{'/'.join(groups)}{partial}"


def width_at(level: int, number: int, size: int) -> int:
    """Return how many hashes tile `number` of a level has in a log of this size: 0 to 256."""
    return max(0, min(WIDTH, (size >> HEIGHT * level) - number * WIDTH))


def levels(size: int) -> int:
    """Return how many levels of tiles a log of this size has."""
    return (size.bit_length() + HEIGHT - 1) // HEIGHT


def paths(size: int, *, entries: bool) -> Iterator[str]:
    """All files, but the checkpoint, of a log of this size; with its entries if so wished."""
    for level in range(levels(size)):
        count = size >> HEIGHT * level
        for number in range(-(-count // WIDTH)):
            yield tile_path(level, number, width_at(level, number, size))
            if entries and level == 0:
                yield tile_path("entries", number, width_at(0, number, size))


def pack_entry(entry: bytes) -> bytes:
    """Return an entry behind its length; OverflowError if that does not fit two bytes."""
    return len(entry).to_bytes(2, "big") + entry


def unpack_entries(raw: bytes) -> list[bytes]:
    """Return the entries in a bundle, or raise VerificationError."""
    entries, at = [], 0
    while at < len(raw):
        stop = at + 2 + int.from_bytes(raw[at : at + 2], "big")
        if at + 2 > len(raw) or stop > len(raw):
            raise VerificationError("A bundle of entries ends in the middle of one.")
        entries.append(raw[at + 2 : stop])
        at = stop
    return entries


def hashes(tile: bytes) -> list[bytes]:
    """Return the hashes of which a tile is the concatenation."""
    return [tile[at : at + HASH] for at in range(0, len(tile), HASH)]


def root_of(size: int, edge: Callable[[int], bytes]) -> bytes:
    """Return the root of a log, from `edge`: a level to its last tile, if that is partial."""

    def node(level: int, index: int) -> bytes:
        # Of a level's last hashes, those that no tile above covers lie in its partial tile.
        return _node(edge(level // HEIGHT), level, index)

    return merkle.tree_hash(node, 0, size)


class TileTree:
    """The hashes of a log of `size` entries under `root`, each verified before it is used.

    Raises VerificationError at once where the log's last tiles do not give the root, and later
    where another tile, read when it is needed, is not the one below its root.
    """

    def __init__(self, read: Read, size: int, root: bytes) -> None:
        self._read = read
        self.size = size
        self.tile = lru_cache(_KEPT)(self._tile)
        self._edge = [self._last(level) for level in range(levels(size))]
        if root_of(size, self._edge.__getitem__) != root:
            raise VerificationError(
                "The hash tiles at the end of the log do not give the root that its checkpoint "
                "signs: a tile was altered, or is missing a part."
            )

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree: see `merkle.Node`."""
        inside = level % HEIGHT
        number = (index << inside) // WIDTH
        return _node(self.tile(level // HEIGHT, number), level, index)

    def leaf(self, index: int) -> bytes:
        """Return the leaf hash of entry `index`; IndexError if there is none."""
        if not 0 <= index < self.size:
            raise IndexError(f"entry {index} of a log of {self.size}")
        return self.node(0, index)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the audit path of entry `index` in the log as it was at `size`."""
        self._require_reached(size)
        return merkle.inclusion_path(self.node, index, size)

    def consistency(self, old: int, size: int) -> list[bytes]:
        """Return the proof that the log at `size` began as it was at `old`."""
        self._require_reached(size)
        return merkle.consistency_path(self.node, old, size)

    def root(self, size: int) -> bytes:
        """Return the root that the log had at `size`."""
        self._require_reached(size)
        return merkle.tree_hash(self.node, 0, size)

    def _require_reached(self, size: int) -> None:
        if size > self.size:
            raise IndexError(f"a tree of {size} in a log of {self.size}")

    def _tile(self, level: int, number: int) -> bytes:
        """Return a tile: a partial one was verified with the root, a whole one is with its own."""
        width = width_at(level, number, self.size)
        if width < WIDTH:
            return self._edge[level]
        raw = self._fetch(level, number, width)
        if merkle.root(hashes(raw)) != self.node((level + 1) * HEIGHT, number):
            raise VerificationError(
                f"The tile {tile_path(level, number)} was altered: the tile above it has another "
                "hash for it."
            )
        return raw

    def _last(self, level: int) -> bytes:
        number = (self.size >> HEIGHT * level) // WIDTH
        width = width_at(level, number, self.size)
        return self._fetch(level, number, width) if width else b""

    def _fetch(self, level: int, number: int, width: int) -> bytes:
        path = tile_path(level, number, width)
        raw = self._read(path)
        if len(raw) != width * HASH:
            raise VerificationError(f"The tile {path} has not the {width} hashes of its name.")
        return raw


def _node(tile: bytes, level: int, index: int) -> bytes:
    """Return the hash of a complete subtree that lies inside `tile`."""
    inside = level % HEIGHT
    first = ((index << inside) % WIDTH) * HASH
    return merkle.root(hashes(tile[first : first + (HASH << inside)]))

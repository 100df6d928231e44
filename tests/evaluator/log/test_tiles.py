"""Tiles: named as the specification names them, and believed only as far as the root goes."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator import merkle
from evaluator.errors import VerificationError
from evaluator.log.tiles import (
    TileTree,
    pack_entry,
    paths,
    tile_path,
    unpack_entries,
    width_at,
)

LARGE = 70_000
leaves = [merkle.leaf_hash(b"%d" % number) for number in range(LARGE)]


@cache
def row(level: int) -> list[bytes]:
    """All hashes at a level of tiles, from the definition."""
    if level == 0:
        return leaves
    below = row(level - 1)
    whole = len(below) // 256
    return [merkle.root(below[at * 256 : at * 256 + 256]) for at in range(whole)]


def files(size: int) -> dict[str, bytes]:
    """Every hash tile of the log at this size."""
    found = {}
    for level in range(3):
        hashes = row(level)[: size >> 8 * level]
        for at in range(0, len(hashes), 256):
            tile = hashes[at : at + 256]
            found[tile_path(level, at // 256, len(tile))] = b"".join(tile)
    return found


def tree(size: int, served: dict[str, bytes]) -> TileTree:
    """The log at this size, read from these files."""
    return TileTree(served.__getitem__, size, merkle.root(leaves[:size]))


@pytest.mark.parametrize(
    ("number", "path"),
    [
        (0, "tile/0/000"),
        (999, "tile/0/999"),
        (1000, "tile/0/x001/000"),
        (1_234_067, "tile/0/x001/x234/067"),
    ],
)
def test_paths_are_grouped_by_three_digits(number: int, path: str) -> None:
    """The specification's example, and the numbers where a group begins."""
    assert tile_path(0, number) == path
    assert tile_path("entries", number, 7) == f"{path.replace('/0/', '/entries/', 1)}.p/7"


def test_the_specifications_log_has_the_specifications_tiles() -> None:
    """70,000 entries: 273 whole tiles and one of 112; one and one of 17; and one of 1."""
    found = list(paths(LARGE, entries=False))

    assert set(found) == set(files(LARGE))
    assert [path for path in found if ".p/" in path] == [
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert list(paths(256, entries=True)) == ["tile/0/000", "tile/entries/000", "tile/1/000.p/1"]
    assert list(paths(0, entries=True)) == []


@settings(max_examples=20)
@given(st.data())
def test_proofs_from_tiles_are_those_of_the_list(data: st.DataObject) -> None:
    """At any size, around the borders of tiles most of all."""
    borders = st.sampled_from([1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, LARGE])
    size = data.draw(borders | st.integers(1, LARGE))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(borders.filter(lambda found: found <= size) | st.integers(0, size))
    found, head = tree(size, files(size)), merkle.root(leaves[:size])
    old_head = merkle.root(leaves[:old])

    assert found.inclusion(index, size) == merkle.inclusion_proof(leaves[:size], index)
    assert found.leaf(index) == leaves[index]
    assert found.root(old) == old_head
    assert merkle.consistent(old, old_head, size, head, found.consistency(old, size))
    if index < old:
        assert merkle.includes(old_head, old, index, leaves[index], found.inclusion(index, old))


def test_a_proof_reads_a_handful_of_tiles() -> None:
    """Of 276: the last of each level, and those on the way."""
    served, read = files(LARGE), []

    def fetch(path: str) -> bytes:
        read.append(path)
        return served[path]

    found = TileTree(fetch, LARGE, merkle.root(leaves))
    found.inclusion(12_345, LARGE)
    found.consistency(54_321, LARGE)

    assert len(read) <= 6


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"])
@pytest.mark.parametrize("damage", ["flip", "cut", "lengthen", "empty"])
def test_no_damaged_tile_is_used(path: str, damage: str) -> None:
    """A last tile is noticed at once, another when it is read."""
    served = files(300)
    raw = served[path]
    served[path] = {
        "flip": raw[:-1] + bytes([raw[-1] ^ 1]),
        "cut": raw[:-1],
        "lengthen": raw + raw[:32],
        "empty": b"",
    }[damage]

    tree(300, files(300)).inclusion(5, 300)
    with pytest.raises(VerificationError, match="tile"):
        tree(300, served).inclusion(5, 300)


def test_what_is_not_there_yet_is_an_index_error() -> None:
    """No entry, root or proof beyond the size."""
    found = tree(300, files(300))

    for beyond in (
        lambda: found.leaf(300),
        lambda: found.leaf(-1),
        lambda: found.inclusion(5, 301),
        lambda: found.inclusion(5, 5),
        lambda: found.consistency(5, 301),
        lambda: found.root(301),
    ):
        with pytest.raises(IndexError):
            beyond()


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_a_bundle_gives_its_entries_back(entries: list[bytes]) -> None:
    """Empty ones as well."""
    assert unpack_entries(b"".join(map(pack_entry, entries))) == entries


@given(st.binary(max_size=100))
def test_a_hostile_bundle_is_read_or_refused_in_words(raw: bytes) -> None:
    """Whatever is read from it is all that is in it."""
    try:
        entries = unpack_entries(raw)
    except VerificationError:
        return
    assert b"".join(map(pack_entry, entries)) == raw


def test_the_largest_entry_fits_its_length() -> None:
    """Two bytes of length."""
    assert unpack_entries(pack_entry(bytes(65_535))) == [bytes(65_535)]
    with pytest.raises(OverflowError):
        pack_entry(bytes(65_536))


def test_widths_are_those_of_the_specification() -> None:
    """Whole, partial and not there."""
    assert [width_at(0, number, 300) for number in range(3)] == [256, 44, 0]

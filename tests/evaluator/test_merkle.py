"""RFC 6962 trees: the known vectors, and the laws against the recursive definition."""

from collections.abc import Callable
from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import merkle

# The eight entries and the roots of their prefixes that Certificate Transparency
# implementations test themselves with.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

trees = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


def naive_root(leaves: list[bytes]) -> bytes:
    """Return the root by the recursive definition of RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_root_matches_the_known_vectors(size: int) -> None:
    """Each prefix of the well-known eight entries has the well-known root."""
    leaves = [merkle.leaf_hash(entry) for entry in ENTRIES[:size]]

    assert merkle.root(leaves).hex() == ROOTS[size - 1]


def test_empty_tree_has_the_hash_of_nothing() -> None:
    """RFC 6962 defines the head of an empty tree as SHA-256 of the empty string."""
    assert sha256(b"").digest() == merkle.root([])


@given(trees)
def test_root_matches_the_recursive_definition(entries: list[bytes]) -> None:
    """Building level by level gives the tree that the RFC defines by recursion."""
    leaves = [merkle.leaf_hash(entry) for entry in entries]

    assert naive_root(leaves) == merkle.root(leaves)


@given(trees, st.data())
def test_inclusion_proof_proves_its_leaf(entries: list[bytes], data: st.DataObject) -> None:
    """Every leaf's audit path leads to the root."""
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = merkle.inclusion_proof(leaves, index)

    assert merkle.includes(merkle.root(leaves), len(leaves), index, leaves[index], path)


@given(trees, st.data())
def test_inclusion_proof_proves_nothing_else(entries: list[bytes], data: st.DataObject) -> None:
    """A wrong leaf, index, or path is refused."""
    leaves = [merkle.leaf_hash(b"%d" % i + entry) for i, entry in enumerate(entries)]
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = merkle.inclusion_proof(leaves, index)
    head = merkle.root(leaves)
    other = data.draw(st.integers(0, len(leaves)).filter(lambda i: i != index))

    assert not merkle.includes(head, len(leaves), other, leaves[index], path)
    assert not merkle.includes(head, len(leaves), index, bytes(32), path)
    assert not merkle.includes(head, len(leaves), index, leaves[index], [*path, bytes(32)])
    assert not merkle.includes(head, len(leaves), index, leaves[index], path[:-1]) or not path


def test_proof_of_a_missing_leaf_is_an_index_error() -> None:
    """There is no path to a leaf outside the tree."""
    with pytest.raises(IndexError):
        merkle.inclusion_proof([bytes(32)], 1)


def nodes(leaves: list[bytes]) -> merkle.Node:
    """Return the hashes of the complete subtrees over these leaves, by the recursive definition."""

    @cache
    def node(level: int, index: int) -> bytes:
        found = leaves[index << level : (index + 1) << level]
        assert len(found) == 1 << level
        return naive_root(found)

    return node


def naive_consistency(old: int, leaves: list[bytes], *, whole: bool = True) -> list[bytes]:
    """Return the proof by the recursive definition of RFC 6962, section 2.1.2."""
    if old == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if old <= k:
        return [*naive_consistency(old, leaves[:k], whole=whole), naive_root(leaves[k:])]
    return [*naive_consistency(old - k, leaves[k:], whole=False), naive_root(leaves[:k])]


SIXTY_NINE = [merkle.leaf_hash(b"%d" % number) for number in range(69)]


@pytest.mark.parametrize("size", range(1, 70))
def test_every_path_of_every_small_tree_holds(size: int) -> None:
    """All indices and all older sizes: made from nodes, equal to the definition, and accepted."""
    node, head = nodes(SIXTY_NINE), merkle.root(SIXTY_NINE[:size])

    assert merkle.tree_hash(node, 0, size) == head
    for index in range(size):
        path = merkle.inclusion_path(node, index, size)
        assert path == merkle.inclusion_proof(SIXTY_NINE[:size], index)
        assert merkle.includes(head, size, index, SIXTY_NINE[index], path)
    for old in range(1, size + 1):
        path = merkle.consistency_path(node, old, size)
        assert path == naive_consistency(old, SIXTY_NINE[:size])
        assert merkle.consistent(old, merkle.root(SIXTY_NINE[:old]), size, head, path)


def altered(leaves: list[bytes]) -> list[bytes]:
    """Another first entry."""
    return [bytes(32), *leaves[1:]]


def dropped(leaves: list[bytes]) -> list[bytes]:
    """The first entry is gone and the others moved up."""
    return [*leaves[1:], bytes(32)]


@pytest.mark.parametrize("forge", [altered, dropped])
@given(st.data())
def test_no_path_joins_a_log_with_another_past(
    forge: Callable[[list[bytes]], list[bytes]], data: st.DataObject
) -> None:
    """A log whose old entries were altered or dropped offers its own best proof, in vain."""
    size = data.draw(st.integers(2, 69))
    old = data.draw(st.integers(1, size))
    old_head = merkle.root(SIXTY_NINE[:old])
    forged = forge(SIXTY_NINE)
    path = merkle.consistency_path(nodes(forged), old, size)

    assert not merkle.consistent(old, old_head, size, merkle.root(forged[:size]), path)
    assert merkle.consistent(old, merkle.root(forged[:old]), size, merkle.root(forged[:size]), path)


@given(st.data())
def test_consistency_proof_proves_nothing_else(data: st.DataObject) -> None:
    """Another size, a hash more, fewer or altered: refused, and never an exception."""
    size = data.draw(st.integers(2, 69))
    old = data.draw(st.integers(1, size - 1))
    path = merkle.consistency_path(nodes(SIXTY_NINE), old, size)
    old_head, head = merkle.root(SIXTY_NINE[:old]), merkle.root(SIXTY_NINE[:size])
    other = data.draw(st.integers(0, 200).filter(lambda found: found != old))
    at = data.draw(st.integers(0, len(path) - 1))

    assert not merkle.consistent(other, old_head, size, head, path)
    assert not merkle.consistent(old, old_head, size, head, [*path, bytes(32)])
    assert not merkle.consistent(old, old_head, size, head, path[:-1])
    assert not merkle.consistent(
        old, old_head, size, head, [*path[:at], bytes(32), *path[at + 1 :]]
    )
    assert not merkle.consistent(old, bytes(32), size, head, path)
    assert not merkle.consistent(old, old_head, size, bytes(32), path)


def test_every_log_began_empty() -> None:
    """From nothing to anything needs no proof, and admits none."""
    head = merkle.root(SIXTY_NINE)

    assert merkle.consistency_path(nodes(SIXTY_NINE), 0, 69) == []
    assert merkle.consistent(0, merkle.EMPTY_ROOT, 69, head, [])
    assert not merkle.consistent(0, merkle.EMPTY_ROOT, 69, head, [bytes(32)])
    assert not merkle.consistent(0, bytes(32), 69, head, [])


def test_no_tree_has_a_larger_past() -> None:
    """A proof from 3 to 2 does not exist."""
    with pytest.raises(IndexError):
        merkle.consistency_path(nodes(SIXTY_NINE), 3, 2)
    with pytest.raises(IndexError):
        merkle.inclusion_path(nodes(SIXTY_NINE), 2, 2)

    assert not merkle.consistent(3, bytes(32), 2, bytes(32), [])

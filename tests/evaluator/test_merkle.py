"""RFC 6962 trees: the known vectors, and the laws against the recursive definition."""

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

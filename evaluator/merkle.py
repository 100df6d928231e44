"""Merkle trees as RFC 6962, section 2.1, and RFC 9162, section 2.1, define them.

A leaf and an inner node hash with different first bytes, so that neither can be passed
off as the other; a tree of n leaves splits at the largest power of two below n.

A tree is given as the list of its leaf hashes, or, where it is too large for that, as a `Node`:
a function to the hashes of its complete subtrees. A proof asks it for O(log n) of them.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""(level, index) to the hash of the complete subtree of the leaves from index * 2**level to, not
including, (index + 1) * 2**level; 32 bytes."""


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry), 32 bytes."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right), 32 bytes."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree head of these leaf hashes (RFC 6962, section 2.1).

    Level by level: a node without a sibling is carried up unchanged, which gives the
    same tree as the recursive definition.
    """
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of leaf `index`, from its sibling up (RFC 6962, section 2.1.1).

    Raises IndexError if there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree of {len(leaves)}")
    path: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _parents(level)
        index //= 2
    return path


def includes(head: bytes, size: int, index: int, leaf: bytes, path: Sequence[bytes]) -> bool:
    """Say whether `path` proves `leaf` to be number `index` of the tree of `size` under `head`.

    The algorithm of RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    node, last = index, size - 1
    computed = leaf
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == head


def tree_hash(node: Node, start: int, stop: int) -> bytes:
    """Return the hash of the leaves from `start` to `stop`, not including it, of a larger tree.

    `start` is a multiple of a power of two that is at least stop - start, as it is for every
    subtree of a tree; with start = 0 the result is the root that the tree had at that size.
    """
    if start == stop:
        return EMPTY_ROOT
    parts = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        parts.append(node(level, start >> level))
        start += 1 << level
    computed = parts.pop()
    while parts:
        computed = node_hash(parts.pop(), computed)
    return computed


def inclusion_path(node: Node, index: int, size: int) -> list[bytes]:
    """Return what `inclusion_proof` does, for leaf `index` of the tree at this size."""
    if not 0 <= index < size:
        raise IndexError(f"leaf {index} of a tree of {size}")
    start, stop, path = 0, size, []
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(tree_hash(node, middle, stop))
            stop = middle
        else:
            path.append(tree_hash(node, start, middle))
            start = middle
    return path[::-1]


def consistency_path(node: Node, old: int, size: int) -> list[bytes]:
    """Return the proof that the tree of `size` began as that of `old` (RFC 9162, 2.1.4.1).

    Raises IndexError unless old <= size. Nothing needs to be proved, and the path is empty, if
    they are the same or the old tree was.
    """
    if not 0 <= old <= size:
        raise IndexError(f"a tree of {old} in one of {size}")
    if old == 0:
        return []
    start, stop, path = 0, size, []
    while stop != old:
        middle = start + _split(stop - start)
        if old <= middle:
            path.append(tree_hash(node, middle, stop))
            stop = middle
        else:
            path.append(tree_hash(node, start, middle))
            start = middle
    if start > 0:
        path.append(tree_hash(node, start, stop))
    return path[::-1]


def consistent(old: int, old_head: bytes, size: int, head: bytes, path: Sequence[bytes]) -> bool:
    """Say whether `path` proves that the tree of `size` under `head` began as the old one.

    The algorithm of RFC 9162, section 2.1.4.2. Every tree began as the empty one.
    """
    if not 0 <= old <= size:
        return False
    if old in {0, size}:
        return not path and old_head == (head if old else EMPTY_ROOT)
    if old & (old - 1) == 0:  # the old tree is complete, so its head is where the path begins
        path = [old_head, *path]
    if not path:
        return False
    node, last = old - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_computed = computed = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old_computed = node_hash(sibling, old_computed)
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old_computed == old_head and computed == head


def _split(leaves: int) -> int:
    """The largest power of two below a number of leaves, which is 2 or more."""
    return 1 << (leaves - 1).bit_length() - 1


def _parents(level: list[bytes]) -> list[bytes]:
    pairs = [node_hash(*level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
    return pairs + level[-1:] if len(level) % 2 else pairs

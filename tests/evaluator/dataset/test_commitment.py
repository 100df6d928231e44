"""The commitment binds every tile and label, and tells nothing but their number."""

import hashlib
import hmac
import json

from evaluator import merkle
from evaluator.dataset.commitment import commit, leaf

SECRET = bytes(range(32))
DIGESTS = [hashlib.sha256(b"%d" % number).digest() for number in range(5)]
LABELS = ["barley", "corn", "corn", "rye", "barley"]


def test_commitment_is_the_one_that_its_documentation_describes() -> None:
    """A stranger recomputes the root with hmac, json and SHA-256 alone."""
    leaves = []
    for position, (digest, label) in enumerate(zip(DIGESTS, LABELS, strict=True)):
        message = b"evaluator/holdout-salt/v1" + position.to_bytes(8, "big")
        salt = hmac.new(SECRET, message, "sha256").hexdigest()
        text = (
            f'{{"label":"{label}","name":"{position:06d}","salt":"{salt}",'
            f'"sha256":"{digest.hex()}","v":1}}'
        )
        leaves.append(hashlib.sha256(b"\0" + text.encode()).digest())

    document = json.loads(commit("holdout-1", SECRET, DIGESTS, LABELS))

    assert document["root"] == merkle.root(leaves).hex()
    assert document["count"] == 5


def test_one_tile_can_be_opened() -> None:
    """A leaf and its audit path prove one tile and its label against the published root."""
    root = bytes.fromhex(json.loads(commit("h", SECRET, DIGESTS, LABELS))["root"])
    leaves = [
        merkle.leaf_hash(leaf(SECRET, position, DIGESTS[position], LABELS[position]))
        for position in range(5)
    ]
    lie = merkle.leaf_hash(leaf(SECRET, 3, DIGESTS[3], "corn"))
    path = merkle.inclusion_proof(leaves, 3)

    assert merkle.includes(root, 5, 3, leaves[3], path)
    assert not merkle.includes(root, 5, 3, lie, path)


def test_commitment_tells_no_class_and_no_count_of_one() -> None:
    """Holdouts of one size give documents that differ in their root alone."""
    other = commit("h", SECRET, DIGESTS[::-1], ["rye"] * 5)
    first, second = json.loads(commit("h", SECRET, DIGESTS, LABELS)), json.loads(other)

    assert first.pop("root") != second.pop("root")
    assert first == second
    assert set(first) == {"type", "name", "scheme", "count"}


def test_root_without_the_secret_is_no_membership_test() -> None:
    """Another secret gives another root: knowing the tiles is not enough to check them."""
    assert commit("h", SECRET, DIGESTS, LABELS) != commit("h", bytes(32), DIGESTS, LABELS)

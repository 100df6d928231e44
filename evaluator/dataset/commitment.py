"""A public commitment to the holdout, which gives away nothing but its size.

Each tile is a leaf: the JCS (RFC 8785) text of {v, salt, name, sha256, label}, where

    salt    HMAC-SHA256(secret, "evaluator/holdout-salt/v1" || position as 8 bytes, big-endian)
    name    the tile's position in tiles.npy, six digits or more
    sha256  of its pixels as tiles.npy holds them

    target  the number to predict, where there is one; v is then 2, not 1

and the root is the RFC 6962 tree head over the leaves in order. The owner can later prove a
single tile and its label by its leaf and audit path, or everything by publishing the secret.
Without the salt a commitment to public imagery would be a membership test, and one to a
known tile a test of its label.
"""

import hmac
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache, reduce
from hashlib import sha256
from math import prod

import rfc8785

from evaluator import merkle
from evaluator.dataset.arrays import read_header
from evaluator.dataset.labels import read_labels
from evaluator.dataset.sealed import MAX_CLASSES, Dataset, Split
from evaluator.dataset.targets import read_targets
from evaluator.errors import OwnerError

TYPE = "https://submission-evaluator.example/holdout-commitment/v1"
SCHEME = "rfc6962-sha256/jcs-leaf/hmac-sha256-salt/v1"
SCHEME_WITH_TARGETS = "rfc6962-sha256/jcs-leaf/hmac-sha256-salt/v2"
_SALT = b"evaluator/holdout-salt/v1"


def salt(secret: bytes, position: int) -> bytes:
    """Return the salt of the leaf at `position`, 32 bytes."""
    return hmac.digest(secret, _SALT + position.to_bytes(8, "big"), "sha256")


def leaf(
    secret: bytes, position: int, digest: bytes, label: str, target: float | None = None
) -> bytes:
    """Return the leaf of one tile, before it is hashed; `digest` is the SHA-256 of its pixels."""
    text = (
        f'{{"label":{_jcs(label)},"name":"{position:06d}",'
        f'"salt":"{salt(secret, position).hex()}","sha256":"{digest.hex()}",'
    )
    # JCS puts names in order, and these are: a tenth of the time of sorting them for each tile
    return (text + ('"v":1}' if target is None else f'"target":{_jcs(target)},"v":2}}')).encode()


@lru_cache(MAX_CLASSES)
def _jcs(value: str | float) -> str:
    return rfc8785.dumps(value).decode()


def commit(
    name: str,
    secret: bytes,
    digests: Iterable[bytes],
    labels: Iterable[str],
    targets: Iterable[float] | None = None,
) -> bytes:
    """Return commitment.json for the holdout of these tiles, labels and targets, as JCS bytes."""
    tree = _Tree()
    columns = (digests, labels) if targets is None else (digests, labels, targets)
    for position, tile in enumerate(zip(*columns, strict=True)):
        tree.add(merkle.leaf_hash(leaf(secret, position, *tile)))
    return rfc8785.dumps(
        {
            "type": TYPE,
            "name": name,
            "scheme": SCHEME if targets is None else SCHEME_WITH_TARGETS,
            "count": tree.size,
            "root": tree.root().hex(),
        }
    )


class _Tree:
    """The tree head of leaves that come one by one, of which no more than log2(n) are kept."""

    def __init__(self) -> None:
        self.size = 0
        self._complete: list[bytes] = []  # one for each 1 bit of the size, the largest first

    def add(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        node, size = leaf, self.size
        while size & 1:
            node, size = merkle.node_hash(self._complete.pop(), node), size >> 1
        self._complete.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return what merkle.root says of the same leaves."""
        if not self.size:
            return merkle.EMPTY_ROOT
        return reduce(lambda right, left: merkle.node_hash(left, right), reversed(self._complete))


def check_commitment(dataset: Dataset) -> None:
    """Recompute the published commitment from tiles, labels and secret as they are now.

    The seal says that no file changed; this says that the files are those committed to.
    Raises OwnerError where they are not.
    """
    labels = read_labels(dataset.holdout, len(dataset.classes))
    secret = (dataset.folder / "secret").read_bytes()
    published = dataset.commitment.read_bytes()
    name = json.loads(published)["name"]
    names = (dataset.classes[label] for label in labels)
    targets = map(float, read_targets(dataset.holdout)) if dataset.holdout.targets else None
    if commit(name, secret, _digests(dataset.holdout), names, targets) != published:
        raise OwnerError(
            f"The holdout of version {dataset.version} is not the one that commitment.json "
            "commits to, so no result on it would be believed. Restore the version from a backup."
        )


def _digests(split: Split) -> Iterator[bytes]:
    with split.tiles.open("rb") as file:
        header = read_header(file, split.tiles)
        size = prod(header.shape[1:]) * header.dtype.itemsize
        for _ in range(split.size):
            yield sha256(file.read(size)).digest()

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
from collections.abc import Sequence
from hashlib import sha256
from math import prod

import rfc8785

from evaluator import merkle
from evaluator.dataset.arrays import read_header
from evaluator.dataset.sealed import Dataset, read_labels
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
    document: dict[str, str | int | float] = {
        "v": 1,
        "salt": salt(secret, position).hex(),
        "name": f"{position:06d}",
        "sha256": digest.hex(),
        "label": label,
    }
    if target is not None:
        document |= {"v": 2, "target": target}
    return rfc8785.dumps(document)


def commit(
    name: str,
    secret: bytes,
    digests: Sequence[bytes],
    labels: Sequence[str],
    targets: Sequence[float] | None = None,
) -> bytes:
    """Return commitment.json for the holdout of these tiles, labels and targets, as JCS bytes."""
    numbers: Sequence[float | None] = targets or [None] * len(labels)
    tiles = zip(digests, labels, numbers, strict=True)
    leaves = [
        merkle.leaf_hash(leaf(secret, position, *tile)) for position, tile in enumerate(tiles)
    ]
    return rfc8785.dumps(
        {
            "type": TYPE,
            "name": name,
            "scheme": SCHEME_WITH_TARGETS if targets else SCHEME,
            "count": len(leaves),
            "root": merkle.root(leaves).hex(),
        }
    )


def check_commitment(dataset: Dataset) -> None:
    """Recompute the published commitment from tiles, labels and secret as they are now.

    The seal says that no file changed; this says that the files are those committed to.
    Raises OwnerError where they are not.
    """
    labels = read_labels(dataset.holdout, len(dataset.classes))
    secret = (dataset.folder / "secret").read_bytes()
    published = dataset.commitment.read_bytes()
    with dataset.holdout.tiles.open("rb") as file:
        header = read_header(file, dataset.holdout.tiles)
        size = prod(header.shape[1:]) * header.dtype.itemsize
        digests = [sha256(file.read(size)).digest() for _ in labels]
    name = json.loads(published)["name"]
    names = [dataset.classes[label] for label in labels]
    targets = read_targets(dataset.holdout).tolist() if dataset.holdout.targets else None
    if commit(name, secret, digests, names, targets) != published:
        raise OwnerError(
            f"The holdout of version {dataset.version} is not the one that commitment.json "
            "commits to, so no result on it would be believed. Restore the version from a backup."
        )

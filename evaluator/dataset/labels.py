"""What a sealed dataset says of each tile beside its pixels: its class, and its group.

Apart from `sealed`, which a run needs before numpy is there.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluator.dataset.arrays import open_array, read_header
from evaluator.dataset.sealed import GROUP_BYTES, GROUPS, Split
from evaluator.errors import OwnerError


def read_labels(split: Split, classes: int) -> NDArray[np.uint8]:
    """Return the labels, (N,) uint8, each below `classes`.

    Raises OwnerError unless their number per class is exactly what the seal says.
    """
    with open_array(split.labels) as file:
        header = read_header(file, split.labels)
        labels = np.fromfile(file, np.uint8)
    plain = header.dtype == np.uint8 and header.shape == (split.size,)
    if not plain or np.bincount(labels, minlength=classes).tolist() != list(split.counts):
        raise OwnerError(
            f"{split.labels} does not hold the labels that were sealed. Restore it from a backup, "
            "or import the tiles again."
        )
    return labels


def read_groups(split: Split) -> list[bytes | None]:
    """Return the keyed digest of each tile's group, or None where it has none."""
    path = split.labels.parent / Path(GROUPS).name
    if not path.exists():
        return [None] * split.size
    with open_array(path) as file:
        header = read_header(file, path)
        rows = file.read()
    if header.dtype != np.uint8 or header.shape != (split.size, GROUP_BYTES):
        raise OwnerError(f"{path} is not what its seal describes. Import the tiles again.")
    groups = (rows[start : start + GROUP_BYTES] for start in range(0, len(rows), GROUP_BYTES))
    return [group if any(group) else None for group in groups]

"""What somebody would write who has no evaluator: tiles into arrays, in one process.

    python -m benchmarks.by_hand_import pillow|tifffile SOURCE TARGET

SOURCE has a folder for each class. Every tile is decoded and kept, they are shuffled and divided,
and each side is saved as tiles and labels with the SHA-256 of what was saved. Nothing is checked,
no tile is compared with another, and no statistics are taken.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

HELD_OUT = 0.2


def main(library: str, source: Path, target: Path) -> None:
    """Import the tiles of a folder."""
    decode = _pillow() if library == "pillow" else _tifffile()
    tiles, labels = [], []
    for label, folder in enumerate(sorted(source.iterdir())):
        for path in sorted(folder.iterdir()):
            tiles.append(decode(path))
            labels.append(label)
    order = list(range(len(tiles)))
    random.SystemRandom().shuffle(order)
    cut = round(len(order) * HELD_OUT)
    digests = {}
    for side, rows in {"holdout": order[:cut], "training": order[cut:]}.items():
        (target / side).mkdir(parents=True)
        np.save(target / side / "tiles.npy", np.stack([tiles[row] for row in rows]))
        np.save(target / side / "labels.npy", np.array([labels[row] for row in rows], np.uint8))
        for path in (target / side).iterdir():
            with path.open("rb") as file:
                digests[f"{side}/{path.name}"] = hashlib.file_digest(file, "sha256").hexdigest()
    (target / "seal.json").write_text(json.dumps(digests))


def _pillow() -> Callable[[Path], Any]:
    from PIL import Image  # noqa: PLC0415 - of two libraries the one that is used

    def decode(path: Path) -> Any:  # noqa: ANN401 - an array of any shape
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))

    return decode


def _tifffile() -> Callable[[Path], Any]:
    import tifffile  # noqa: PLC0415

    return tifffile.imread


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

"""The tiles to train on, and what challenge.json says of the owner's.

load(read_challenge())    (N, C, H, W) of the file's dtype, and a label or number for each

They are yours: tiles.npy and labels.npy beside this file, laid out as the contract has /input.
Without them some are drawn, so that everything can be tried: their light tells what they are.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SCALES = {"uint8": 1 / 255, "uint16": 1 / 10_000, "float32": 1.0}


@dataclass(frozen=True)
class Challenge:
    """What the owner publishes of the tiles: `outputs` numbers are asked of a model for each."""

    channels: int
    side: tuple[int, int]
    dtype: str
    outputs: int
    target_range: tuple[float, float] | None

    @property
    def scale(self) -> float:
        """What brings a pixel to 0 to 1, nearly."""
        return SCALES[self.dtype]


def read_challenge() -> Challenge:
    """Read challenge.json."""
    said = json.loads((HERE / "challenge.json").read_text())["tiles"]
    height, width, *bands = said["shape"]
    numbers = said["task"] == "regression"
    return Challenge(
        channels=bands[0] if bands else 1,
        side=(height, width),
        dtype=said["dtype"],
        outputs=1 if numbers else len(said["classes"]),
        target_range=tuple(said["range"]) if numbers else None,
    )


def load(challenge: Challenge) -> tuple[np.ndarray, np.ndarray]:
    """Your tiles, or drawn ones."""
    if not (HERE / "tiles.npy").exists():
        return _drawn(challenge)
    tiles, labels = np.load(HERE / "tiles.npy"), np.load(HERE / "labels.npy")
    return np.moveaxis(tiles.reshape(*tiles.shape[:3], -1), 3, 1), labels


def _drawn(challenge: Challenge, count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    shape = count, challenge.channels, *challenge.side
    light = random.random(count)
    if challenge.target_range:
        low, high = challenge.target_range
        labels = (low + (high - low) * light).astype(np.float32)
    else:
        labels = (light * challenge.outputs).astype(np.uint8)
        light = (labels + 0.5) / challenge.outputs
    pixels = 0.8 * light[:, None, None, None] + 0.2 * random.random(shape)
    return (pixels / challenge.scale).astype(challenge.dtype), labels

"""Tiles as the model takes them: by the runner's own code, so training sees what predict sees."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from classifier import Classifier
from numpy.typing import NDArray


class Echo:
    """Stands in for a session and hands back what it was given."""

    def run(self, _outputs: None, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The one input, a copy: the buffer is used again."""
        return [np.array(next(iter(feed.values())))]


def preparer(classifier: Classifier, most: int) -> Classifier:
    """Its `run` turns up to `most` tiles (n, H, W, C) into the model's input."""
    buffer = classifier.buffer
    if not classifier.fixed:
        buffer = np.zeros((most, *buffer.shape[1:]), buffer.dtype)
    return dataclasses.replace(classifier, session=Echo(), buffer=buffer)


def pieces(classifier: Classifier, count: int, most: int) -> Iterator[slice]:
    """`count` tiles in pieces that the model takes at once."""
    size = len(classifier.buffer) if classifier.fixed else most
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def synthetic(manifest: dict[str, Any], count: int) -> NDArray[Any]:
    """(count, H, W, C) tiles of noise in the range that tiles of their type have."""
    rng = np.random.default_rng(0)
    shape = (count, *manifest["shape"][:2], manifest["bands"])
    if manifest["dtype"] == "float32":
        return rng.random(shape, np.float32)
    most = {"uint8": 256, "uint16": 10_000}[manifest["dtype"]]
    return rng.integers(0, most, shape).astype(manifest["dtype"])

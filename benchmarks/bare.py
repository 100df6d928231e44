"""What a user would do with no wall: onnxruntime on an array of tiles, in a process of its own.

    python -m benchmarks.bare MODEL TILES.npy LABELS.npy PREDICTIONS BATCH THREADS
    python -m benchmarks.bare MODEL TILES.npy SECONDS    look for the best batch and threads

The first form loads the model, predicts all grey tiles, writes a byte for each and prints the
accuracy. The second tries each setting for so many seconds, twice, and prints the better tiles a
second as JSON: [[batch, threads, speed], ...].
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCHES, THREADS = (32, 64, 128), (1, 2)
ROUNDS = 2  # of each setting; its best counts


def load(model: str, threads: int) -> ort.InferenceSession:
    """A session on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def predict(
    session: ort.InferenceSession, tiles: NDArray[np.uint8], batch: int
) -> NDArray[np.uint8]:
    """The class of each tile, a batch at a time."""
    (taken,) = session.get_inputs()
    classes = np.empty(len(tiles), np.uint8)
    for start in range(0, len(tiles), batch):
        pixels = tiles[start : start + batch, None].astype(np.float32)
        classes[start : start + batch] = session.run(None, {taken.name: pixels})[0].argmax(1)
    return classes


def search(model: str, tiles: NDArray[np.uint8], seconds: float) -> list[tuple[int, int, float]]:
    """Tiles a second of every batch and number of threads, taken in turn."""
    sessions = {threads: load(model, threads) for threads in THREADS}
    best: dict[tuple[int, int], float] = {}
    for _ in range(ROUNDS):
        for threads, session in sessions.items():
            for batch in BATCHES:
                speed = _speed(session, tiles[:batch], seconds)
                best[batch, threads] = max(speed, best.get((batch, threads), 0.0))
    return [(batch, threads, speed) for (batch, threads), speed in best.items()]


def _speed(session: ort.InferenceSession, tiles: NDArray[np.uint8], seconds: float) -> float:
    """Predict one batch over and over; the first time is not counted."""
    predict(session, tiles, len(tiles))
    begun, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds:
        done += len(predict(session, tiles, len(tiles)))
    return done / passed


def main() -> None:
    """Either form."""
    model, tiles = sys.argv[1], np.load(sys.argv[2], mmap_mode="r")
    if len(sys.argv) == 4:
        print(json.dumps(search(model, tiles, float(sys.argv[3]))))  # noqa: T201 - what the caller reads
        return
    labels, target, batch, threads = sys.argv[3:]
    predicted = predict(load(model, int(threads)), tiles, int(batch))
    predicted.tofile(target)
    print(f"accuracy {(predicted == np.load(labels)).mean():.3f}")  # noqa: T201 - the user's result


if __name__ == "__main__":
    main()

"""What is to be learnt of each tile: its class, or a number, with its class beside it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shift:
    """Mean and deviation of the numbers: what they are standardised by, so that 1 is much."""

    mean: float
    deviation: float

    def standard(self, numbers: NDArray[np.float32]) -> F64:
        """Numbers of mean 0 and deviation 1."""
        return (numbers.astype(np.float64) - self.mean) / self.deviation

    def inwards(self, matrix: F64) -> F64:
        """(D + 1, K) weights of a last layer as those that give standardised numbers."""
        inner = matrix / self.deviation
        inner[-1] -= self.mean / self.deviation
        return inner

    def outwards(self, matrix: F64) -> F64:
        """The reverse: the standardisation folded into the layer."""
        outer = matrix * self.deviation
        outer[-1] += self.mean
        return outer


@dataclass(frozen=True, slots=True)
class Answers:
    """(N,) classes, and where numbers are to be learnt, (N,) of them."""

    labels: NDArray[np.uint8]
    numbers: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """How many tiles."""
        return len(self.labels)

    def take(self, rows: NDArray[np.int64] | slice) -> "Answers":
        """Those of some tiles."""
        return Answers(self.labels[rows], None if self.numbers is None else self.numbers[rows])

    def accuracy(self, found: float) -> float:
        """What progress says of a quality that was found: numbers have no accuracy."""
        return found if self.numbers is None else -1.0

    def shift(self, *, bias: bool = True) -> Shift:
        """Of these numbers; without a bias to take the mean up, they are scaled only."""
        if self.numbers is None:
            return Shift(0.0, 1.0)
        numbers = self.numbers.astype(np.float64)
        mean = float(numbers.mean()) if bias else 0.0
        deviation = float(np.sqrt(np.square(numbers - mean).mean()))
        return Shift(mean, deviation if deviation > 1e-12 * max(1.0, abs(mean)) else 1.0)


def read_answers(inputs: Path, *, numbers: bool) -> Answers:
    """As the contract has them: labels.npy, and crops.npy where that holds numbers."""
    labels = np.load(inputs / "labels.npy", allow_pickle=False)
    if not numbers:
        return Answers(labels)
    return Answers(np.load(inputs / "crops.npy", allow_pickle=False), labels)


def synthetic_answers(count: int, classes: int, *, numbers: bool) -> Answers:
    """Classes in turn, and numbers in turn, where there are no tiles to look at."""
    labels = (np.arange(count) % classes).astype(np.uint8)
    return Answers(labels, (np.arange(count) % 7).astype(np.float32) if numbers else None)

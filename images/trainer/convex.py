"""Linear fits with an L2 penalty: one minimum, found by L-BFGS in float64.

The loss is the mean of the weighted cross entropies (multinomial logistic regression), or of half
the weighted squared errors (ridge regression), plus strength / 2 * |W - centre|^2; biases are not
penalised. Features are standardised first, and the weights turned back afterwards.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
CHUNK = 8192  # rows that are float64 at a time
MEMORY = 10  # steps that L-BFGS remembers
ITERATIONS = 80
FLAT = 1e-4  # a gradient below this share of the first is none
LEVEL = 1e-5  # the share of the loss by which a step must lower it

Objective = Callable[[F64], tuple[float, F64]]


@dataclass(frozen=True, slots=True)
class Examples:
    """Standardised features (N, D) float32, targets (N, K) and weights (N,) float64.

    `squared`: targets are numbers, and not shares of classes.
    """

    features: NDArray[np.float32]
    targets: F64
    weights: F64
    squared: bool = False

    def objective(self, strength: float, centre: F64, *, bias: bool) -> Objective:
        """The loss and its gradient, of (D + 1, K) weights whose last row are the biases."""
        share = self.weights / self.weights.sum()

        def evaluate(flat: F64) -> tuple[float, F64]:
            matrix = flat.reshape(centre.shape)
            loss, gradient = 0.0, np.zeros_like(matrix)
            for start in range(0, len(self.features), CHUNK):
                rows = slice(start, start + CHUNK)
                taken = self.features[rows].astype(np.float64)
                scores = taken @ matrix[:-1] + matrix[-1]
                if self.squared:
                    away = scores - self.targets[rows]
                    loss += float(share[rows] @ np.square(away).sum(1)) / 2
                else:
                    logs = log_softmax(scores)
                    loss -= float(share[rows] @ (self.targets[rows] * logs).sum(1))
                    away = np.exp(logs) - self.targets[rows]
                miss = away * share[rows, None]
                gradient[:-1] += taken.T @ miss
                gradient[-1] += miss.sum(0) if bias else 0
            pull = matrix[:-1] - centre[:-1]
            gradient[:-1] += strength * pull
            return loss + strength / 2 * float((pull * pull).sum()), gradient.reshape(-1)

        return evaluate


def log_softmax(scores: F64) -> F64:
    """Row by row."""
    scores = scores - scores.max(1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))


def minimise(objective: Objective, start: F64, iterations: int = ITERATIONS) -> F64:
    """L-BFGS with a backtracking line search (Nocedal and Wright, algorithms 7.4 and 3.1)."""
    point = start.copy()
    value, gradient = objective(point)
    goal = FLAT * max(1e-12, float(np.abs(gradient).max()))
    pairs: deque[tuple[F64, F64]] = deque(maxlen=MEMORY)
    for _ in range(iterations):
        if float(np.abs(gradient).max()) <= goal:
            break
        direction = -two_loops(gradient, pairs)
        slope = float(direction @ gradient)
        step = 1.0 if pairs else 1 / max(1.0, float(np.abs(gradient).sum()))
        while True:
            fresh = point + step * direction
            fresh_value, fresh_gradient = objective(fresh)
            if fresh_value <= value + 1e-4 * step * slope:
                break
            step /= 2
            if step < 1e-10:  # as low as float64 can tell
                return point
        moved, turned = fresh - point, fresh_gradient - gradient
        if float(moved @ turned) > 1e-12 * float(turned @ turned):
            pairs.append((moved, turned))
        gained = value - fresh_value
        point, value, gradient = fresh, fresh_value, fresh_gradient
        if gained < LEVEL * abs(value):
            break
    return point


def two_loops(gradient: F64, pairs: deque[tuple[F64, F64]]) -> F64:
    """The inverse Hessian, as the remembered steps suggest it, times the gradient."""
    result = gradient.copy()
    shares = []
    for moved, turned in reversed(pairs):
        share = float(moved @ result) / float(moved @ turned)
        shares.append(share)
        result -= share * turned
    if pairs:
        moved, turned = pairs[-1]
        result *= float(moved @ turned) / float(turned @ turned)
    for (moved, turned), share in zip(pairs, reversed(shares), strict=True):
        result += (share - float(turned @ result) / float(moved @ turned)) * moved
    return result


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and deviation (D,) of the features."""

    mean: F64
    deviation: F64

    def standardised(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) float32, of mean 0 and deviation 1."""
        result = np.empty(features.shape, np.float32)
        for start in range(0, len(features), CHUNK):
            rows = slice(start, start + CHUNK)
            result[rows] = (features[rows] - self.mean) / self.deviation
        return result

    def inwards(self, matrix: F64) -> F64:
        """(D + 1, K) weights of raw features as those of standardised ones."""
        scaled = matrix[:-1] * self.deviation[:, None]
        return np.vstack([scaled, matrix[-1] + self.mean @ matrix[:-1]])

    def outwards(self, matrix: F64) -> F64:
        """The reverse."""
        raw = matrix[:-1] / self.deviation[:, None]
        return np.vstack([raw, matrix[-1] - self.mean @ raw])


def scaling(features: NDArray[np.float32], *, bias: bool) -> Scaling:
    """Of these features; without a bias to take the shift up, they are scaled only."""
    mean = features.mean(0, dtype=np.float64)
    square = np.zeros_like(mean)
    for start in range(0, len(features), CHUNK):
        square += np.square(features[start : start + CHUNK] - mean).sum(0)
    deviation = np.sqrt(square / len(features))
    still = deviation <= 1e-6 * (np.abs(mean) + 1e-6)
    return Scaling(mean if bias else mean * 0, np.where(still, 1.0, deviation))

"""Scoring: from labels and predictions to every figure of a result, against scikit-learn.

"evaluator" checks the predictions' bytes, counts, rounds to the published grid, and derives every
figure with its 95 % interval: all that stands between what a container wrote and what is signed.
"scikit-learn" is what one would write instead: `confusion_matrix`, `recall_score` of each class and
`accuracy_score` of the same arrays, without any interval. Both in this process, on the same nine
classes, of which 80 % are predicted right; imports are not counted, on either side. The intervals
of the evaluator are kept between runs of one process, so they are forgotten before every run.

Below it the same for predicted numbers: exact sums of errors in whole numbers, to RMSE, MAE, bias
and R2 with their intervals, against `mean_squared_error`, `mean_absolute_error` and `r2_score`,
which add up floating point numbers. There is no target for these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import Comparison, Target, median, timed
from evaluator import error_figures, regression, scoring
from evaluator.predictions import read_numbers, read_predictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.measure import Bench

CLASSES = tuple("ABCDEFGHI")
RARE = CLASSES[-2:]
GRID = regression.ErrorGrid.of((0.0, 12.0), 0.01, 0.1, 100)


def measure(bench: Bench) -> None:
    """5,000 and 5,000,000 predictions of classes, then of numbers."""
    few, many = (500, 5000) if bench.smoke else (5000, 5_000_000)
    _classes(bench, few)
    _classes(bench, many, Target("evaluator", "scikit-learn", 1 / 20))
    taken = median(bench.found[-1]["ways"]["evaluator"])
    bench.limit(f"Scoring {many:,} predicted classes: evaluator", 1000 * taken, 50, "ms")
    for tiles in (500,) if bench.smoke else (5000, 5_000_000):
        _numbers(bench, tiles)


def _classes(bench: Bench, tiles: int, *targets: Target) -> None:
    random = np.random.default_rng(7)
    labels = random.integers(0, len(CLASSES), tiles, np.uint8)
    guesses = random.integers(0, len(CLASSES), tiles, np.uint8)
    predictions = np.where(random.random(tiles) < 0.8, labels, guesses).tobytes()
    bench.compare(
        Comparison(
            name=f"scoring-{tiles}",
            title=f"Scoring {tiles:,} predicted classes",
            ways={
                "evaluator": lambda: timed(_ours(labels, predictions)),
                "scikit-learn": lambda: timed(_theirs(labels, predictions)),
            },
            against="scikit-learn",
            targets=targets,
        )
    )


def _ours(labels: NDArray[np.uint8], raw: bytes) -> Callable[[], object]:
    """From a container's bytes to the figures."""
    scoring.wilson.cache_clear()

    def score() -> scoring.Figures:
        predictions = read_predictions(raw, len(labels), len(CLASSES))
        counts = scoring.count(labels, predictions, CLASSES, RARE)
        known = scoring.Holdout(counts.total, CLASSES, RARE, counts.class_sizes)
        return scoring.derive(scoring.publish(counts, scoring.Grid()), scoring.Grid(), known)

    return score


def _theirs(labels: NDArray[np.uint8], raw: bytes) -> Callable[[], object]:
    from sklearn.metrics import accuracy_score, confusion_matrix, recall_score  # noqa: PLC0415

    predictions = np.frombuffer(raw, np.uint8)
    return lambda: (
        confusion_matrix(labels, predictions),
        recall_score(labels, predictions, average=None),
        accuracy_score(labels, predictions),
    )


def _numbers(bench: Bench, tiles: int) -> None:
    random = np.random.default_rng(7)
    labels = random.integers(0, len(CLASSES), tiles, np.uint8)
    targets = (random.random(tiles) * 12).astype(np.float32)
    predictions = (targets + random.normal(0, 1, tiles)).astype("<f4").tobytes()
    bench.compare(
        Comparison(
            name=f"scoring-numbers-{tiles}",
            title=f"Scoring {tiles:,} predicted numbers",
            ways={
                "evaluator": lambda: timed(_our_errors(labels, targets, predictions)),
                "scikit-learn": lambda: timed(_their_errors(targets, predictions)),
            },
            against="scikit-learn",
        )
    )


def _our_errors(
    labels: NDArray[np.uint8], targets: NDArray[np.float32], raw: bytes
) -> Callable[[], object]:
    def score() -> object:
        predictions = read_numbers(raw, len(labels))
        errors = regression.measure(labels, targets, predictions, CLASSES, RARE)
        sizes = tuple(crop.tiles for crop in errors.crops)
        known = scoring.Holdout(len(labels), CLASSES, RARE, sizes)
        return error_figures.derive(regression.publish(errors, GRID), GRID, known)

    return score


def _their_errors(targets: NDArray[np.float32], raw: bytes) -> Callable[[], object]:
    from sklearn import metrics  # noqa: PLC0415

    predictions = np.frombuffer(raw, "<f4")
    return lambda: (
        metrics.mean_squared_error(targets, predictions),
        metrics.mean_absolute_error(targets, predictions),
        metrics.r2_score(targets, predictions),
    )

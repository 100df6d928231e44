"""Whether the executor computes what onnxruntime computes."""

from typing import Any

import numpy as np
import torch
from classifier import Classifier
from executor import Executor
from graph import Graph
from inputs import preparer
from numpy.typing import NDArray
from verdicts import UntrainableError, Verdict

# Of the largest score. Most networks come within 1e-6; deep ones with large activations round to
# 4e-5 (EfficientNet-B0 on weights gone wild), and a wrong operator is off by far more.
TOLERANCE = 1e-4
LEAST = 1e-3  # a scale below this is noise


def difference(
    executor: Executor, classifier: Classifier, tiles: NDArray[Any]
) -> tuple[float, float]:
    """The greatest between onnxruntime's output and ours in float32 on the CPU, and the scale."""
    theirs = np.asarray(classifier.run(tiles))
    images = torch.from_numpy(preparer(classifier, len(tiles)).run(tiles))
    with torch.no_grad():
        ours = executor(images).numpy()
    if theirs.shape != ours.shape or not np.isfinite(theirs).all():
        return float("inf"), 1.0
    return float(np.abs(theirs - ours).max()), float(np.abs(theirs).max())


def require_equal(graph: Graph, classifier: Classifier, tiles: NDArray[Any]) -> float:
    """The greatest difference; UntrainableError where it is more than rounding."""
    found, scale = difference(Executor(graph), classifier, tiles)
    if not found <= TOLERANCE * max(scale, LEAST):
        words = f"differs from onnxruntime by {found} of {scale}"
        raise UntrainableError(Verdict.FORWARD_DIFFERS, words, found=found)
    return found

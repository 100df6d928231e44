"""The convex fit reaches the minimum that scikit-learn reaches."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.images.trainer.conftest import load

convex = load("convex")
RNG = np.random.default_rng(8)
FEATURES = (RNG.standard_normal((400, 6)) * [1, 2, 5, 0.1, 1, 1] + [0, 1, 9, 0, 0, 0]).astype(
    np.float32
)
LABELS = (FEATURES @ RNG.standard_normal((6, 3)) + RNG.standard_normal((400, 3))).argmax(1)


def examples(features: np.ndarray = FEATURES) -> object:
    """With one target for each row."""
    return convex.Examples(features, np.eye(3)[LABELS], np.ones(len(features)))


@pytest.mark.parametrize("strength", [1.0, 0.1, 0.01])
def test_the_minimum_is_scikit_learns(strength: float) -> None:
    """The same probabilities to four digits, whatever the start."""
    theirs = LogisticRegression(C=1 / (strength * len(LABELS)), tol=1e-8, max_iter=5000)
    theirs.fit(FEATURES.astype(np.float64), LABELS)
    centre = np.zeros((7, 3))
    for start in (np.zeros(21), RNG.standard_normal(21)):
        objective = examples().objective(strength, centre, bias=True)  # type: ignore[attr-defined]
        flat = convex.minimise(objective, start, 500)
        matrix = flat.reshape(7, 3)
        ours = np.exp(convex.log_softmax(FEATURES @ matrix[:-1] + matrix[-1]))
        np.testing.assert_allclose(ours, theirs.predict_proba(FEATURES), atol=0.02)
        best = objective(np.vstack([theirs.coef_.T, theirs.intercept_]).reshape(-1))[0]
        assert objective(flat)[0] <= best + 1e-4


def test_the_gradient_is_the_losss() -> None:
    """As finite differences have it."""
    objective = examples().objective(0.3, np.ones((7, 3)), bias=True)  # type: ignore[attr-defined]
    point = RNG.standard_normal(21) * 0.1
    _, gradient = objective(point)
    for at in range(21):
        nudge = np.eye(21)[at] * 1e-6
        slope = (objective(point + nudge)[0] - objective(point - nudge)[0]) / 2e-6
        assert slope == pytest.approx(gradient[at], abs=1e-5)


def test_a_layer_without_a_bias_gets_none() -> None:
    """Its bias stays where it was: at zero."""
    objective = examples().objective(0.1, np.zeros((7, 3)), bias=False)  # type: ignore[attr-defined]
    assert (convex.minimise(objective, np.zeros(21)).reshape(7, 3)[-1] == 0).all()


def test_a_strong_pull_ends_at_the_centre() -> None:
    """There the vendor's weights are."""
    centre = RNG.standard_normal((7, 3))
    objective = examples().objective(1e6, centre, bias=True)  # type: ignore[attr-defined]
    found = convex.minimise(objective, centre.reshape(-1)).reshape(7, 3)
    np.testing.assert_allclose(found[:-1], centre[:-1], atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_standardised_weights_score_as_raw_ones(bias: bool) -> None:  # noqa: FBT001 - a row of the table
    """Inwards and outwards are each other's reverse; a feature that never moves is no trouble."""
    features = FEATURES.copy()
    features[:, 4] = 7
    scale = convex.scaling(features, bias=bias)
    matrix = RNG.standard_normal((7, 3))
    inner = scale.inwards(matrix)
    ours = scale.standardised(features) @ inner[:-1] + inner[-1]
    np.testing.assert_allclose(ours, features @ matrix[:-1] + matrix[-1], atol=1e-3)
    np.testing.assert_allclose(scale.outwards(inner), matrix, atol=1e-9)

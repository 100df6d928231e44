"""The convex fit reaches the minimum that scikit-learn reaches."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

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


@pytest.mark.parametrize("strength", [1.0, 0.1, 0.001])
@pytest.mark.parametrize("bias", [True, False])
def test_squared_errors_reach_the_minimum_of_ridge_regression(
    strength: float, *, bias: bool
) -> None:
    """scikit-learn's alpha is strength times n; it does not penalise the intercept either."""
    wanted = FEATURES @ [0.5, -1, 0.2, 3, 0, 1] + RNG.standard_normal(400)
    theirs = Ridge(alpha=strength * len(wanted), fit_intercept=bias)
    theirs.fit(FEATURES.astype(np.float64), wanted)
    made = convex.Examples(FEATURES, wanted[:, None], np.ones(400), squared=True)
    objective = made.objective(strength, np.zeros((7, 1)), bias=bias)

    flat = convex.minimise(objective, np.zeros(7), 500)

    best = objective(np.append(theirs.coef_, theirs.intercept_))[0]
    assert objective(flat)[0] <= best * (1 + 1e-4)
    point = RNG.standard_normal(7)
    point[-1] *= bias
    _, gradient = objective(point)
    for at in range(7 if bias else 6):
        nudge = np.eye(7)[at] * 1e-6
        slope = (objective(point + nudge)[0] - objective(point - nudge)[0]) / 2e-6
        assert slope == pytest.approx(gradient[at], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_standardised_numbers_fold_back_into_the_layer(*, bias: bool) -> None:
    """Outwards and inwards are each other's reverse, and the layer gives the numbers themselves."""
    answers = load("answers")
    numbers = (6000 + 900 * RNG.standard_normal(50)).astype(np.float32)
    shift = answers.Answers(np.zeros(50, np.uint8), numbers).shift(bias=bias)
    matrix, rows = RNG.standard_normal((7, 1)), RNG.standard_normal((50, 6))
    inner = shift.inwards(matrix)

    np.testing.assert_allclose(shift.outwards(inner), matrix, rtol=1e-9)
    raw, standard = (rows @ m[:-1] + m[-1] for m in (matrix, inner))
    np.testing.assert_allclose(shift.standard(raw), standard, rtol=1e-9)
    assert (shift.mean == 0) != bias
    np.testing.assert_allclose(np.square(shift.standard(numbers)).mean(), 1, rtol=1e-6)

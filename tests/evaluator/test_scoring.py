"""Counts against scikit-learn, rounding and intervals against their definitions."""

from dataclasses import asdict, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import hypot

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    recall_score,
)

from evaluator.errors import OwnerError
from evaluator.scoring import (
    CHUNK,
    Counts,
    Grid,
    Holdout,
    Published,
    count,
    counts_of,
    derive,
    difference,
    newcombe,
    publish,
    rounded,
    wilson,
)

CLASSES = ("barley", "maize", "pea", "rye")
RARE = ("rye", "maize")
Labels = NDArray[np.uint8]


def case(seed: int, tiles: int = 500) -> tuple[Labels, Labels]:
    """Labels with every class present, and predictions of a model that is mostly right."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(4), random.choice(4, tiles - 4, p=[0.6, 0.1, 0.25, 0.05])])
    guesses = random.integers(0, 4, tiles)
    predictions = np.where(random.random(tiles) < 0.8, labels, guesses)
    return labels.astype(np.uint8), predictions.astype(np.uint8)


def holdout(counts: Counts, *, sizes: bool = True) -> Holdout:
    """Return what is published of the holdout that was counted."""
    return Holdout(counts.total, counts.classes, counts.rare, counts.class_sizes if sizes else None)


@st.composite
def counted(draw: st.DrawFn) -> Counts:
    """Any table of counts in which every class has a tile."""
    row = st.lists(st.integers(0, 30), min_size=4, max_size=4).filter(any)
    table = draw(st.lists(row, min_size=4, max_size=4))
    return Counts(CLASSES, RARE, tuple(map(tuple, table)))


@pytest.mark.parametrize("seed", range(5))
def test_counts_agree_with_scikit_learn(seed: int) -> None:
    """The exact counts are those of the field's standard library."""
    labels, predictions = case(seed)
    rare = np.isin(labels, [1, 3])

    counts = count(labels, predictions, CLASSES, RARE)

    assert np.array_equal(counts.confusion, confusion_matrix(labels, predictions))
    assert counts.correct == accuracy_score(labels, predictions, normalize=False)
    assert counts.rare_total == rare.sum()
    assert counts.rare_correct == accuracy_score(labels[rare], predictions[rare], normalize=False)


@pytest.mark.parametrize("seed", range(5))
def test_figures_lie_within_half_a_step_of_scikit_learn(seed: int) -> None:
    """Rounding moves a published figure by half a step, and a mean of them by no more."""
    labels, predictions = case(seed)
    rare = np.isin(labels, [1, 3])
    counts, grid = count(labels, predictions, CLASSES, RARE), Grid()

    figures = derive(publish(counts, grid), grid, holdout(counts))

    recalls = recall_score(labels, predictions, average=None)
    step, fine = 0.005 + 1e-9, 0.0005 + 1e-9
    on_rare = accuracy_score(labels[rare], predictions[rare])
    balanced = balanced_accuracy_score(labels, predictions)
    mean = step + 0.00005
    assert figures.accuracy == pytest.approx(accuracy_score(labels, predictions), abs=fine)
    assert figures.rare_accuracy == pytest.approx(on_rare, abs=fine)
    assert list(figures.recall.values()) == pytest.approx(recalls, abs=step)
    assert figures.macro_recall == pytest.approx(balanced, abs=mean)
    assert figures.rare_recall == pytest.approx(recalls[[1, 3]].mean(), abs=mean)


def test_hand_counted_case_is_published_exactly() -> None:
    """Four classes of 8, 4, 4 and 4 tiles, worked out on paper."""
    table = ((7, 1, 0, 0), (0, 2, 2, 0), (1, 0, 3, 0), (0, 0, 0, 4))
    counts = Counts(CLASSES, RARE, table)

    published = publish(counts, Grid())

    assert published == Published(accuracy=800, recall=(88, 50, 75, 100), rare_accuracy=750)
    figures = derive(published, Grid(), holdout(counts))
    assert figures.recall == {"barley": 0.88, "maize": 0.5, "pea": 0.75, "rye": 1.0}
    assert figures.macro_recall == 0.7825
    assert figures.rare_recall == 0.75


@pytest.mark.parametrize(
    ("numerator", "denominator", "nearest"),
    [(1, 2, 1), (3, 2, 2), (5, 2, 3), (1, 3, 0), (2, 3, 1), (0, 7, 0), (7, 7, 1)],
)
def test_halves_are_rounded_up(numerator: int, denominator: int, nearest: int) -> None:
    """Python's own round would take a half to the even neighbour."""
    assert rounded(numerator, denominator) == nearest


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_rounding_moves_by_at_most_half(numerator: int, denominator: int) -> None:
    """Law of rounding half up: within half, and a half goes up."""
    error = rounded(numerator, denominator) - Fraction(numerator, denominator)

    assert Fraction(-1, 2) < error <= Fraction(1, 2)


@pytest.mark.parametrize("tiles", [1, 3, 19, 20, 21, 40, 50])
def test_counts_of_inverts_rounding(tiles: int) -> None:
    """Each count belongs to exactly the step it is published as."""
    for steps in (1, 5, 20, 100):
        found = {c: step for step in range(steps + 1) for c in counts_of(step, steps, tiles)}
        assert found == {c: rounded(c * steps, tiles) for c in range(tiles + 1)}


@pytest.mark.parametrize(("right", "tiles"), [(0, 7), (7, 7), (1, 2), (82, 100), (4321, 5000)])
def test_interval_agrees_with_scipy(right: int, tiles: int) -> None:
    """The Wilson interval is scipy's, rounded to four decimals."""
    theirs = binomtest(right, tiles).proportion_ci(0.95, method="wilson")

    ours = wilson(right, tiles, tiles)

    assert ours == (round(float(theirs.low), 4), round(float(theirs.high), 4))


@given(st.integers(0, 1000), st.integers(1, 10**6))
def test_interval_holds_its_proportion(step: int, tiles: int) -> None:
    """0 <= low <= p <= high <= 1, give or take the rounding."""
    low, high = wilson(step, 1000, tiles)

    assert 0 <= low <= step / 1000 + 0.00005
    assert step / 1000 - 0.00005 <= high <= 1


@given(counted())
def test_every_figure_is_a_share_of_four_decimals(counts: Counts) -> None:
    """All figures lie in [0, 1] and print as decimals of at most four places."""
    figures = asdict(derive(publish(counts, Grid()), Grid(), holdout(counts)))
    values = [
        *[figures[name] for name in ("accuracy", "macro_recall", "rare_accuracy", "rare_recall")],
        *figures["accuracy_interval"],
        *figures["rare_accuracy_interval"],
        *figures["recall"].values(),
        *[end for interval in figures["recall_interval"].values() for end in interval],
    ]

    assert all(0 <= value <= 1 for value in values)
    assert all(len(repr(value)) <= len("0.1234") for value in values)


@given(counted(), counted())
def test_nothing_but_the_published_steps_shows(one: Counts, other: Counts) -> None:
    """Whatever the exact counts, the same steps over the same sizes give the same figures."""
    grid = Grid(accuracy=2, recall=1, rare_accuracy=1)
    alike = publish(one, grid) == publish(other, grid)
    facts = holdout(one)

    figures = [derive(publish(counts, grid), grid, facts) for counts in (one, other)]

    assert (figures[0] == figures[1]) == alike


@given(st.integers(0, 2**32), st.permutations(range(40)))
def test_order_of_tiles_changes_nothing(seed: int, order: list[int]) -> None:
    """Tiles are numbered by a secret shuffle, so no figure may depend on it."""
    labels, predictions = case(seed, 40)

    assert count(labels, predictions, CLASSES, RARE) == count(
        labels[order], predictions[order], CLASSES, RARE
    )


@given(st.integers(0, 2**32), st.integers(1, 39))
def test_counts_add_over_any_split(seed: int, cut: int) -> None:
    """The counts of two parts sum to those of the whole."""
    labels, predictions = case(seed, 40)
    every = np.arange(4, dtype=np.uint8)  # one right tile a class, so that no part lacks one

    def table(part: slice) -> NDArray[np.int64]:
        joined = [np.concatenate([every, side[part]]) for side in (labels, predictions)]
        return np.array(count(joined[0], joined[1], CLASSES, RARE).confusion)

    parts = table(slice(cut)) + table(slice(cut, None))

    assert np.array_equal(parts - np.eye(4, dtype=np.int64), table(slice(None)))


def test_counts_of_the_most_classes_over_several_chunks_agree_with_scikit_learn() -> None:
    """256 classes fill the number that a pair of them is counted as."""
    random = np.random.default_rng(0)
    labels, predictions = random.integers(0, 256, (2, 2 * CHUNK + 7), np.uint8)

    counts = count(labels, predictions, [str(name) for name in range(256)], ["255"])

    assert np.array_equal(counts.confusion, confusion_matrix(labels, predictions))


def test_labels_and_predictions_of_different_lengths_are_no_counts() -> None:
    """Also where one is of a whole number of chunks."""
    with pytest.raises(ValueError, match="too many values"):
        count(np.zeros(CHUNK, np.uint8), np.zeros(CHUNK + 1, np.uint8), ["rye"], ["rye"])


def test_class_without_a_tile_is_an_error() -> None:
    """A recall of 0/0 is reported, with the name of the class, never published as 0."""
    labels = np.array([0, 0, 1, 3], dtype=np.uint8)

    with pytest.raises(OwnerError, match="no tile of pea"):
        count(labels, labels, CLASSES, RARE)


def test_no_rare_class_is_an_error() -> None:
    """Accuracy over no tiles is not 0 either."""
    labels = np.arange(4, dtype=np.uint8)

    with pytest.raises(OwnerError, match="No class is rare"):
        count(labels, labels, CLASSES, ())


@pytest.mark.parametrize("steps", [0, -1, 3, 7, 20_000])
def test_grid_without_exact_decimals_is_an_error(steps: int) -> None:
    """Thirds cannot be printed exactly."""
    with pytest.raises(OwnerError, match="exact decimals"):
        Grid(recall=steps)


def test_unpublished_class_sizes_leave_no_trace() -> None:
    """Intervals that would betray a class's size are left out; the rest stays the same."""
    labels, predictions = case(1)
    counts, grid = count(labels, predictions, CLASSES, RARE), Grid()
    published = publish(counts, grid)

    bare = derive(published, grid, holdout(counts, sizes=False))
    full = derive(published, grid, holdout(counts))

    assert bare.recall_interval is None
    assert bare.rare_accuracy_interval is None
    assert bare.accuracy_interval == full.accuracy_interval
    assert bare.recall == full.recall


def test_interval_narrows_with_more_tiles() -> None:
    """The same accuracy over more tiles is a firmer claim."""
    widths = [high - low for low, high in (wilson(800, 1000, n) for n in (10, 100, 1000, 10_000))]

    assert all(wider > narrower for wider, narrower in pairwise(widths))


# What was gained


def newcombe_by_scipy(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """Method 10 for second - first, each (right, tiles), from scipy's Wilson intervals."""
    shares = [right / tiles for right, tiles in (first, second)]
    ends = [
        binomtest(right, tiles).proportion_ci(0.95, method="wilson")
        for right, tiles in (first, second)
    ]
    gained = shares[1] - shares[0]
    below = hypot(shares[1] - ends[1].low, ends[0].high - shares[0])
    above = hypot(ends[1].high - shares[1], shares[0] - ends[0].low)
    return gained - below, gained + above


PUBLISHED = [
    # R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890, Table II, method 10.
    ((56, 70), (48, 80), 0.0524, 0.3339),
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((6, 7), (2, 7), 0.0582, 0.8062),
    ((5, 56), (0, 29), -0.0381, 0.1926),
    ((0, 10), (0, 20), -0.1611, 0.2775),
    ((0, 10), (0, 10), -0.2775, 0.2775),
    ((10, 10), (0, 20), 0.6791, 1.0),
    ((10, 10), (0, 10), 0.6075, 1.0),
]


@pytest.mark.parametrize(("larger", "smaller", "low", "high"), PUBLISHED)
def test_the_interval_of_a_gain_is_the_published_one(
    larger: tuple[int, int], smaller: tuple[int, int], low: float, high: float
) -> None:
    """The author's own examples by the test's formula, and ours where both have as many tiles."""
    theirs = newcombe_by_scipy(smaller, larger)

    assert theirs == pytest.approx((low, high), abs=0.00005)
    if larger[1] == smaller[1]:
        assert newcombe(smaller[0], larger[0], larger[1], larger[1]) == (low, high)


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0, 1))
def test_the_interval_of_a_gain_agrees_with_scipy(tiles: int, before: float, after: float) -> None:
    """For any two counts over as many tiles, rounded to four decimals."""
    first, second = round(before * tiles), round(after * tiles)
    theirs = newcombe_by_scipy((first, tiles), (second, tiles))

    assert newcombe(first, second, tiles, tiles) == pytest.approx(theirs, abs=0.00005 + 1e-9)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 10**6))
def test_the_interval_of_a_loss_is_that_of_a_gain_the_other_way(
    before: int, after: int, tiles: int
) -> None:
    """It holds the difference, lies in [-1, 1], and turns around with it."""
    low, high = newcombe(before, after, 1000, tiles)
    gained = (after - before) / 1000

    assert -1 <= low <= gained + 0.00005
    assert gained - 0.00005 <= high <= 1
    assert newcombe(after, before, 1000, tiles) == (-high, -low)


def test_hand_counted_gain_is_published_exactly() -> None:
    """Four classes, worked out on paper from what the two phases publish."""
    before = Published(accuracy=800, recall=(88, 50, 75, 100), rare_accuracy=750)
    after = Published(accuracy=850, recall=(100, 75, 50, 100), rare_accuracy=875)
    facts = Holdout(20, CLASSES, RARE, (8, 4, 4, 4))

    gained = difference(before, after, Grid(), facts)

    assert gained.accuracy == 0.05
    assert gained.recall == {"barley": 0.12, "maize": 0.25, "pea": -0.25, "rye": 0.0}
    assert gained.macro_recall == 0.03  # 0.7825 and 0.8125
    assert gained.rare_accuracy == 0.125
    assert gained.rare_recall == 0.125  # 0.75 and 0.875
    assert gained.accuracy_interval == newcombe(800, 850, 1000, 20)
    assert gained.rare_accuracy_interval == newcombe(750, 875, 1000, 8)


@given(counted(), counted())
def test_a_gain_is_what_lies_between_the_published_figures(one: Counts, other: Counts) -> None:
    """Whoever subtracts the figures of the two phases gets it, exactly, and no longer decimals."""
    facts, grid = holdout(one), Grid()
    published = [publish(counts, grid) for counts in (one, other)]
    figures = [asdict(derive(each, grid, facts)) for each in published]
    gained = asdict(difference(published[0], published[1], grid, facts))

    def between(old: float, new: float) -> float:
        return float(Decimal(repr(new)) - Decimal(repr(old)))

    for name in ("accuracy", "macro_recall", "rare_accuracy", "rare_recall"):
        assert gained[name] == between(figures[0][name], figures[1][name])
    for name in CLASSES:
        assert gained["recall"][name] == between(
            figures[0]["recall"][name], figures[1]["recall"][name]
        )


def test_unpublished_class_sizes_leave_no_trace_in_a_gain() -> None:
    """The interval on the rare classes is left out; the rest stays the same."""
    counts = [count(*case(seed), CLASSES, RARE) for seed in (1, 2)]
    published = [publish(each, Grid()) for each in counts]

    bare, full = (
        difference(published[0], published[1], Grid(), holdout(counts[0], sizes=sizes))
        for sizes in (False, True)
    )

    assert full.rare_accuracy_interval is not None
    assert bare == replace(full, rare_accuracy_interval=None)


def test_no_gain_has_an_interval_around_nothing() -> None:
    """The same figures twice: 0, and an interval that is even on both sides."""
    low, high = newcombe(847, 847, 1000, 300)

    assert low == -high < 0

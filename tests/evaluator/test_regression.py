"""Errors of predicted numbers: exact sums, the published grid, and what follows from it."""

import re
from fractions import Fraction
from itertools import product
from math import exp, isqrt, log2, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from evaluator.error_arithmetic import on_grid, possible
from evaluator.error_figures import derive, difference, rmse_interval
from evaluator.errors import OwnerError
from evaluator.leakage import phase_bits, total
from evaluator.regression import (
    ErrorGrid,
    Errors,
    PublishedErrors,
    in_places,
    measure,
    publish,
    records,
)
from evaluator.scoring import PLACES, Holdout
from evaluator.status import STATUSES

CROPS = ("maize", "rice", "wheat")
GRID = ErrorGrid.of((0.0, 12.0), 0.01, 0.1, 100)
TINY = ErrorGrid.of((0.0, 2.0), 1.0, 1.0, 1)

numbers = st.floats(-1e4, 1e4, width=32, allow_nan=False)
targets = st.floats(0, 12, width=32, allow_nan=False)
rows = st.lists(st.tuples(st.integers(0, 2), targets, numbers), min_size=1, max_size=40)


def errors_of(found: list[tuple[int, float, float]]) -> Errors:
    """Measure these rows beside three tiles that make every figure computable."""
    sure = [(0, 0.0, 1.0), (1, 6.0, 6.5), (2, 12.0, 12.0)]
    labels, wanted, given_ = zip(*sure, *found, strict=True)
    return measure(labels, wanted, given_, CROPS, CROPS[:2])


def holdout(errors: Errors, *, sizes: bool = True) -> Holdout:
    """The holdout of these tiles."""
    each = tuple(crop.tiles for crop in errors.crops)
    return Holdout(sum(each), CROPS, CROPS[:2], each if sizes else None)


@given(rows)
def test_exact_figures_are_those_of_scikit_learn(found: list[tuple[int, float, float]]) -> None:
    """The private document's RMSE, MAE, bias and R2, overall and of each crop."""
    errors = errors_of(found)
    table = [(0, 0.0, 1.0), (1, 6.0, 6.5), (2, 12.0, 12.0), *found]
    labels, wanted, given_ = (np.array(column, np.float64) for column in zip(*table, strict=True))
    document = errors.document()

    assert document["rmse"] == pytest.approx(sqrt(mean_squared_error(wanted, given_)))
    assert document["mae"] == pytest.approx(mean_absolute_error(wanted, given_))
    assert document["bias"] == pytest.approx((given_ - wanted).mean(), abs=1e-9)
    assert document["r2"] == pytest.approx(r2_score(wanted, given_))
    crops = document["crops"]
    assert isinstance(crops, dict)
    for index, name in enumerate(CROPS):
        mine = labels == index
        mse = mean_squared_error(wanted[mine], given_[mine])
        assert crops[name]["rmse"] == pytest.approx(sqrt(mse))
        assert crops[name]["tiles"] == mine.sum()


@given(rows)
def test_published_figures_are_the_exact_ones_rounded_half_away_from_zero(
    found: list[tuple[int, float, float]],
) -> None:
    """Checked with fractions, not with floating point: |x - step| is half a step at most."""
    errors = errors_of(found)
    published, whole = publish(errors, GRID), errors.all
    unit = Fraction(1, 2**149) * PLACES / GRID.error
    mse = Fraction(whole.squared, whole.tiles) * unit**2

    if published.rmse < GRID.errors:
        assert Fraction(2 * published.rmse - 1, 2) ** 2 <= mse or published.rmse == 0
    assert mse < Fraction(2 * published.rmse + 1, 2) ** 2 or published.rmse == GRID.errors
    for exact, step in (
        (Fraction(whole.absolute, whole.tiles) * unit, published.mae),
        (Fraction(whole.signed, whole.tiles) * unit, published.bias),
    ):
        assert abs(exact - step) <= Fraction(1, 2) or abs(step) == GRID.errors
    r2 = 1 - Fraction(whole.tiles * whole.squared, errors.spread)
    assert abs(r2 * 100 - published.r2) <= Fraction(1, 2) or published.r2 == -100


@given(found=rows, sizes=st.booleans())
def test_what_was_measured_is_possible_and_on_the_grid(
    found: list[tuple[int, float, float]], *, sizes: bool
) -> None:
    """No honest result is refused, whatever was predicted and whether sizes are published."""
    errors = errors_of(found)
    published, known = publish(errors, GRID), holdout(errors, sizes=sizes)
    figures = derive(published, GRID, known)
    phase = {"r2": figures.r2, "crop_rmse": figures.crop_rmse}
    phase |= {"rmse": figures.rmse, "mae": figures.mae, "bias": figures.bias}

    assert on_grid(phase, GRID, known) == published
    assert possible(GRID, known, published)
    assert (figures.crop_rmse_interval is not None) == sizes


@given(rows, rows)
def test_two_phases_on_the_same_targets_are_possible(
    found: list[tuple[int, float, float]], other: list[tuple[int, float, float]]
) -> None:
    """The variance of the targets that RMSE and R2 imply is the same in both."""
    again = [(*row[:2], other[at % len(other)][2]) for at, row in enumerate(found)]
    first, second = errors_of(found), errors_of(again)

    assert possible(GRID, holdout(first), publish(first, GRID), publish(second, GRID))


ONE = PublishedErrors(rmse=150, mae=120, bias=-30, r2=55, crop_rmse=(15, 15, 15))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"mae": 151}, "MAE above RMSE"),
        ({"bias": -121}, "bias beyond MAE"),
        ({"mae": 14, "bias": 0}, "RMSE above sqrt(n) MAE"),
        ({"crop_rmse": (10, 12, 14)}, "every crop below the whole"),
        ({"crop_rmse": (16, 17, 18)}, "every crop above the whole"),
        ({"r2": 100}, "R2 of 1 with errors"),
        ({"rmse": 900, "mae": 900, "crop_rmse": (90, 90, 90)}, "a variance beyond the range"),
    ],
)
@pytest.mark.parametrize("sizes", [(40, 40, 20), None])
def test_impossible_figures_are_refused(
    changed: dict[str, object], why: str, sizes: tuple[int, ...] | None
) -> None:
    """Each contradicts a law that every list of errors obeys; the control contradicts none."""
    known = Holdout(100, CROPS, CROPS[:2], sizes)
    values = {name: getattr(ONE, name) for name in ONE.__slots__}

    assert possible(GRID, known, ONE), "the positive control"
    assert not possible(GRID, known, PublishedErrors(**(values | changed))), why


def test_phases_that_need_other_targets_are_refused() -> None:
    """The same RMSE cannot be an R2 of 0.55 on some targets and of 0.3 on the very same."""
    known = Holdout(100, CROPS, CROPS[:2], None)
    other = PublishedErrors(rmse=150, mae=120, bias=-30, r2=30, crop_rmse=(15, 15, 15))

    assert possible(GRID, known, other)
    assert not possible(GRID, known, ONE, other)


def test_class_sizes_tie_the_crops_to_the_whole() -> None:
    """A small crop's large error cannot carry the overall one where its size is known."""
    crops = PublishedErrors(rmse=150, mae=120, bias=0, r2=55, crop_rmse=(5, 5, 20))

    assert possible(GRID, Holdout(100, CROPS, CROPS[:2], None), crops)
    assert not possible(GRID, Holdout(100, CROPS, CROPS[:2], (45, 45, 10)), crops)


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ([0.0, 1.0, 2.0], PublishedErrors(rmse=0, mae=0, bias=0, r2=1, crop_rmse=(0, 0, 0))),
        ([0.5, 1.0, 2.0], PublishedErrors(rmse=0, mae=0, bias=0, r2=1, crop_rmse=(1, 0, 0))),
        ([-0.5, 0.5, 1.5], PublishedErrors(rmse=1, mae=1, bias=-1, r2=1, crop_rmse=(1, 1, 1))),
        ([3e38, 3e38, 3e38], PublishedErrors(rmse=2, mae=2, bias=2, r2=-1, crop_rmse=(2, 2, 2))),
        ([2.0, 1.0, 0.0], PublishedErrors(rmse=2, mae=1, bias=0, r2=-1, crop_rmse=(2, 0, 2))),
    ],
)
def test_halves_round_away_from_zero_and_nothing_leaves_the_range(
    predictions: list[float], expected: PublishedErrors
) -> None:
    """By hand, on targets 0, 1, 2 and a grid of one step a unit."""
    errors = measure([0, 1, 2], [0.0, 1.0, 2.0], predictions, CROPS, CROPS[:1])

    assert publish(errors, TINY) == expected


@settings(max_examples=25)
@given(
    sizes=st.sampled_from([(1, 1), (2, 1), (1, 1, 1)]),
    step=st.sampled_from([0.5, 1.0, 2.0]),
    crop_step=st.sampled_from([1.0, 2.0]),
    r2=st.sampled_from([1, 2]),
)
def test_no_more_records_than_counted(
    sizes: tuple[int, ...], step: float, crop_step: float, r2: int
) -> None:
    """Every prediction from a fine lattice on small holdouts: log2 of the records seen is below."""
    grid = ErrorGrid.of((0.0, 2.0), step, crop_step, r2)
    labels = [at for at, tiles in enumerate(sizes) for _ in range(tiles)]
    wanted = [2.0 * at / (len(labels) - 1) for at in range(len(labels))]
    lattice = [value / 4 for value in range(-12, 21, 1 if len(labels) == 2 else 2)]
    names = CROPS[: len(sizes)]
    seen = {
        publish(measure(labels, wanted, guess, names, names[:1]), grid)
        for guess in product(lattice, repeat=len(labels))
    }
    known = Holdout(len(labels), names, names[:1], None)

    assert len(seen) <= records(grid, len(sizes))
    assert log2((len(seen) + len(STATUSES) - 1) * 7) <= phase_bits(known, grid, 7)


def test_records_are_counted_as_enumerated() -> None:
    """Triples with |bias| <= MAE <= RMSE, the greatest of them along 2 R2 more steps of R2."""
    for grid in (TINY, ErrorGrid.of((0.0, 5.0), 0.5, 1.0, 2)):
        last = grid.errors
        triples = [
            sum(
                abs(bias) <= mae <= rmse
                for mae in range(last + 1)
                for bias in range(-last, last + 1)
            )
            for rmse in range(last + 1)
        ]
        assert records(grid, 2) == (sum(triples) + 2 * grid.r2 * max(triples)) * (
            (grid.crop_errors + 1) ** 2
        )


def test_sixteen_vendors_fit_the_default_budget_of_yields() -> None:
    """Nine crops, 0 to 12 t/ha, the default steps: 80 runs of two phases within 16,384 bits."""
    known = Holdout(5000, tuple("abcdefghi"), ("a",), None)
    phase = phase_bits(known, GRID, 101)

    assert phase == 98.7
    assert 80 * (2 * phase + 1.6) + 80 * 1.6 < 16_384


@pytest.mark.parametrize(("step", "tiles"), [(150, 100), (1, 1), (1200, 7), (0, 5)])
def test_interval_of_an_rmse_is_its_formula(step: int, tiles: int) -> None:
    """(Figure -+ half a step) exp(-+ z / sqrt(2n)), held to the range, with scipy's quantile."""
    low, high = rmse_interval(step, GRID.error, tiles, GRID.width)
    factor = exp(norm.ppf(0.975) / sqrt(2 * tiles))

    assert low == pytest.approx(max(step - 0.5, 0) / 100 / factor, abs=6e-5)
    assert high == pytest.approx(min((step + 0.5) / 100 * factor, 12), abs=6e-5)


def test_interval_of_an_rmse_covers_the_truth_as_often_as_it_says() -> None:
    """2,000 samples of 50 normal errors: about 95 in 100 intervals hold their deviation."""
    rng = np.random.default_rng(1)
    roots = np.sqrt((rng.normal(0, 1.5, (2000, 50)) ** 2).mean(1))
    ends = np.array([rmse_interval(round(root * 100), 100, 50, 120_000) for root in roots])

    assert ((ends[:, 0] <= 1.5) & (ends[:, 1] >= 1.5)).mean() == pytest.approx(0.95, abs=0.02)


def test_derived_figures_by_hand() -> None:
    """Means of the crops, the interval of the bias, and every difference."""
    known = Holdout(100, CROPS, CROPS[:2], (40, 40, 20))
    figures = derive(ONE, GRID, known)
    better = PublishedErrors(rmse=100, mae=80, bias=10, r2=80, crop_rmse=(9, 10, 12))
    gained = difference(ONE, better, GRID, known)
    half = 0.005 + 1.959964 * sqrt((1.505**2 - 0.295**2) / 100)

    assert (figures.rmse, figures.mae, figures.bias, figures.r2) == (1.5, 1.2, -0.3, 0.55)
    assert (figures.macro_rmse, figures.rare_rmse) == (1.5, 1.5)
    assert figures.bias_interval == pytest.approx((-0.3 - half, -0.3 + half), abs=6e-5)
    assert (gained.rmse, gained.mae, gained.bias, gained.r2) == (-0.5, -0.4, 0.4, 0.25)
    assert gained.crop_rmse == {"maize": -0.6, "rice": -0.5, "wheat": -0.3}
    assert (gained.macro_rmse, gained.rare_rmse) == (-0.4667, -0.55)
    assert gained.rmse_interval[0] < -0.5 < gained.rmse_interval[1] < 0


@given(st.integers(0, 10**9), st.integers(1, 10**4))
def test_the_root_is_rounded_half_up(squared: int, tiles: int) -> None:
    """(isqrt(floor(4q)) + 1) // 2 is the nearest whole number to sqrt(q)."""
    step = (isqrt(4 * squared // tiles) + 1) // 2

    assert Fraction(2 * step - 1, 2) ** 2 <= Fraction(squared, tiles) or step == 0
    assert Fraction(squared, tiles) < Fraction(2 * step + 1, 2) ** 2


@pytest.mark.parametrize(
    ("limits", "error", "crop_error", "r2"),
    [
        ((1.0, 1.0), 0.01, 0.1, 100),
        ((2.0, 1.0), 0.01, 0.1, 100),
        ((0.0, 1.0), 0.03, 0.1, 100),
        ((0.0, 1.0), 0.01, 0.3, 100),
        ((0.0, 1.0), 0.00001, 0.1, 100),
        ((0.0, 1.0), 0.0, 0.1, 100),
        ((0.0, 1.0), 0.01, 0.1, 3),
        ((0.0, float("inf")), 0.01, 0.1, 100),
        ((0.0,), 0.01, 0.1, 100),
        ((0.0, 1e9), 0.01, 0.1, 100),
    ],
)
def test_a_grid_without_exact_decimals_is_the_owners_error(
    limits: tuple[float, ...], error: float, crop_error: float, r2: int
) -> None:
    """A range, a step or a number of steps that no figure could be stated on."""
    with pytest.raises(OwnerError):
        ErrorGrid.of(limits, error, crop_error, r2)


@given(st.integers(-(10**13), 10**13))
def test_decimals_become_whole_numbers_and_back(places: int) -> None:
    """Every number of four decimals survives the way through JSON's float64."""
    assert in_places(places / PLACES) == places


@pytest.mark.parametrize(
    ("labels", "wanted", "rare"),
    [([0, 0, 1], [1.0, 2.0, 3.0], CROPS[:1]), ([0, 1, 2], [1.0, 2.0, 3.0], ()),
     ([0, 1, 2], [2.0, 2.0, 2.0], CROPS[:1])],
)  # fmt: skip
def test_what_cannot_be_computed_is_an_error(
    labels: list[int], wanted: list[float], rare: tuple[str, ...]
) -> None:
    """A crop without a tile, no rare crop, or targets without a difference."""
    with pytest.raises(OwnerError):
        measure(labels, wanted, [1.0, 2.0, 3.0], CROPS, rare)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rmse", 1.505), ("rmse", -0.01), ("rmse", 12.01), ("mae", 1e300), ("bias", -12.01),
        ("r2", 0.555), ("r2", -1.01), ("rmse", "1.5"), ("crop_rmse", {"maize": 1.5}),
    ],
)  # fmt: skip
def test_a_figure_beside_the_grid_is_found(name: str, value: object) -> None:
    """Between two steps, beyond the range, no number, or a crop short."""
    known = Holdout(100, CROPS, CROPS[:2], None)
    figures = derive(ONE, GRID, known)
    phase: dict[str, object] = {each: getattr(figures, each) for each in ("rmse", "mae", "bias")}
    phase |= {"r2": figures.r2, "crop_rmse": figures.crop_rmse}

    assert on_grid(phase, GRID, known) == ONE, "the positive control"
    with pytest.raises(ValueError):  # noqa: PT011 - the caller has the words
        on_grid(phase | {name: value}, GRID, known)


def test_the_page_about_leakage_has_the_formulas_figures() -> None:
    """Each row of the table of predicted numbers in docs/leakage.md, computed again."""
    page = (Path(__file__).parents[2] / "docs" / "leakage.md").read_text()
    row = r"^\| (\d+) \| (\d) \| ([\d.]+), ([\d.]+), (\d+) \| ([\d.]+) \| ([\d.]+) \|$"
    rows = re.findall(row, page, re.MULTILINE)

    assert len(rows) == 5
    for width, classes, error, crop_error, r2, phase, run in rows:
        grid = ErrorGrid.of((0.0, float(width)), float(error), float(crop_error), int(r2))
        names = tuple("abcdefghi"[: int(classes)])
        one = phase_bits(Holdout(5000, names, names[:1], None), grid, 101)
        assert (one, total(one, one, 1.6)) == (float(phase), float(run))

"""Count what was right, round it to the published grid, and derive the rest from that.

Three steps, and information only falls on the way:

    count    labels and predictions -> exact integers, for the data owner alone
    publish  exact integers -> whole steps of a grid: all that a submission can influence
    derive   whole steps -> every figure of the result, by formulas anyone can repeat

Everything is integer or decimal arithmetic, so the same counts give the same bytes anywhere. Only
`count` needs numpy: whoever repeats the rest needs nothing but Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

PLACES = 10_000
"""Derived figures are rounded half up to 1/10,000: four decimals."""

Z = Decimal("1.959963984540054")
"""The 0.975 quantile of the standard normal distribution: a 95 % interval."""

CHUNK = 1 << 16
"""Tiles counted at a time: what is computed on the way stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How many steps lie between 0 and 1 for each published figure.

    Each number divides 10,000, so that a step is an exact decimal of at most four places.
    """

    accuracy: int = 1000
    recall: int = 100
    rare_accuracy: int = 1000

    def __post_init__(self) -> None:
        """Raise OwnerError for a grid whose steps are not exact decimals."""
        for steps in (self.accuracy, self.recall, self.rare_accuracy):
            if steps < 1 or PLACES % steps:
                raise OwnerError(
                    f"A grid of {steps} steps has no exact decimals. Choose a step such as "
                    "0.001, 0.005, 0.01 or 0.05, of which a whole number make 1."
                )


@dataclass(frozen=True, slots=True)
class Holdout:
    """What the result says of the holdout; `class_sizes` is None unless the owner publishes it."""

    tiles: int
    classes: tuple[str, ...]
    rare: tuple[str, ...]
    class_sizes: tuple[int, ...] | None

    @property
    def rare_indexes(self) -> tuple[int, ...]:
        """Positions of the rare classes in `classes`, in the order of `rare`."""
        return tuple(self.classes.index(name) for name in self.rare)


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact counts of one phase, for the owner alone: `confusion[label][prediction]`."""

    classes: tuple[str, ...]
    rare: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def class_sizes(self) -> tuple[int, ...]:
        """Tiles of each class."""
        return tuple(sum(row) for row in self.confusion)

    @property
    def class_correct(self) -> tuple[int, ...]:
        """Tiles of each class that were predicted as that class."""
        return tuple(row[index] for index, row in enumerate(self.confusion))

    @property
    def total(self) -> int:
        """Tiles of the holdout."""
        return sum(self.class_sizes)

    @property
    def correct(self) -> int:
        """Tiles predicted right."""
        return sum(self.class_correct)

    @property
    def rare_total(self) -> int:
        """Tiles of the rare classes together."""
        return sum(self.class_sizes[self.classes.index(name)] for name in self.rare)

    @property
    def rare_correct(self) -> int:
        """Tiles of the rare classes together that were predicted right."""
        return sum(self.class_correct[self.classes.index(name)] for name in self.rare)


@dataclass(frozen=True, slots=True)
class Published:
    """The independent figures of one phase, each a whole number of steps of its grid."""

    accuracy: int
    recall: tuple[int, ...]
    rare_accuracy: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything a result says of one phase; names are those of its JSON Schema."""

    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_recall: float
    rare_accuracy: float
    rare_accuracy_interval: tuple[float, float] | None
    rare_recall: float
    recall: dict[str, float]
    recall_interval: dict[str, tuple[float, float]] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Fine-tuned minus baseline, as far as it follows from the figures of both."""

    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_recall: float
    rare_accuracy: float
    rare_accuracy_interval: tuple[float, float] | None
    rare_recall: float
    recall: dict[str, float]


def count(
    labels: NDArray[np.uint8],
    predictions: NDArray[np.uint8],
    classes: Sequence[str],
    rare: Sequence[str],
) -> Counts:
    """Count labels (N,) against predictions (N,), both uint8 and below len(classes).

    Raises OwnerError where a class has no tile or no class is rare: its figures would be 0/0,
    and a figure that cannot be computed is an error, never 0.
    """
    import numpy as np  # noqa: PLC0415  # verification goes without

    size = len(classes)
    counted = np.zeros(size * size, np.int64)
    for some, predicted in in_chunks(labels, predictions):
        # At most 255 * 256 + 255, the largest uint16.
        counted += np.bincount(some.astype(np.uint16) * size + predicted, minlength=size * size)
    table = counted.reshape(size, size)
    empty = [name for name, row in zip(classes, table, strict=True) if not row.any()]
    if empty:
        raise OwnerError(
            f"The holdout has no tile of {', '.join(empty)}, so its recall cannot be computed. "
            "Split the data again with a larger holdout, or remove the class from the settings."
        )
    if not rare:
        raise OwnerError(
            "No class is rare, so the accuracy on rare classes cannot be computed. "
            "Set `rare` to 1 or more in evaluator.toml."
        )
    return Counts(tuple(classes), tuple(rare), tuple(tuple(map(int, row)) for row in table))


def in_chunks(*arrays: NDArray[Any]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Yield arrays of one length in parts that fit a processor's cache; ValueError for others."""
    (size,) = {len(array) for array in arrays}
    for start in range(0, size, CHUNK):
        yield tuple(array[start : start + CHUNK] for array in arrays)


def publish(counts: Counts, grid: Grid) -> Published:
    """Round the counts to the grid, half up; nothing else of them is ever published."""
    pairs = zip(counts.class_correct, counts.class_sizes, strict=True)
    return Published(
        accuracy=rounded(counts.correct * grid.accuracy, counts.total),
        recall=tuple(rounded(right * grid.recall, tiles) for right, tiles in pairs),
        rare_accuracy=rounded(counts.rare_correct * grid.rare_accuracy, counts.rare_total),
    )


def derive(published: Published, grid: Grid, holdout: Holdout) -> Figures:
    """Compute every figure of the result from the published steps and published sizes alone.

    macro_recall is the mean of the published recalls (balanced accuracy: Brodersen et al.,
    ICPR 2010, doi:10.1109/ICPR.2010.764), rare_recall their mean over the rare classes. An
    interval needs the size it is relative to, so those of single classes and of the rare
    classes exist only where class sizes are published.
    """
    rare = holdout.rare_indexes
    rare_interval = recall_interval = None
    if holdout.class_sizes is not None:
        pairs = zip(published.recall, holdout.class_sizes, strict=True)
        intervals = [wilson(step, grid.recall, tiles) for step, tiles in pairs]
        recall_interval = dict(zip(holdout.classes, intervals, strict=True))
        rare_tiles = sum(holdout.class_sizes[index] for index in rare)
        rare_interval = wilson(published.rare_accuracy, grid.rare_accuracy, rare_tiles)
    recall = [step / grid.recall for step in published.recall]
    return Figures(
        accuracy=published.accuracy / grid.accuracy,
        accuracy_interval=wilson(published.accuracy, grid.accuracy, holdout.tiles),
        macro_recall=_mean(published.recall, grid.recall) / PLACES,
        rare_accuracy=published.rare_accuracy / grid.rare_accuracy,
        rare_accuracy_interval=rare_interval,
        rare_recall=_mean([published.recall[index] for index in rare], grid.recall) / PLACES,
        recall=dict(zip(holdout.classes, recall, strict=True)),
        recall_interval=recall_interval,
    )


def difference(before: Published, after: Published, grid: Grid, holdout: Holdout) -> Difference:
    """Compute what `after` gained over `before` from the published steps and sizes alone.

    Differences are of the published figures, exact. Intervals are Newcombe's, as if the two had
    been measured on different tiles: how many tiles changed sides would be one more figure that
    leaves. So they are wider than they need be where both are right about the same tiles.
    """
    rare, sizes = holdout.rare_indexes, holdout.class_sizes
    both = (before, after)
    macro = [_mean(each.recall, grid.recall) for each in both]
    rare_recall = [_mean([each.recall[index] for index in rare], grid.recall) for each in both]
    pairs = zip(before.recall, after.recall, strict=True)
    recall = [float(Decimal(new - old) / grid.recall) for old, new in pairs]
    rare_steps = (before.rare_accuracy, after.rare_accuracy)
    rare_tiles = sum(sizes[index] for index in rare) if sizes else 0
    return Difference(
        accuracy=float(Decimal(after.accuracy - before.accuracy) / grid.accuracy),
        accuracy_interval=newcombe(before.accuracy, after.accuracy, grid.accuracy, holdout.tiles),
        macro_recall=(macro[1] - macro[0]) / PLACES,
        rare_accuracy=float(Decimal(rare_steps[1] - rare_steps[0]) / grid.rare_accuracy),
        rare_accuracy_interval=newcombe(*rare_steps, grid.rare_accuracy, rare_tiles)
        if sizes
        else None,
        rare_recall=(rare_recall[1] - rare_recall[0]) / PLACES,
        recall=dict(zip(holdout.classes, recall, strict=True)),
    )


@lru_cache(1 << 14)  # the results of one leaderboard repeat few of them
def wilson(step: int, steps: int, tiles: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of the proportion step/steps over `tiles` tiles.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n): E. B. Wilson, "Probable
    inference, the law of succession, and statistical inference", JASA 22 (1927) 209-212. Both
    ends are computed with 40 digits and rounded half up to four decimals.
    """
    with localcontext(Context(prec=40)):
        low, high = _wilson(Decimal(step) / steps, tiles)
        return _decimal(low), _decimal(high)


@lru_cache(1 << 14)
def newcombe(before: int, after: int, steps: int, tiles: int) -> tuple[float, float]:
    """Return the 95 % interval of after/steps - before/steps, each over `tiles` tiles.

    With the Wilson ends l and u of the proportions p: from d - sqrt((p2 - l2)^2 + (u1 - p1)^2) to
    d + sqrt((u2 - p2)^2 + (p1 - l1)^2), d = p2 - p1: method 10 of R. G. Newcombe, "Interval
    estimation for the difference between independent proportions", Statistics in Medicine 17
    (1998) 873-890. Computed and rounded as `wilson` does.
    """
    with localcontext(Context(prec=40)):
        first, second = Decimal(before) / steps, Decimal(after) / steps
        (low1, high1), (low2, high2) = _wilson(first, tiles), _wilson(second, tiles)
        below = ((second - low2) ** 2 + (high1 - first) ** 2).sqrt()
        above = ((high2 - second) ** 2 + (first - low1) ** 2).sqrt()
        gained = second - first
        return _decimal(gained - below), _decimal(gained + above)


def _wilson(p: Decimal, tiles: int) -> tuple[Decimal, Decimal]:
    n = Decimal(tiles)
    centre = p + Z**2 / (2 * n)
    half = Z * (p * (1 - p) / n + Z**2 / (4 * n**2)).sqrt()
    ends = ((centre - half) / (1 + Z**2 / n), (centre + half) / (1 + Z**2 / n))
    low, high = (min(max(end, Decimal(0)), Decimal(1)) for end in ends)
    return low, high


def rounded(numerator: int, denominator: int) -> int:
    """Return numerator/denominator as the nearest whole number, half up (both at least 0)."""
    return (2 * numerator + denominator) // (2 * denominator)


@lru_cache(1 << 14)  # as above
def counts_of(step: int, steps: int, tiles: int) -> range:
    """Return the counts out of `tiles` that `rounded` publishes as `step` of `steps`."""
    low = -((1 - 2 * step) * tiles // (2 * steps))
    high = -(-(2 * step + 1) * tiles // (2 * steps))
    return range(max(low, 0), min(high, tiles + 1))


def _mean(steps: Sequence[int], grid: int) -> int:
    """In units of 1/PLACES."""
    return rounded(sum(steps) * PLACES, len(steps) * grid)


def _decimal(value: Decimal) -> float:
    return float(value.quantize(Decimal(1) / PLACES, rounding=ROUND_HALF_UP))

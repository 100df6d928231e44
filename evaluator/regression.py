"""Measure predicted numbers, round them to the published grid, and derive the rest from that.

What `scoring` is to classes, for a target of its own unit on each tile (yield in t/ha):

    measure  targets and predictions -> exact sums of errors, for the data owner alone
    publish  exact sums -> whole steps of a grid: all that a submission can influence
    derive   whole steps -> every figure of the result, by formulas anyone can repeat

An error is prediction minus target. Both are float32, so every sum is a whole number of powers of
two, and Python's integers hold it exactly: no order of adding and no processor changes a figure.
Lengths on the grid are whole numbers of 1/PLACES of the target's unit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from fractions import Fraction
from math import inf, isqrt, ldexp, sqrt

from evaluator.errors import OwnerError
from evaluator.scoring import PLACES, Holdout, Z, rounded

EXPONENT = 149
"""Every finite float32 is a whole number of 2^-149, the smallest one above 0."""

MOST_STEPS = 1_000_000
"""In the range of the targets; finer grids would only spend bits."""


def in_places(value: float) -> int:
    """Return a number of at most four decimals in units of 1/PLACES; ValueError for others."""
    exact = Decimal(repr(value)) * PLACES
    if not exact.is_finite() or exact != exact.to_integral_value() or abs(exact) > 10**15:
        raise ValueError("it is not a number of at most four decimals")
    return int(exact)


@dataclass(frozen=True, slots=True)
class ErrorGrid:
    """The range of the targets and the steps of published errors, in 1/PLACES of their unit.

    `error` is the step of RMSE, MAE and bias, `crop_error` that of each crop's RMSE, and `r2`
    how many steps of R2 make 1. The range is a whole number of either step.
    """

    low: int
    high: int
    error: int
    crop_error: int
    r2: int

    def __post_init__(self) -> None:
        """Raise OwnerError for a range or steps on which figures are no exact decimals."""
        if self.high <= self.low:
            raise OwnerError("The range of the targets must be two numbers, the lower one first.")
        for step in (self.error, self.crop_error):
            if step < 1 or self.width % step or self.width // step > MOST_STEPS:
                raise OwnerError(
                    f"The range of the targets is no whole number of steps of {step / PLACES}, or "
                    f"more than {MOST_STEPS:,} of them. Choose error_step and crop_error_step in "
                    "evaluator.toml so that they divide it, such as 0.01 and 0.1."
                )
        if self.r2 < 1 or PLACES % self.r2:
            raise OwnerError(f"r2_steps is {self.r2}; it must divide 10,000, as 100 does.")

    @classmethod
    def of(cls, limits: Sequence[float], error: float, crop_error: float, r2: int) -> "ErrorGrid":
        """Return the grid of decimals in the target's unit; OwnerError where they are none."""
        try:
            low, high = map(in_places, limits)
            steps = (in_places(error), in_places(crop_error))
        except ValueError as wrong:
            raise OwnerError(
                "The range of the targets and the steps of errors are numbers of at most four "
                "decimals: two in dataset.range of evaluator.toml, one in each step."
            ) from wrong
        return cls(low, high, *steps, r2)

    @property
    def width(self) -> int:
        """Of the range: no published error is above it."""
        return self.high - self.low

    @property
    def errors(self) -> int:
        """The last step of RMSE and MAE; bias has as many below 0."""
        return self.width // self.error

    @property
    def crop_errors(self) -> int:
        """The last step of a crop's RMSE."""
        return self.width // self.crop_error


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums over `tiles` errors: as they are, without their signs, and squared.

    In units of 2^-EXPONENT, the squares in those of 2^-(2 EXPONENT).
    """

    tiles: int
    signed: int
    absolute: int
    squared: int

    def document(self) -> dict[str, object]:
        """Return tiles, RMSE, MAE and bias as JSON values, each the nearest float64."""
        tiles, one = self.tiles, 1 << EXPONENT
        return {
            "tiles": tiles,
            "rmse": sqrt(Fraction(self.squared, tiles * one**2)),
            "mae": float(Fraction(self.absolute, tiles * one)),
            "bias": float(Fraction(self.signed, tiles * one)),
        }


@dataclass(frozen=True, slots=True)
class Errors:
    """Exact sums of one phase, for the owner alone: one for each class, in their order.

    `spread` is n times the sum of squared differences of the n targets from their mean, in units
    of 2^-(2 EXPONENT): a fact of the holdout.
    """

    classes: tuple[str, ...]
    rare: tuple[str, ...]
    crops: tuple[Sums, ...]
    spread: int

    @property
    def all(self) -> Sums:
        """Over all tiles of the holdout."""
        return Sums(
            tiles=sum(crop.tiles for crop in self.crops),
            signed=sum(crop.signed for crop in self.crops),
            absolute=sum(crop.absolute for crop in self.crops),
            squared=sum(crop.squared for crop in self.crops),
        )

    def document(self) -> dict[str, object]:
        """Return the figures before rounding, as JSON values: for the owner alone."""
        whole = self.all
        named = zip(self.classes, self.crops, strict=True)
        return {
            "classes": self.classes,
            "rare_classes": self.rare,
            **whole.document(),
            "r2": float(1 - Fraction(whole.tiles * whole.squared, self.spread)),
            "crops": {name: sums.document() for name, sums in named},
        }


@dataclass(frozen=True, slots=True)
class PublishedErrors:
    """The independent figures of one phase, each a whole number of steps of its grid."""

    rmse: int
    mae: int
    bias: int
    r2: int
    crop_rmse: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ErrorFigures:
    """Everything a result says of one phase; names are those of docs/result.schema.json."""

    rmse: float
    rmse_interval: tuple[float, float]
    mae: float
    bias: float
    bias_interval: tuple[float, float]
    r2: float
    macro_rmse: float
    rare_rmse: float
    crop_rmse: dict[str, float]
    crop_rmse_interval: dict[str, tuple[float, float]] | None


@dataclass(frozen=True, slots=True)
class ErrorDifference:
    """Fine-tuned minus baseline: an error that fell is negative."""

    rmse: float
    rmse_interval: tuple[float, float]
    mae: float
    bias: float
    r2: float
    macro_rmse: float
    rare_rmse: float
    crop_rmse: dict[str, float]


def measure(
    labels: Sequence[int],
    targets: Sequence[float],
    predictions: Sequence[float],
    classes: Sequence[str],
    rare: Sequence[str],
) -> Errors:
    """Sum the errors of (N,) finite float32 predictions, for each crop in (N,) labels.

    Raises OwnerError where a class has no tile, no class is rare, or all targets are equal: a
    figure that cannot be computed is an error, never 0.
    """
    exact = [_exact(target) for target in targets]
    crops: list[list[int]] = [[] for _ in classes]
    for label, target, prediction in zip(labels, exact, predictions, strict=True):
        crops[label].append(_exact(prediction) - target)
    empty = [name for name, errors in zip(classes, crops, strict=True) if not errors]
    if empty:
        raise OwnerError(
            f"The holdout has no tile of {', '.join(empty)}, so its error cannot be computed. "
            "Split the data again with a larger holdout, or remove the class from the settings."
        )
    if not rare:
        raise OwnerError(
            "No class is rare, so the error on rare classes cannot be computed. Set `rare` to 1 or "
            "more in evaluator.toml."
        )
    spread = len(exact) * sum(value * value for value in exact) - sum(exact) ** 2
    if not spread:
        raise OwnerError(
            "All targets of the holdout are equal, so R2 cannot be computed. Import tiles whose "
            "targets differ."
        )
    return Errors(tuple(classes), tuple(rare), tuple(map(_sums, crops)), spread)


def publish(errors: Errors, grid: ErrorGrid) -> PublishedErrors:
    """Round the sums to the grid, and hold them to the range; nothing else is ever published.

    RMSE and MAE are at most the width of the range, a figure there meaning that or more; bias is
    within the width on either side of 0, and R2 = 1 - (sum of squared errors) / (sum of squared
    differences of the targets from their mean) within -1 and 1. Halves round away from 0.
    """
    whole, n = errors.all, errors.all.tiles
    bias = rounded(abs(whole.signed) * PLACES, n * grid.error << EXPONENT)
    left = errors.spread - n * whole.squared
    r2 = (2 * left * grid.r2 + errors.spread) // (2 * errors.spread)
    return PublishedErrors(
        rmse=_rmse(whole, grid.error, grid.errors),
        mae=min(rounded(whole.absolute * PLACES, n * grid.error << EXPONENT), grid.errors),
        bias=min(bias, grid.errors) * (-1 if whole.signed < 0 else 1),
        r2=max(r2, -grid.r2),
        crop_rmse=tuple(_rmse(crop, grid.crop_error, grid.crop_errors) for crop in errors.crops),
    )


def derive(published: PublishedErrors, grid: ErrorGrid, holdout: Holdout) -> ErrorFigures:
    """Compute every figure of the result from the published steps and published sizes alone.

    macro_rmse is the mean of the published crop_rmse, rare_rmse their mean over the rare classes.
    Intervals of single crops exist only where class sizes are published.
    """
    crops, sizes = published.crop_rmse, holdout.class_sizes
    values = [_length(step, grid.crop_error) for step in crops]
    crop_interval = None
    if sizes is not None:
        ends = [
            rmse_interval(step, grid.crop_error, tiles, grid.width)
            for step, tiles in zip(crops, sizes, strict=True)
        ]
        crop_interval = dict(zip(holdout.classes, ends, strict=True))
    rare = [crops[index] for index in holdout.rare_indexes]
    return ErrorFigures(
        rmse=_length(published.rmse, grid.error),
        rmse_interval=rmse_interval(published.rmse, grid.error, holdout.tiles, grid.width),
        mae=_length(published.mae, grid.error),
        bias=_length(published.bias, grid.error),
        bias_interval=bias_interval(published, grid, holdout.tiles),
        r2=published.r2 / grid.r2,
        macro_rmse=_mean(crops, grid.crop_error) / PLACES,
        rare_rmse=_mean(rare, grid.crop_error) / PLACES,
        crop_rmse=dict(zip(holdout.classes, values, strict=True)),
        crop_rmse_interval=crop_interval,
    )


def difference(
    before: PublishedErrors, after: PublishedErrors, grid: ErrorGrid, holdout: Holdout
) -> ErrorDifference:
    """Compute what changed from `before` to `after` from the published steps and sizes alone.

    Differences are of the published figures, exact. The interval takes the two as measured on
    different tiles, as that of `scoring.difference` does, so it is wider than it need be.
    """
    size, rare = grid.crop_error, holdout.rare_indexes
    pairs = zip(holdout.classes, before.crop_rmse, after.crop_rmse, strict=True)
    macro = [_mean(each.crop_rmse, size) for each in (before, after)]
    rares = [_mean([each.crop_rmse[index] for index in rare], size) for each in (before, after)]
    return ErrorDifference(
        rmse=_length(after.rmse - before.rmse, grid.error),
        rmse_interval=_rmse_change(before.rmse, after.rmse, grid, holdout.tiles),
        mae=_length(after.mae - before.mae, grid.error),
        bias=_length(after.bias - before.bias, grid.error),
        r2=float(Decimal(after.r2 - before.r2) / grid.r2),
        macro_rmse=(macro[1] - macro[0]) / PLACES,
        rare_rmse=(rares[1] - rares[0]) / PLACES,
        crop_rmse={name: _length(new - old, size) for name, old, new in pairs},
    )


def rmse_interval(step: int, size: int, tiles: int, width: int) -> tuple[float, float]:
    """Return the approximate 95 % interval of an RMSE of `step` steps over `tiles` tiles.

    From rmse exp(-z / sqrt(2n)) to rmse exp(z / sqrt(2n)): the logarithm of a root mean square of
    n independent normal errors has a variance of about 1 / (2n) (M. S. Bartlett and D. G. Kendall,
    "The statistical analysis of variance-heterogeneity and the logarithmic transformation",
    Supplement to the JRSS 8 (1946) 128-138). Errors with heavier tails than a normal distribution
    have, and tiles that resemble one another, would need a wider one. Computed with 40 digits, held
    to the range, rounded half up to four decimals; `size` and `width` in 1/PLACES.
    """
    with localcontext(Context(prec=40)):
        low, high = _rmse_ends(step, size, tiles, width)
        return _decimal(low), _decimal(high)


def bias_interval(published: PublishedErrors, grid: ErrorGrid, tiles: int) -> tuple[float, float]:
    """Return the approximate 95 % interval of the published bias over `tiles` tiles.

    bias -+ z sqrt((rmse^2 - bias^2) / n): the mean of n independent errors, whose variance is
    rmse^2 - bias^2, is near a normal distribution by the central limit theorem. Computed, held to
    the range and rounded as `rmse_interval` does.
    """
    with localcontext(Context(prec=40)):
        rmse, bias = (
            Decimal(step * grid.error) / PLACES for step in (published.rmse, published.bias)
        )
        half = Z * (max(rmse**2 - bias**2, Decimal(0)) / tiles).sqrt()
        most = Decimal(grid.width) / PLACES
        return _decimal(max(bias - half, -most)), _decimal(min(bias + half, most))


def records(grid: ErrorGrid, crops: int) -> int:
    """Return how many scored records of a phase there can be, at most.

    With W steps of an error: bias never exceeds MAE and MAE never RMSE, so an RMSE of r steps
    leaves (r + 1)^2 pairs of the other two. R2 falls as RMSE rises, since the targets are what
    they are, so both together go along a path of no more than W + 1 + 2 R2 steps: 2 R2 more than
    there are RMSEs. Each crop's RMSE is counted as if it were free.
    """
    steps, r2 = grid.errors + 1, grid.r2
    together = steps * (steps + 1) * (2 * steps + 1) // 6 + 2 * r2 * steps**2
    return int(together * (grid.crop_errors + 1) ** crops)


def on_grid(phase: Mapping[str, object], grid: ErrorGrid, holdout: Holdout) -> PublishedErrors:
    """Return the figures of a result's phase as steps; ValueError where one lies on none."""
    crops = phase["crop_rmse"]
    if not isinstance(crops, Mapping) or {*crops} != {*holdout.classes}:
        raise ValueError("the errors are not one for each class")
    last, each = grid.errors, (0, grid.crop_errors)
    return PublishedErrors(
        rmse=_step(phase["rmse"], grid.error, (0, last)),
        mae=_step(phase["mae"], grid.error, (0, last)),
        bias=_step(phase["bias"], grid.error, (-last, last)),
        r2=_step(phase["r2"], PLACES // grid.r2, (-grid.r2, grid.r2)),
        crop_rmse=tuple(_step(crops[name], grid.crop_error, each) for name in holdout.classes),
    )


def possible(grid: ErrorGrid, holdout: Holdout, *phases: PublishedErrors) -> bool:
    """Whether some targets in the range, the same in all `phases`, and predictions give these.

    |bias| <= MAE <= RMSE <= sqrt(n) MAE. The squared RMSE of all tiles is the mean of the crops',
    weighted by their tiles where those are published, else by something. And RMSE and R2 give the
    variance of the targets, which is at most a quarter of the range squared.
    """
    widest = Fraction(grid.width + grid.error) ** 2  # beyond the range: targets are float32
    variances = [_variance(phase, grid) for phase in phases]
    low = max((each[0] for each in variances), default=Fraction(0))
    high = min((each[1] for each in variances), default=inf)
    return low <= min(high, widest) and all(_adds_up(phase, grid, holdout) for phase in phases)


def _adds_up(phase: PublishedErrors, grid: ErrorGrid, holdout: Holdout) -> bool:
    whole = _squares(phase.rmse, grid.error, grid.errors)
    crops = [_squares(step, grid.crop_error, grid.crop_errors) for step in phase.crop_rmse]
    if not abs(phase.bias) <= phase.mae <= phase.rmse:
        return False
    if whole[0] > holdout.tiles * _squares(phase.mae, grid.error, grid.errors)[1]:
        return False
    if holdout.class_sizes is None:
        return min(low for low, _ in crops) <= whole[1] and whole[0] <= max(h for _, h in crops)
    pairs = list(zip(crops, holdout.class_sizes, strict=True))
    low = sum(ends[0] * tiles for ends, tiles in pairs)
    high = sum(ends[1] * tiles for ends, tiles in pairs)
    return low <= whole[1] * holdout.tiles and whole[0] * holdout.tiles <= high


def _squares(step: int, size: int, last: int) -> tuple[float, float]:
    """The squares of what rounds to `step`, in units of (1/PLACES / 2)^2; both ends included."""
    return max((2 * step - 1) * size, 0) ** 2, inf if step == last else ((2 * step + 1) * size) ** 2


def _variance(phase: PublishedErrors, grid: ErrorGrid) -> tuple[Fraction, float | Fraction]:
    """The targets' variances that give this RMSE and R2, in units of (1/PLACES / 2)^2."""
    low, high = _squares(phase.rmse, grid.error, grid.errors)
    most = Fraction(2 * grid.r2 - 2 * phase.r2 + 1, 2 * grid.r2)  # of 1 - R2
    least = Fraction(2 * grid.r2 - 2 * phase.r2 - 1, 2 * grid.r2)
    lowest = Fraction(0) if phase.r2 == -grid.r2 else Fraction(int(low)) / most
    if least <= 0 or high == inf:
        return lowest, inf
    return lowest, Fraction(int(high)) / least


def _exact(value: float) -> int:
    return int(ldexp(value, EXPONENT))


def _sums(errors: Sequence[int]) -> Sums:
    return Sums(
        tiles=len(errors),
        signed=sum(errors),
        absolute=sum(map(abs, errors)),
        squared=sum(error * error for error in errors),
    )


def _rmse(sums: Sums, size: int, last: int) -> int:
    """The RMSE in steps of `size`, half up, exactly: the root is of a whole number."""
    squared = (4 * sums.squared * PLACES**2) // (sums.tiles * size**2 << 2 * EXPONENT)
    return min((isqrt(squared) + 1) // 2, last)


def _length(step: int, size: int) -> float:
    return step * size / PLACES


def _step(value: object, size: int, ends: tuple[int, int]) -> int:
    if not isinstance(value, int | float):
        raise ValueError("a figure is no number")  # noqa: TRY004 - it is one fault among these
    step = round(value * PLACES / size)
    if not ends[0] <= step <= ends[1] or _length(step, size) != value:
        raise ValueError("a figure is not a whole number of grid steps within the range")
    return step


def _rmse_ends(step: int, size: int, tiles: int, width: int) -> tuple[Decimal, Decimal]:
    rmse, most = Decimal(step * size) / PLACES, Decimal(width) / PLACES
    factor = (Z / (2 * Decimal(tiles)).sqrt()).exp()
    return rmse / factor, min(rmse * factor, most)


def _rmse_change(before: int, after: int, grid: ErrorGrid, tiles: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two RMSEs from those of each.

    With the ends l and u of x: from d - sqrt((x2 - l2)^2 + (u1 - x1)^2) to d + sqrt((u2 - x2)^2 +
    (x1 - l1)^2), d = x2 - x1: G. Y. Zou and A. Donner, "Construction of confidence limits about
    effect measures: a general approach", Statistics in Medicine 27 (2008) 1693-1702.
    """
    with localcontext(Context(prec=40)):
        first, second = (Decimal(step * grid.error) / PLACES for step in (before, after))
        low1, high1 = _rmse_ends(before, grid.error, tiles, grid.width)
        low2, high2 = _rmse_ends(after, grid.error, tiles, grid.width)
        below = ((second - low2) ** 2 + (high1 - first) ** 2).sqrt()
        above = ((high2 - second) ** 2 + (first - low1) ** 2).sqrt()
        return _decimal(second - first - below), _decimal(second - first + above)


def _mean(steps: Sequence[int], size: int) -> int:
    """In units of 1/PLACES, half up."""
    return rounded(sum(steps) * size, len(steps))


def _decimal(value: Decimal) -> float:
    return float(value.quantize(Decimal(1) / PLACES, rounding=ROUND_HALF_UP)) + 0.0  # never -0.0

"""What follows from the published errors of a phase: means, intervals, and what changed.

Formulas on plain numbers, which `evaluator.error_arithmetic` repeats when a result is verified.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext

from evaluator.regression import ErrorGrid, PublishedErrors, length
from evaluator.scoring import PLACES, Holdout, Z, rounded


@dataclass(frozen=True, slots=True)
class ErrorFigures:
    """Everything a result says of one phase; names are those of its JSON Schema."""

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


def derive(published: PublishedErrors, grid: ErrorGrid, holdout: Holdout) -> ErrorFigures:
    """Compute every figure of the result from the published steps and published sizes alone.

    macro_rmse is the mean of the published crop_rmse, rare_rmse their mean over the rare classes.
    Intervals of single crops exist only where class sizes are published.
    """
    crops, sizes = published.crop_rmse, holdout.class_sizes
    values = [length(step, grid.crop_error) for step in crops]
    crop_interval = None
    if sizes is not None:
        ends = [
            rmse_interval(step, grid.crop_error, tiles, grid.width)
            for step, tiles in zip(crops, sizes, strict=True)
        ]
        crop_interval = dict(zip(holdout.classes, ends, strict=True))
    rare = [crops[index] for index in holdout.rare_indexes]
    return ErrorFigures(
        rmse=length(published.rmse, grid.error),
        rmse_interval=rmse_interval(published.rmse, grid.error, holdout.tiles, grid.width),
        mae=length(published.mae, grid.error),
        bias=length(published.bias, grid.error),
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
        rmse=length(after.rmse - before.rmse, grid.error),
        rmse_interval=_rmse_change(before.rmse, after.rmse, grid, holdout.tiles),
        mae=length(after.mae - before.mae, grid.error),
        bias=length(after.bias - before.bias, grid.error),
        r2=float(Decimal(after.r2 - before.r2) / grid.r2),
        macro_rmse=(macro[1] - macro[0]) / PLACES,
        rare_rmse=(rares[1] - rares[0]) / PLACES,
        crop_rmse={name: length(new - old, size) for name, old, new in pairs},
    )


def rmse_interval(step: int, size: int, tiles: int, width: int) -> tuple[float, float]:
    """Return the approximate 95 % interval of an RMSE of `step` steps over `tiles` tiles.

    From (rmse - h) exp(-z / sqrt(2n)) to (rmse + h) exp(z / sqrt(2n)), where h is the half step
    that rounding hides: the logarithm of a root mean square of n independent normal errors has a
    variance of about 1 / (2n) (M. S. Bartlett and D. G. Kendall, "The statistical analysis of
    variance-heterogeneity and the logarithmic transformation", Supplement to the JRSS 8 (1946)
    128-138). Errors with heavier tails than a normal distribution has, and tiles that resemble one
    another, would need a wider one. Computed with 40 digits, held to the range, rounded half up to
    four decimals; `size` and `width` in 1/PLACES.
    """
    with localcontext(Context(prec=40)):
        low, high = _rmse_ends(step, size, tiles, width)
        return _decimal(low), _decimal(high)


def bias_interval(published: PublishedErrors, grid: ErrorGrid, tiles: int) -> tuple[float, float]:
    """Return the approximate 95 % interval of the published bias over `tiles` tiles.

    bias -+ (h + z sqrt(((rmse + h)^2 - max(|bias| - h, 0)^2) / n)), where h is the half step that
    rounding hides: the mean of n independent errors, whose variance is rmse^2 - bias^2, is near a
    normal distribution by the central limit theorem. Computed, held to the range and rounded as
    `rmse_interval` does.
    """
    with localcontext(Context(prec=40)):
        rmse, bias = (
            Decimal(step * grid.error) / PLACES for step in (published.rmse, published.bias)
        )
        hidden = Decimal(grid.error) / PLACES / 2
        variance = (rmse + hidden) ** 2 - max(abs(bias) - hidden, Decimal(0)) ** 2
        half = hidden + Z * (max(variance, Decimal(0)) / tiles).sqrt()
        most = Decimal(grid.width) / PLACES
        return _decimal(max(bias - half, -most)), _decimal(min(bias + half, most))


def _rmse_ends(step: int, size: int, tiles: int, width: int) -> tuple[Decimal, Decimal]:
    rmse, most = Decimal(step * size) / PLACES, Decimal(width) / PLACES
    hidden, factor = Decimal(size) / PLACES / 2, (Z / (2 * Decimal(tiles)).sqrt()).exp()
    return max(rmse - hidden, Decimal(0)) / factor, min((rmse + hidden) * factor, most)


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

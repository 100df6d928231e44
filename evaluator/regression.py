"""Measure predicted numbers, round them to the published grid, and derive the rest from that.

What `scoring` is to classes, for a target of its own unit on each tile (yield in t/ha):

    measure  targets and predictions -> exact sums of errors, for the data owner alone
    publish  exact sums -> whole steps of a grid: all that a submission can influence
    derive   whole steps -> every figure of the result (`evaluator.error_figures`)

An error is prediction minus target. Both are float32, so every sum is a whole number of powers of
two, and Python's integers hold it exactly: no order of adding and no processor changes a figure.
Lengths on the grid are whole numbers of 1/PLACES of the target's unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isqrt, sqrt
from typing import TYPE_CHECKING

from evaluator.errors import OwnerError
from evaluator.scoring import PLACES, rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

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
    def of(cls, limits: Sequence[float], error: float, crop_error: float, r2: int) -> ErrorGrid:
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


def measure(
    labels: Sequence[int] | NDArray[np.uint8],
    targets: Sequence[float] | NDArray[np.float32],
    predictions: Sequence[float] | NDArray[np.float32],
    classes: Sequence[str],
    rare: Sequence[str],
) -> Errors:
    """Sum the errors of (N,) finite float32 predictions, for each crop in (N,) labels.

    Raises OwnerError where a class has no tile, no class is rare, or all targets are equal: a
    figure that cannot be computed is an error, never 0.
    """
    import numpy as np  # noqa: PLC0415  # verification goes without

    from evaluator.error_sums import sums_of_errors  # noqa: PLC0415  # as above

    wanted, given = (np.asarray(values, np.float32) for values in (targets, predictions))
    sums = sums_of_errors(np.asarray(labels, np.uint8), wanted, given, len(classes))
    empty = [name for name, tiles in zip(classes, sums["tiles"], strict=True) if not tiles]
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
    spread = sum(sums["tiles"]) * sum(sums["targets_squared"]) - sum(sums["targets"]) ** 2
    if not spread:
        raise OwnerError(
            "All targets of the holdout are equal, so R2 cannot be computed. Import tiles whose "
            "targets differ."
        )
    each = zip(*(sums[name] for name in Sums.__slots__), strict=True)
    return Errors(tuple(classes), tuple(rare), tuple(Sums(*crop) for crop in each), spread)


def publish(errors: Errors, grid: ErrorGrid) -> PublishedErrors:
    """Round the sums to the grid, and hold them to the range; nothing else is ever published.

    RMSE and MAE are at most the width of the range, a figure there meaning that or more; bias is
    within the width on either side of 0, and R2 = 1 - (sum of squared errors) / (sum of squared
    differences of the targets from their mean) within -1 and 1. Halves round away from 0.
    """
    whole, n = errors.all, errors.all.tiles
    bias = rounded(abs(whole.signed) * PLACES, n * grid.error << EXPONENT)
    left = errors.spread - n * whole.squared
    r2 = rounded(abs(left) * grid.r2, errors.spread) * (-1 if left < 0 else 1)
    return PublishedErrors(
        rmse=_rmse(whole, grid.error, grid.errors),
        mae=min(rounded(whole.absolute * PLACES, n * grid.error << EXPONENT), grid.errors),
        bias=min(bias, grid.errors) * (-1 if whole.signed < 0 else 1),
        r2=max(r2, -grid.r2),
        crop_rmse=tuple(_rmse(crop, grid.crop_error, grid.crop_errors) for crop in errors.crops),
    )


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


def length(step: int, size: int) -> float:
    """Return `step` steps of `size` / PLACES in the target's unit, as the nearest float64."""
    return step * size / PLACES


def _rmse(sums: Sums, size: int, last: int) -> int:
    """The RMSE in steps of `size`, half up, exactly: the root is of a whole number."""
    squared = (4 * sums.squared * PLACES**2) // (sums.tiles * size**2 << 2 * EXPONENT)
    return min((isqrt(squared) + 1) // 2, last)

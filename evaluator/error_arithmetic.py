"""Steps 9 and 10 of verification where numbers were predicted: every error follows, or may be.

On the plain JSON of a result that its schema has been through. What the two steps are for classes
is in `evaluator.verify`.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import inf
from typing import Any

from evaluator.error_figures import derive, difference
from evaluator.errors import OwnerError, VerificationError
from evaluator.jcs import as_read
from evaluator.regression import ErrorGrid, PublishedErrors, length
from evaluator.scoring import PLACES, Holdout

Json = dict[str, Any]


def require_errors(predicate: Json, holdout: Holdout) -> None:
    """Raise VerificationError, naming the step, unless the errors of all phases add up.

    9. The independent figures lie on the published grid within the range of the targets, and some
       targets, the same in both phases, and some predictions give them.
    10. Every other figure, intervals and what changed included, follows from those.
    """
    grid, phases = error_grid_of(predicate), predicate["phases"]
    scored = [
        phases[name]
        for name in ("baseline", "tuned")
        if phases[name] and phases[name]["status"] == "OK"
    ]
    try:
        figures = [on_grid(phase, grid, holdout) for phase in scored]
    except ValueError as error:
        raise VerificationError(
            "Step 9, grid: an error is not a whole number of grid steps within the range of the "
            "targets, or the errors are not one for each class."
        ) from error
    if not possible(grid, holdout, *figures):
        raise VerificationError(
            "Step 9, errors: no targets in the range and no predictions give these figures."
        )
    for phase, published in zip(scored, figures, strict=True):
        stated = {name: phase[name] for name in phase if name not in {"status", "task", "charge"}}
        if stated != as_read(derive(published, grid, holdout)):
            raise VerificationError(
                "Step 10, derived figures: a mean or an interval does not follow from the "
                "published figures."
            )
    gain = phases["gain"]
    if gain and gain != as_read(difference(figures[0], figures[1], grid, holdout)):
        raise VerificationError(
            "Step 10, derived figures: a gain does not follow from the figures of the two phases."
        )


def error_grid_of(predicate: Json) -> ErrorGrid:
    """Return the grid of a result; VerificationError where its range or steps are none."""
    steps, limits = predicate["grid"], predicate["dataset"]["range"]
    try:
        r2 = round(1 / steps["r2"])
        return ErrorGrid.of(limits, float(steps["error"]), float(steps["crop_error"]), r2)
    except OwnerError as error:
        raise VerificationError(
            "Step 8, schema: the range of the targets is no whole number of the grid's steps."
        ) from error


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


def _step(value: object, size: int, ends: tuple[int, int]) -> int:
    if not isinstance(value, int | float):
        raise ValueError("a figure is no number")  # noqa: TRY004 - it is one fault among these
    step = round(value * PLACES / size)
    if not ends[0] <= step <= ends[1] or length(step, size) != value:
        raise ValueError("a figure is not a whole number of grid steps within the range")
    return step

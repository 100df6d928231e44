"""The parts of a result that say how far predicted numbers were off; see `evaluator.predicate`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal, Self

from pydantic import Field

from evaluator.error_figures import ErrorDifference, derive
from evaluator.errors import OwnerError
from evaluator.fields import ClassName, ErrorStep, Model, Petaflops, Step
from evaluator.regression import ErrorGrid, PublishedErrors
from evaluator.scoring import PLACES, Holdout

Length = Annotated[float, Field(ge=0, le=1e10)]
Signed = Annotated[float, Field(ge=-1e10, le=1e10)]
R2 = Annotated[float, Field(ge=-1, le=1)]


class ErrorSteps(Model):
    """The published grid, in the unit of the targets: figures are whole numbers of these.

    `error` is the step of rmse, mae and bias, `crop_error` that of crop_rmse.
    """

    error: ErrorStep
    crop_error: ErrorStep
    r2: Step

    @classmethod
    def of(cls, grid: ErrorGrid) -> Self:
        """Return the grid as decimals."""
        return cls(error=grid.error / PLACES, crop_error=grid.crop_error / PLACES, r2=1 / grid.r2)

    def grid(self, limits: Sequence[float]) -> ErrorGrid:
        """Return it as whole numbers, for targets within `limits`; ValueError where none is."""
        try:
            return ErrorGrid.of(limits, self.error, self.crop_error, round(1 / self.r2))
        except OwnerError as error:
            raise ValueError("the range of the targets is no whole number of steps") from error


class ErrorPhase(Model):
    """Figures of a phase whose predictions were numbers, in the unit of the targets.

    Independent: rmse, mae, bias (mean of prediction minus target), r2 and crop_rmse, rounded half
    away from 0 to the grid and held to the range of the targets: an error of its whole width means
    that or more, an r2 of -1 that or less. The others follow, rounded half up to four decimals:
    macro_rmse is the mean of crop_rmse, rare_rmse that over rare_classes. Intervals are
    approximate, for independent and normal errors over n tiles, and held to the range:
    (rmse -+ h) exp(-+ z / sqrt(2n)), and bias -+ (h + z sqrt(v / n)), where v = (rmse + h)^2 -
    max(|bias| - h, 0)^2, z = 1.959963984540054, and h is half a step of the grid.
    """

    status: Literal["OK"]
    task: Literal["regression"]
    charge: Petaflops
    rmse: Length
    rmse_interval: tuple[Length, Length]
    mae: Length
    bias: Signed
    bias_interval: tuple[Signed, Signed]
    r2: R2
    macro_rmse: Length
    rare_rmse: Length
    crop_rmse: dict[ClassName, Length]
    crop_rmse_interval: dict[ClassName, tuple[Length, Length]] | None

    @classmethod
    def of(
        cls, published: PublishedErrors, grid: ErrorGrid, holdout: Holdout, charge: float
    ) -> Self:
        """Return the phase with everything that follows from the published steps."""
        figures = asdict(derive(published, grid, holdout))
        return cls(status="OK", task="regression", charge=charge, **figures)


class ErrorGain(Model):
    """Fine-tuned minus baseline, so an error that fell is negative; it follows from both phases.

    The interval is Zou and Donner's, as if the phases had been measured on different tiles.
    """

    rmse: Signed
    rmse_interval: tuple[Signed, Signed]
    mae: Signed
    bias: Signed
    r2: Annotated[float, Field(ge=-2, le=2)]
    macro_rmse: Signed
    rare_rmse: Signed
    crop_rmse: dict[ClassName, Signed]

    @classmethod
    def of(cls, changed: ErrorDifference) -> Self:
        """Return the differences as they are published."""
        return cls(**asdict(changed))

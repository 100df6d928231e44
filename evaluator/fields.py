"""What several models of a result's parts are made of."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from evaluator.petaflops import in_micro
from evaluator.regression import in_places
from evaluator.scoring import PLACES


def _is_decimal(value: float) -> float:
    in_places(value)
    return value


def _is_step(value: float) -> float:
    steps = round(1 / value)
    if PLACES % steps or 1 / steps != value:
        raise ValueError("a step is 1 divided by a divisor of 10,000")
    return value


UNIT = r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]{0,22}[^\x00-\x20\x7f])?$"
"""Of a target, such as t/ha or kg N/ha: at most 24 letters."""

ClassName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]
Petaflops = Annotated[float, Field(ge=0, le=1e9), AfterValidator(in_micro)]
SomePetaflops = Annotated[float, Field(gt=0, le=1e9), AfterValidator(in_micro)]
Step = Annotated[float, Field(ge=1 / PLACES, le=1), AfterValidator(_is_step)]
Places = Annotated[float, Field(ge=-1e9, le=1e9), AfterValidator(_is_decimal)]
"""A number of at most four decimals."""
ErrorStep = Annotated[float, Field(gt=0, le=1e9), AfterValidator(_is_decimal)]


class Model(BaseModel):
    """Exactly the fields named, of exactly their types, never changed."""

    # Built when it is first needed: a command needs few of them, and most as parts of others.
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, defer_build=True
    )

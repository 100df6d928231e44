"""What a decision rests on beside signed results: the operator's own figures, from a TOML file.

They are nobody's proof. A row under `hypothetical` is a what-if, and is called "not signed"
wherever it is shown.
"""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from evaluator.errors import OwnerError
from evaluator.fields import UNIT
from evaluator.predicate import VendorName

Task = Literal["classification", "regression"]

EXAMPLE = """\
# What choosing a model for a year depends on, beside the signed results.
# Keys that are not commented out are needed; money is for a year, in one currency.
version = 1
currency = "EUR"

# The area that the model is to map.
area_km2 = 1_500_000

# What a square kilometre that is classified wrong costs.
cost_per_misclassified_km2 = 18
# For yield forecasting instead: what a mean absolute error of 1 t/ha costs, for each km2.
# cost_per_unit_error = 60
# unit = "t/ha"        # another one, where the results are in that

# What you do today, or would do without a vendor. (Yield: `mae = 0.62` instead of `accuracy`.)
[internal]
accuracy = 0.845
annual_cost = 280_000

# What a licence costs for each km2, by vendor. Without a line here the offer counts that was handed
# in with the submission, where the log is at hand (--board).
[licence]
# acme = 0.25

# What-ifs: figures that nobody signed, and that are called so in every table. Delete these three
# once you have results. The intervals (optional) are those of figures measured on 5,000 tiles.
[[hypothetical]]
name = "vendor A"
accuracy = 0.908
accuracy_interval = [0.8997, 0.9157]
licence_per_km2 = 0.25

[[hypothetical]]
name = "vendor B"
accuracy = 0.945
accuracy_interval = [0.9383, 0.951]
licence_per_km2 = 0.22

[[hypothetical]]
name = "vendor C"
accuracy = 0.932
accuracy_interval = [0.9247, 0.9387]
licence_per_km2 = 0.10
"""
"""`evaluator decide --example`: the use case's own numbers."""


def _number(value: object) -> Decimal:
    """TOML's numbers as they are written, never by way of a float."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("write a number, without quotes")  # noqa: TRY004 - pydantic expects it
    return Decimal(value)


_Number = Annotated[Decimal, BeforeValidator(_number)]
Amount = Annotated[_Number, Field(ge=0, le=10**15, decimal_places=6)]
Positive = Annotated[_Number, Field(gt=0, le=10**15, decimal_places=6)]
Share = Annotated[_Number, Field(ge=0, le=1, decimal_places=6)]
Error = Annotated[_Number, Field(ge=0, le=10**6, decimal_places=6)]
Label = Annotated[str, Field(pattern=r"^[\w][\w .()-]*$", max_length=40)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class _Model(_Section):
    """A model by its own figure: `accuracy` or, for yields, `mae` in their unit."""

    accuracy: Share | None = None
    mae: Error | None = None

    @property
    def figure(self) -> Decimal | None:
        """The one of the two that is given."""
        return self.mae if self.accuracy is None else self.accuracy


class Internal(_Model):
    """What there is without any vendor."""

    annual_cost: Amount


class Hypothetical(_Model):
    """A what-if; the interval, where there is one, is [low, high] of its figure."""

    name: Label
    accuracy_interval: Annotated[list[Share], Field(min_length=2, max_length=2)] | None = None
    mae_interval: Annotated[list[Error], Field(min_length=2, max_length=2)] | None = None
    licence_per_km2: Amount

    @property
    def interval(self) -> list[Decimal] | None:
        """That of `figure`."""
        return self.mae_interval if self.accuracy is None else self.accuracy_interval

    @model_validator(mode="after")
    def _around(self) -> Self:
        ends, figure = self.interval, self.figure
        if ends and figure is not None and not ends[0] <= figure <= ends[1]:
            raise ValueError("the interval must be [low, high], with the figure in between")
        return self


class Assumptions(_Section):
    """The file, whole: an unknown key is an error."""

    version: Literal[1]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    area_km2: Positive
    cost_per_misclassified_km2: Positive | None = None
    cost_per_unit_error: Positive | None = None
    unit: Annotated[str, Field(pattern=UNIT)] = "t/ha"
    internal: Internal
    licence: dict[VendorName, Amount] = Field(default_factory=dict)
    hypothetical: list[Hypothetical] = Field(default_factory=list)

    @property
    def task(self) -> Task:
        """What the models do: the cost that is given says it."""
        return "regression" if self.cost_per_misclassified_km2 is None else "classification"

    @property
    def unit_cost(self) -> Decimal:
        """The cost of one unit of error on one km2; the unit is 1 (all of it), or 1 `unit`."""
        return self.cost_per_misclassified_km2 or self.cost_per_unit_error or Decimal(0)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.cost_per_misclassified_km2 is None) == (self.cost_per_unit_error is None):
            raise ValueError(
                "give one of cost_per_misclassified_km2 (classes) and cost_per_unit_error (yields)"
            )
        wanted, other = ("accuracy", "mae")[:: -1 if self.task == "regression" else 1]
        for model in (self.internal, *self.hypothetical):
            intervals = getattr(model, f"{other}_interval", None)
            if getattr(model, wanted) is None or getattr(model, other) is not None or intervals:
                raise ValueError(f"with this cost every model has `{wanted}`, and no `{other}`")
        if len({each.name for each in self.hypothetical}) < len(self.hypothetical):
            raise ValueError("two hypothetical models have the same name")
        return self


def load_assumptions(path: Path) -> Assumptions:
    """Read the file; every problem in it becomes one line of an OwnerError."""
    try:
        document = tomllib.loads(path.read_text(), parse_float=Decimal)
    except (OSError, ValueError, ArithmeticError) as error:
        raise OwnerError(
            f"{path} cannot be read as TOML: {error}. `evaluator decide --example` prints a file "
            "to start from."
        ) from error
    try:
        return Assumptions.model_validate(document)
    except ValidationError as error:
        problems = "\n".join(
            f"  {'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise OwnerError(f"{path} is not as it must be:\n{problems}") from error

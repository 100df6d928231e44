"""evaluator.toml: the rules of a window, as their owner writes them down."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads it
import tomllib
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from evaluator.errors import OwnerError
from evaluator.fields import UNIT
from evaluator.petaflops import in_micro
from evaluator.regression import ErrorGrid
from evaluator.scoring import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


Petaflops = Annotated[float, Field(gt=0, le=1e9), AfterValidator(in_micro)]
# Lengths are not part of a pattern with \w: a counted \w takes the regex engine 50 ms to compile.
Name = Annotated[str, Field(pattern=r"^[\w][\w .-]*$", max_length=64)]
Device = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w./:=-]*$", max_length=128)]


class DatasetRules(_Section):
    """What an import must look like."""

    classes: list[Name] = Field(max_length=255)
    rare: Annotated[int, Field(ge=1)] | list[Name]
    tile: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=2, max_length=2)]
    task: Literal["classification", "regression"] = "classification"
    unit: Annotated[str, Field(pattern=rf"^$|{UNIT}")] = ""
    range: Annotated[list[float], Field(max_length=2)] = []

    @model_validator(mode="after")
    def _has_targets(self) -> DatasetRules:
        given = (bool(self.unit), len(self.range) == 2)
        if self.task == "regression" and given != (True, True):
            raise ValueError('regression needs a unit, such as "t/ha", and a range, [low, high]')
        if self.task == "classification" and (any(given) or self.range):
            raise ValueError("a unit and a range belong to regression; leave them empty")
        return self


class Window(_Section):
    """First and last day, UTC, on which submissions are evaluated."""

    opens: dt.date
    closes: dt.date

    @model_validator(mode="after")
    def _in_order(self) -> Window:
        if self.closes < self.opens:
            raise ValueError("the window closes before it opens")
        return self


class VendorLimits(_Section):
    """What one vendor may use in the window; its row in the ledger may say otherwise."""

    submissions: int = Field(ge=1)
    submissions_per_day: int = Field(ge=1)
    petaflops: Petaflops
    submission_bytes: int = Field(ge=1)


class Fees(_Section):
    """What a vendor owes for each submission that was evaluated."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    per_submission: Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{2})?$")]

    @property
    def cents(self) -> int:
        """The fee in hundredths of the currency."""
        whole, _, hundredths = self.per_submission.partition(".")
        return 100 * int(whole) + int(hundredths or 0)


class Resources(_Section):
    """What one container gets."""

    cpus: float = Field(gt=0)
    memory_bytes: int = Field(ge=64 * 2**20)
    gpus: int = Field(ge=0)
    gpu_memory_bytes: int = Field(ge=0)
    gpu_peak_flops: float = Field(ge=0)
    gpu_devices: list[Device]
    slots: list[Annotated[str, Field(pattern=r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$")]]

    @model_validator(mode="after")
    def _disjoint(self) -> Resources:
        sets = [cpus_of(slot) for slot in self.slots]
        if sum(map(len, sets)) > len(frozenset().union(*sets)):
            raise ValueError("two slots share a CPU: runs side by side have CPUs of their own")
        if any(len(each) < self.cpus for each in sets):
            raise ValueError("a slot has fewer CPUs than a run gets (resources.cpus)")
        return self


def cpus_of(slot: str) -> frozenset[int]:
    """The numbers of the CPUs in a set, written as the kernel writes it: 0-3,8."""
    ends = (part.partition("-")[::2] for part in slot.split(","))
    return frozenset(n for first, last in ends for n in range(int(first), int(last or first) + 1))


class TrainingRules(_Section):
    """What becomes of a model that was trained on the owner's tiles."""

    keep_adapted_model: bool


class Publish(_Section):
    """What the signed result may say, and when."""

    class_sizes: bool
    release_every_hours: int = Field(ge=1, le=24 * 31)
    leakage_budget_bits: int = Field(ge=0, le=2**40)
    accuracy_steps: int = Field(ge=1, le=10_000)
    recall_steps: int = Field(ge=1, le=10_000)
    rare_accuracy_steps: int = Field(ge=1, le=10_000)
    charge_steps: int = Field(ge=1, le=10_000)
    rank_by: Literal[
        "accuracy", "macro_recall", "rare_accuracy", "rare_recall", "rmse", "mae", "r2"
    ]
    suppress_below: int = Field(ge=2, le=1_000_000)
    error_step: float = Field(0.01, gt=0)
    crop_error_step: float = Field(0.1, gt=0)
    r2_steps: int = Field(100, ge=1, le=10_000)

    def grid(self) -> Grid:
        """The grid of the published figures; OwnerError where a step is no exact decimal."""
        return Grid(self.accuracy_steps, self.recall_steps, self.rare_accuracy_steps)

    def error_grid(self, limits: Sequence[float]) -> ErrorGrid:
        """The grid of errors of targets within `limits`; OwnerError as in `grid`."""
        return ErrorGrid.of(limits, self.error_step, self.crop_error_step, self.r2_steps)

    def charge_step(self, budget: int) -> int:
        """The step of a budget, both in micro-petaflops; OwnerError where it is no whole number."""
        step, rest = divmod(budget, self.charge_steps)
        if rest:
            raise OwnerError(
                f"Charges are published in {self.charge_steps} steps of a vendor's petaflops, and "
                "a step has at most six decimals. Give petaflops that divide so (limits.petaflops "
                "in evaluator.toml, or `evaluator vendors change`), or change charge_steps there."
            )
        return step


class Witness(_Section):
    """Somebody who signs that the log only grew: where it answers, and its key."""

    url: Annotated[str, Field(pattern=r"^https?://[!-~]{1,200}$")]
    key: Annotated[str, Field(pattern=r"^[!-~]{1,300}$")]


class LogRules(_Section):
    """The public log; `quorum` witnesses must have signed what is published."""

    origin: Annotated[str, Field(pattern=r"^[!-*,-~]{1,200}$")]
    witnesses: list[Witness]
    quorum: int = Field(ge=0)

    @model_validator(mode="after")
    def _reachable(self) -> LogRules:
        if self.quorum > len(self.witnesses):
            raise ValueError("the quorum is larger than the number of witnesses")
        return self


class Settings(_Section):
    """evaluator.toml, whole: an unknown or missing key is an error."""

    dataset: DatasetRules
    window: Window
    limits: VendorLimits
    fees: Fees
    resources: Resources
    training: TrainingRules
    publish: Publish
    log: LogRules

    def error_grid(self) -> ErrorGrid | None:
        """The grid of errors, None where classes are predicted; OwnerError as in `Publish.grid`."""
        return self.publish.error_grid(self.dataset.range) if self.dataset.range else None


def read_settings(text: str, path: Path) -> Settings:
    """Read evaluator.toml's text; every problem in it becomes one line of an OwnerError."""
    try:
        document = tomllib.loads(text)
    except ValueError as error:
        raise OwnerError(f"{path} cannot be read as TOML: {error}") from error
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        problems = "\n".join(
            f"  {'.'.join(map(str, problem['loc'])) or path.name}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise OwnerError(f"{path} is not as it must be:\n{problems}") from error

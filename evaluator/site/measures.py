"""The figures of a phase that pages show, in the order of their columns: name, words, unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from evaluator.site import words

if TYPE_CHECKING:
    from evaluator.board.values import Board, Row
    from evaluator.error_figures import ErrorDifference, ErrorFigures
    from evaluator.scoring import Difference, Figures

    AnyFigures = Figures | Difference | ErrorFigures | ErrorDifference

Ends = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)  # there is one of each, so `is` will do
class Measure:
    """One figure: `name` is its attribute, and NAME_interval its 95 % interval where it has one.

    `percent` is a share of 1, shown in per cent; else a number in `unit`, that of the targets, or
    in none. `lower` where less is better, and `mean` where it is a mean of others: those shares are
    rounded to a decimal, as the ends of intervals are (in a unit to three digits); the rest is as
    it was published. The figures of single classes are dictionaries by their names.
    """

    name: str
    label: str
    percent: bool = True
    lower: bool = False
    mean: bool = False
    unit: str = ""

    @property
    def heading(self) -> str:
        """The label with its unit, as a column or an axis has it."""
        unit = "%" if self.percent else self.unit
        return f"{self.label}, {unit}" if unit else self.label

    def of(self, figures: AnyFigures | None) -> float | None:
        """The value in the figures of a phase, or in a gain; None where there is none."""
        return getattr(figures, self.name, None)

    def interval(self, figures: AnyFigures | None) -> Ends | None:
        """The two ends of its interval."""
        return getattr(figures, f"{self.name}_interval", None)

    def of_classes(self, figures: AnyFigures | None) -> dict[str, float]:
        """The value of each class by its name; empty where there are none."""
        return getattr(figures, self.name, None) or {}

    def intervals_of_classes(self, figures: AnyFigures | None) -> dict[str, Ends]:
        """The interval of each class by its name."""
        return getattr(figures, f"{self.name}_interval", None) or {}

    def text(self, value: float) -> str:
        """The value as a cell says it, without the unit."""
        if not self.percent:
            return words.number(value)
        return words.tenths(value) if self.mean else words.percent(value)

    def change(self, value: float) -> str:
        """A gain as a cell says it: percentage points, or the labels' unit."""
        if not self.percent:
            return words.signed(value)
        return words.tenths(value, "+") if self.mean else words.points(value)

    def end(self, value: float, sign: str = "") -> str:
        """An end of an interval or of a scale; `sign` is + for that of a gain."""
        return words.tenths(value, sign) if self.percent else words.rough(value, sign)

    def between(self, ends: Ends, sign: str = "") -> str:
        """An interval as a cell says it."""
        return f"[{self.end(ends[0], sign)}, {self.end(ends[1], sign)}]"


CLASSIFICATION = (
    Measure("accuracy", "accuracy"),
    Measure("macro_recall", "macro recall", mean=True),
    Measure("rare_accuracy", "rare-class accuracy"),
    Measure("rare_recall", "rare-class recall", mean=True),
)
REGRESSION = (
    Measure("rmse", "RMSE", percent=False, lower=True),
    Measure("mae", "MAE", percent=False, lower=True),
    Measure("bias", "bias", percent=False),
    Measure("r2", "R²", percent=False),
    Measure("macro_rmse", "RMSE, mean of the classes", percent=False, lower=True),
    Measure("rare_rmse", "RMSE, mean of the rare classes", percent=False, lower=True),
)
BY_CLASS = {
    "classification": Measure("recall", "recall"),
    "regression": Measure("crop_rmse", "RMSE", percent=False, lower=True),
}
"""The figure of each class, by task."""


@cache
def _in_unit(measure: Measure, unit: str | None) -> Measure:
    """The same one for the same unit; R² is a ratio and has none."""
    if unit is None or measure.percent or measure.name == "r2":
        return measure
    return replace(measure, unit=words.short(unit))


def measures(board: Board) -> tuple[Measure, ...]:
    """The figures of this board's task."""
    of_task = REGRESSION if board.task == "regression" else CLASSIFICATION
    return tuple(_in_unit(each, board.unit) for each in of_task)


def by_class(board: Board) -> Measure:
    """The figure that this board's task has for each class."""
    return _in_unit(BY_CLASS[board.task], board.unit)


def ranked_by(board: Board) -> Measure:
    """The figure that the board is ranked by."""
    return next(each for each in measures(board) if each.name == board.metric)


def ranked_figures(row: Row) -> Figures | ErrorFigures | None:
    """The figures that count: fine-tuned, or as submitted where nothing was fine-tuned."""
    return row.tuned or row.baseline

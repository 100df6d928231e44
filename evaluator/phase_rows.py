"""The figures of a result's phases as rows of a table: shares for classes, errors for numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.predicate import SCORED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.predicate import Predicate

Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Layout:
    """The rows of one task: label, figure and interval (or ""), then those of each class.

    `value` is how a figure is written, `end` an end of an interval, `change` a gain.
    """

    figures: tuple[tuple[str, str, str], ...]
    of_class: tuple[str, str, str]
    value: Callable[[float], str]
    end: Callable[[float], str]
    change: Callable[[float], str]

    def cell(self, value: float, ends: Ends | None) -> str:
        """A figure, with its interval in brackets where it has one."""
        interval = f" [{self.end(ends[0])}, {self.end(ends[1])}]" if ends else ""
        return self.value(value) + interval


_SHARES = _Layout(
    (
        ("accuracy", "accuracy", "accuracy_interval"),
        ("macro recall", "macro_recall", ""),
        ("accuracy, rare classes", "rare_accuracy", "rare_accuracy_interval"),
        ("recall, rare classes", "rare_recall", ""),
    ),
    ("recall", "recall", "recall_interval"),
    value=lambda share: f"{100 * share:5.4g}",
    end=lambda share: f"{100 * share:.1f}",
    change=lambda share: f"{100 * share:+.4g}",
)
_ERRORS = _Layout(
    (
        ("RMSE", "rmse", "rmse_interval"),
        ("MAE", "mae", ""),
        ("bias", "bias", "bias_interval"),
        ("R2", "r2", ""),
        ("RMSE, mean of the crops", "macro_rmse", ""),
        ("RMSE, mean of the rare ones", "rare_rmse", ""),
    ),
    ("RMSE", "crop_rmse", "crop_rmse_interval"),
    value=lambda error: f"{error:.6g}",
    end=lambda error: f"{error:.4g}",
    change=lambda error: f"{error:+.6g}",
)


def phase_rows(predicate: Predicate) -> Iterator[tuple[str, list[str], bool]]:
    """The label of each row, its cells (phases, then the change), and whether a line follows."""
    layout = _ERRORS if predicate.dataset.task == "regression" else _SHARES
    scored = [phase for phase in predicate.phases.all() if isinstance(phase, SCORED)]
    gain = predicate.phases.gain
    for label, figure, interval in layout.figures:
        cells = [
            layout.cell(getattr(phase, figure), getattr(phase, interval) if interval else None)
            for phase in scored
        ]
        cells += [layout.change(getattr(gain, figure))] if gain else []
        yield label, cells, figure == layout.figures[-1][1]
    label, figure, interval = layout.of_class
    for name in predicate.dataset.classes:
        cells = [
            layout.cell(getattr(phase, figure)[name], (getattr(phase, interval) or {}).get(name))
            for phase in scored
        ]
        cells += [layout.change(getattr(gain, figure)[name])] if gain else []
        rare = " (rare)" if name in predicate.dataset.rare_classes else ""
        yield f"{label}, {name}{rare}", cells, False

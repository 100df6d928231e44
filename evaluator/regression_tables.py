"""The figures of a result whose predictions are numbers, as rows of the table of its phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.error_phases import ErrorGain, ErrorPhase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.predicate import Predicate

_FIGURES = {
    "RMSE": ("rmse", "rmse_interval"),
    "MAE": ("mae", ""),
    "bias": ("bias", "bias_interval"),
    "R2": ("r2", ""),
    "RMSE, mean of the crops": ("macro_rmse", ""),
    "RMSE, mean of the rare ones": ("rare_rmse", ""),
}


def error_rows(predicate: Predicate) -> Iterator[tuple[str, list[str], bool]]:
    """The label of each row, its cells (phases, then the change), and whether a line follows."""
    phases = [phase for phase in predicate.phases.all() if isinstance(phase, ErrorPhase)]
    changed = predicate.phases.gain
    assert changed is None or isinstance(changed, ErrorGain)  # noqa: S101 - the schema says so
    for label, (figure, interval) in _FIGURES.items():
        cells = [
            _cell(getattr(phase, figure), getattr(phase, interval) if interval else None)
            for phase in phases
        ]
        cells += [_signed(getattr(changed, figure))] if changed else []
        yield label, cells, figure == "rare_rmse"
    for name in predicate.dataset.classes:
        cells = [
            _cell(phase.crop_rmse[name], (phase.crop_rmse_interval or {}).get(name))
            for phase in phases
        ]
        cells += [_signed(changed.crop_rmse[name])] if changed else []
        rare = " (rare)" if name in predicate.dataset.rare_classes else ""
        yield f"RMSE, {name}{rare}", cells, False


def _cell(value: float, ends: tuple[float, float] | None) -> str:
    interval = f" [{ends[0]:.4g}, {ends[1]:.4g}]" if ends else ""
    return f"{value:.6g}{interval}"


def _signed(change: float) -> str:
    return f"{change:+.6g}"

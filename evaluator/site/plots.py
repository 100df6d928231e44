"""The two plots of a whole board: who ranks where, and how results came in over time."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import accumulate
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING

import matplotlib.dates as mdates
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from evaluator.board.ranking import rankable
from evaluator.site import words
from evaluator.site.figures import (
    BASELINE,
    GROUND,
    INK,
    MUTED,
    NARROW,
    TUNED,
    WIDE,
    figure,
    style,
)
from evaluator.site.measures import ranked_by, ranked_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from evaluator.board.values import Board, Row
    from evaluator.site.measures import Measure

SHOWN = 30
"""Vendors in the plot of the ranking; the table has them all."""

DOTS = 1000
"""More results than these are drawn as the range of each period: a page must stay small."""


def ranking_plot(board: Board) -> Markup:
    """The ranked figure of each vendor's best result, with its 95 % interval."""
    measure = ranked_by(board)
    rows = [row for row in board.rows if row.rank is not None][:SHOWN]
    wide, narrow = (_ranking(board, rows, measure, width) for width in (WIDE, NARROW))
    more = f" The first {SHOWN} vendors; all are in the table." if len(board.rows) > SHOWN else ""
    return figure(
        wide,
        f"{measure.label} of each vendor's best result",
        f"A dot for each vendor, the best at the top, with its 95 % interval; a hollow dot is the "
        f"baseline of the same submission.{more}",
        name="ranking",
        narrow=narrow,
    )


def _ranking(board: Board, rows: Sequence[Row], measure: Measure, width: float) -> Figure:
    scale = 100 if measure.percent else 1
    with style():
        fig = Figure(figsize=(width, 0.9 + 0.34 * len(rows)), layout="constrained")
        axes = fig.subplots()
        axes.grid(visible=False, axis="y")
        for place, row in enumerate(rows):
            best, before = ranked_figures(row), measure.of(row.baseline)
            if row.tuned and before is not None:
                axes.plot(
                    scale * before,
                    place,
                    "o",
                    markersize=6,
                    markerfacecolor=GROUND,
                    markeredgecolor=BASELINE,
                    markeredgewidth=1.5,
                    zorder=3,
                )
            colour = TUNED if row.tuned else BASELINE
            if ends := measure.interval(best):
                span = [scale * end for end in ends]
                axes.plot(span, [place, place], color=colour, linewidth=2.2, zorder=3)
            axes.plot(
                scale * (measure.of(best) or 0), place, "o", color=colour, markersize=8, zorder=4
            )
        majority = measure.of(board.majority)
        if majority is not None and _near(majority, rows, measure):
            axes.axvline(scale * majority, color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2)
        limit = 28 if width > NARROW else 14
        axes.set_yticks(range(len(rows)), [words.short(row.vendor, limit) for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.margins(x=0.04)
        axes.set_xlabel(measure.heading)
    return fig


def _near(majority: float, rows: Sequence[Row], measure: Measure) -> bool:
    """Whether a line there leaves room to tell the vendors apart."""
    values = [value for row in rows if (value := measure.of(ranked_figures(row))) is not None]
    return bool(values) and majority > min(values) - 2 * (max(values) - min(values) + 0.02)


def history_plot(board: Board) -> Markup:
    """Every result that can have a rank by its release, with the best so far as a line."""
    measure = ranked_by(board)
    scored = [
        (datetime.fromisoformat(row.released), value)
        for row in board.all
        if rankable(row) and (value := measure.of(ranked_figures(row))) is not None
    ]
    scored.sort(key=itemgetter(0))
    if not scored:
        return Markup()
    wide, narrow = (_history(scored, measure, width) for width in (WIDE, NARROW))
    drawn = "A dot for each result" if len(scored) <= DOTS else "The range of each period's results"
    return figure(
        wide,
        f"{measure.label} of all results over time",
        f"{drawn} by its release, and a line for the best so far.",
        name="history",
        narrow=narrow,
    )


def _history(scored: Sequence[tuple[datetime, float]], measure: Measure, width: float) -> Figure:
    scale = 100 if measure.percent else 1
    times = np.array([time.replace(tzinfo=None) for time, _ in scored], "datetime64[s]")
    values = [scale * value for _, value in scored]
    with style():
        fig = Figure(figsize=(width, 3.6 if width > NARROW else 3.0), layout="constrained")
        axes = fig.subplots()
        if len(scored) <= DOTS:
            axes.plot(times, values, "o", color=TUNED, markersize=5, alpha=0.55, markeredgewidth=0)
        else:
            _ranges(axes, scored, scale)
        better = min if measure.lower else max
        axes.step(times, list(accumulate(values, better)), where="post", color=INK, linewidth=1.6)
        locator = mdates.AutoDateLocator(minticks=2, maxticks=8 if width > NARROW else 5)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))
        axes.set_ylabel(measure.heading)
    return fig


def _ranges(axes: Axes, scored: Sequence[tuple[datetime, float]], scale: float) -> None:
    """Lowest to highest, and the median, of each of 120 periods of equal length."""
    start = scored[0][0]
    length = (scored[-1][0] - start) / 120 or timedelta(hours=1)
    periods: dict[int, list[float]] = {}
    for time, value in scored:
        periods.setdefault(int((time - start) / length), []).append(scale * value)
    middles = np.array(
        [(start + (period + 0.5) * length).replace(tzinfo=None) for period in periods],
        "datetime64[s]",
    )
    lows, highs = (
        [min(found) for found in periods.values()],
        [max(found) for found in periods.values()],
    )
    axes.vlines(middles, lows, highs, color=TUNED, alpha=0.4)
    medians = [median(found) for found in periods.values()]
    axes.plot(middles, medians, "o", color=TUNED, markersize=4)

"""The two plots of a decision: what each model costs, and up to which price it stays worth it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from evaluator.decision.decide import NOT_SIGNED
from evaluator.decision.tables import Wording
from evaluator.site import words
from evaluator.site.figures import (
    BASELINE,
    GROUND,
    INK,
    MUTED,
    NARROW,
    SERIES,
    THIRD,
    WIDE,
    figure,
    style,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from markupsafe import Markup
    from matplotlib.axes import Axes

    from evaluator.decision.decide import Decision, Line

SHOWN = 30
"""Models in the plot of totals; the tables have them all."""


def totals_plot(decision: Decision) -> Markup:
    """A bar for each model, of errors and of licence or own cost, with its range as a whisker."""
    wide, narrow = (_totals(decision, width) for width in (WIDE, NARROW))
    return figure(
        wide,
        f"Yearly total of each model, {decision.case.currency}",
        "A bar for each model, the cheapest at the top: the cost of its errors, then its licence "
        "or own cost. The whisker is the total over the 95 % interval. The tables have the same "
        "figures.",
        name="totals",
        narrow=narrow,
    )


def _totals(decision: Decision, width: float) -> Figure:
    lines = decision.lines[:SHOWN]
    scale, unit = _scale(max(line.ends[1] for line in lines))
    places = range(len(lines))
    errors = [float(line.errors) / scale for line in lines]
    rest = [float(line.total - line.errors) / scale for line in lines]
    with style():
        fig = Figure(figsize=(width, 1.5 + 0.5 * len(lines)), layout="constrained")
        axes = fig.subplots()
        axes.grid(visible=False, axis="y")
        axes.barh(places, errors, 0.56, color=BASELINE, alpha=0.55, label="errors")
        axes.barh(places, rest, 0.56, left=errors, color=THIRD, label="licence or own cost")
        _whiskers(axes, lines, scale)
        _sums(axes, decision, lines, scale)
        axes.set_xlim(0, float(max(line.ends[1] for line in lines)) / scale * _room(width))
        axes.set_yticks(places, [_named(line, width) for line in lines])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_xlabel(f"{unit}{decision.case.currency} a year")
        fig.legend(loc="outside upper left", ncols=2, borderaxespad=0, handlelength=1.2)
    return fig


def _whiskers(axes: Axes, lines: Sequence[Line], scale: int) -> None:
    """From the total at the better end of the interval to that at the worse, where there is one."""
    for place, line in enumerate(lines):
        if line.candidate.ends:
            low, high = (float(end) / scale for end in line.ends)
            axes.plot([low, high], [place, place], color=INK, linewidth=1.6, zorder=4)
            axes.plot([low, high], [place, place], "|", color=INK, markersize=9, zorder=4)


def _sums(axes: Axes, decision: Decision, lines: Sequence[Line], scale: int) -> None:
    """The total in figures, behind the end of the bar or of its whisker."""
    words_of = Wording(decision)
    for place, line in enumerate(lines):
        axes.annotate(
            words_of.money(line.total),
            (float(line.ends[1]) / scale, place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
        )


def _room(width: float) -> float:
    """How much longer than the longest bar the axis is, for the figures behind it."""
    return 1.14 if width > NARROW else 1.42


def _named(line: Line, width: float) -> str:
    name = words.short(line.candidate.name, 28 if width > NARROW else 14)
    return name if line.candidate.signed else f"{name}\n({NOT_SIGNED})"


def prices_plot(decision: Decision) -> Markup:
    """Total against licence price: a line for each of the cheapest models."""
    wide, narrow = (_prices(decision, width) for width in (WIDE, NARROW))
    return figure(
        wide,
        f"Yearly total against the licence price, {decision.case.currency}",
        "A rising line for each of the cheapest models. The dot is its price; where it meets the "
        "dashed line, the internal model's total, a hollow dot marks the break-even price. The "
        "tables have the same figures.",
        name="prices",
        narrow=narrow,
    )


def _prices(decision: Decision, width: float) -> Figure:
    internal = next(line for line in decision.lines if line.internal is None)
    offered = [line for line in decision.lines if line.internal is not None][: len(SERIES)]
    scale, unit = _scale(max(internal.total, *(line.total for line in offered)))
    area, right = float(decision.case.area), _right(offered)
    with style():
        fig = Figure(figsize=(width, 4.4 if width > NARROW else 4.0), layout="constrained")
        axes = fig.subplots()
        axes.axhline(
            float(internal.total) / scale,
            color=MUTED,
            linestyle=(0, (4, 3)),
            label=f"internal model ({NOT_SIGNED})",
        )
        for line, colour in zip(offered, SERIES, strict=False):
            ends = [(float(line.errors) + price * area) / scale for price in (0.0, right)]
            label = words.short(line.candidate.name, 24)
            label += "" if line.candidate.signed else f" ({NOT_SIGNED})"
            axes.plot([0.0, right], ends, color=colour, label=label)
            paid = float(line.candidate.price), float(line.total) / scale
            axes.plot(*paid, "o", color=colour, markersize=7, zorder=4)
            _break_even(axes, line, float(internal.total) / scale, colour)
        axes.set_xlim(0, right)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"licence price, {decision.case.currency} for each km² and year")
        axes.set_ylabel(f"{unit}{decision.case.currency} a year")
        columns = 2 if width > NARROW else 1
        fig.legend(loc="outside upper left", ncols=columns, borderaxespad=0, handlelength=1.6)
    return fig


def _break_even(axes: Axes, line: Line, total: float, colour: str) -> None:
    """A hollow dot where the line meets the internal model's, unless no price is low enough."""
    if line.internal and line.internal.price >= 0:
        axes.plot(
            float(line.internal.price),
            total,
            "o",
            markersize=8,
            markerfacecolor=GROUND,
            markeredgecolor=colour,
            markeredgewidth=1.8,
            zorder=4,
            clip_on=False,
        )


def _right(offered: Sequence[Line]) -> float:
    """The largest price to draw: a little beyond every dot."""
    prices = [float(line.candidate.price) for line in offered]
    prices += [float(line.internal.price) for line in offered if line.internal]
    return 1.08 * max(*prices, 0.0) or 1.0


def _scale(largest: Fraction) -> tuple[int, str]:
    """What sums are divided by, so that axes stay readable, and its name."""
    value = float(largest)
    for scale, name in ((10**9, "billion "), (10**6, "million "), (10**3, "thousand ")):
        if value >= 2 * scale:
            return scale, name
    return 1, ""

"""Cells and small drawings that a site has in thousands: written by hand, from numbers alone.

matplotlib takes some 100 ms a plot. That is nothing for the two plots of a whole board, but there
is a page for each of up to 100,000 submissions and of a few thousand vendors: what those draw takes
microseconds. The drawings stand beside the same figures as text, so screen readers pass over them.
Nothing enters but numbers, so there is nothing to escape.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.site.measures import Measure

Ends = tuple[float, float]
Drawn = tuple[float | None, Ends | None]
"""A value and its interval, None where there is none."""

NOTHING = Markup('<td class="n" data-v="">\N{EN DASH}</td>')
"""The cell of a figure that there is not."""


_kept = lru_cache(1 << 15)
"""Figures lie on a grid, so the same cell comes again and again: a class has 101 recalls."""


@_kept
def value_cell(measure: Measure, value: float | None, ends: Ends | None, kind: str = "") -> Markup:
    """Return the table cell of a figure, its interval below; `kind` is a class of site.css."""
    if value is None:
        return NOTHING
    interval = f' <small class="iv">{measure.between(ends)}</small>' if ends else ""
    return Markup(  # noqa: S704  # numbers
        f'<td class="n{kind}" data-v="{value!r}">{measure.text(value)}{interval}</td>'
    )


@_kept
def change_cell(measure: Measure, value: float | None, ends: Ends | None) -> Markup:
    """Return the table cell of what was gained, its interval below."""
    if value is None:
        return NOTHING
    interval = f' <small class="iv">{measure.between(ends, "+")}</small>' if ends else ""
    return Markup(  # noqa: S704  # numbers
        f'<td class="n" data-v="{value!r}">{measure.change(value)}{interval}</td>'
    )


@_kept
def bars_cell(baseline: Drawn, tuned: Drawn, top: float = 1.0) -> Markup:
    """Return the cell with a bar from 0 to `top` for each phase, the interval as a whisker."""
    marks = []
    for (value, ends), kind, y in ((baseline, "b", 1), (tuned, "t", 11)):
        if value is None:
            continue
        marks.append(f'<path class="{kind}" d="M0 {y}H{_across(value, top)}v8H0z"/>')
        if ends:
            low, high = _across(ends[0], top), _across(ends[1], top)
            marks.append(
                f'<path class="w" d="M{low} {y + 4}H{high}M{low} {y + 2}v4M{high} {y + 2}v4"/>'
            )
    return Markup(f"<td>{_svg('bar', '0 0 100 20', marks)}</td>")  # noqa: S704  # numbers


def trend(
    times: Sequence[float], values: Sequence[float], ends: Sequence[Ends | None], *, lower: bool
) -> tuple[Markup, float, float]:
    """Return results over time with the best so far as a line, and the scale: bottom and top.

    Each result is a dot with its interval; `lower` where less is better.
    """
    known = [end for pair in ends if pair for end in pair]
    bottom, top = min([*values, *known]), max([*values, *known])
    height, length = (top - bottom) or 1.0, (times[-1] - times[0]) or 1.0

    def place(time: float, value: float) -> str:
        return (
            f"{3 + 94 * (time - times[0]) / length:.4g} {95 - 90 * (value - bottom) / height:.4g}"
        )

    def level(value: float) -> str:
        return f"{95 - 90 * (value - bottom) / height:.4g}"

    best, line, dots, whiskers = values[0], "", "", ""
    for time, value, pair in zip(times, values, ends, strict=True):
        x = f"{3 + 94 * (time - times[0]) / length:.4g}"
        better = value < best if lower else value > best
        line += f"H{x}V{level(value)}" if better else f"H{x}" if line else f"M{x} {level(value)}"
        best = value if better else best
        dots += f"M{place(time, value)}h0"
        if pair:
            whiskers += f"M{x} {level(pair[0])}V{level(pair[1])}"
    marks = [
        '<path class="rail" d="M0 5H100M0 50H100M0 95H100"/>',
        f'<path class="iv-line" d="{whiskers}"/><path class="best" d="{line}"/>',
        f'<path class="dots" d="{dots}"/>',
    ]
    return _svg("trend", "0 0 100 100", marks), bottom, top


def _across(value: float, top: float) -> str:
    """Where a value lies on a line of 100, without needless digits."""
    return f"{min(max(100 * value / top, 0), 100):.4g}"


def _svg(kind: str, box: str, marks: Sequence[str]) -> Markup:
    return Markup(  # noqa: S704  # numbers and words of ours alone
        f'<svg class="{kind}" viewBox="{box}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(marks)}</svg>"
    )

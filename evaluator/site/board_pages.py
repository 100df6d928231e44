"""The pages with tables: the board, all results over time, and a vendor's own.

Each function yields the pages of one table as pairs: a path in the site, and the page's text.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from evaluator.board.ranking import rankable
from evaluator.board.values import Row
from evaluator.site.bars import change_cell, trend, value_cell
from evaluator.site.measures import by_class, ranked_figures
from evaluator.site.plots import history_plot, ranking_plot
from evaluator.site.shell import render
from evaluator.site.view import parts, submission_link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup

    from evaluator.error_figures import ErrorDifference, ErrorFigures
    from evaluator.scoring import Difference, Figures
    from evaluator.site.measures import Measure
    from evaluator.site.view import Part, View

CELLS = 6000
"""Of the table of recalls by class, the most on one page."""

TREND = 400
"""Of a vendor's results, the most that are drawn: the newest."""


def index_pages(view: View) -> Iterator[tuple[str, str]]:
    """The board, ranked."""
    board = view.board
    plot = ranking_plot(board) if view.best else ""
    for part in parts("index", len(board.rows)):
        rows = board.rows[part.start : part.stop]
        of_classes = by_class(board).of_classes
        detailed = [row for row in rows if of_classes(ranked_figures(row))]
        body = render(
            "index.html",
            view=view,
            board=board,
            part=part,
            rows=rows,
            plot=plot if part.number == 1 else "",
            by_class=by_class(board),
            detailed=detailed[: CELLS // len(board.classes)],
            **_FUNCTIONS,
        )
        yield part.file, view.page(_title("Leaderboard", part), body, here="Leaderboard")


def history_pages(view: View, numbers: range) -> Iterator[tuple[str, str]]:
    """Every end of a submission, the newest first; `numbers` says which parts, from 0."""
    for part in parts("history", len(view.events))[numbers.start : numbers.stop]:
        body = render(
            "history.html",
            view=view,
            part=part,
            events=view.events[part.start : part.stop],
            plot=history_plot(view.board) if part.number == 1 else "",
            up="",
            **_FUNCTIONS,
        )
        yield part.file, view.page(_title("History", part), body, here="History")


def vendor_pages(view: View, vendor: str) -> Iterator[tuple[str, str]]:
    """A vendor's results, the newest first."""
    events = view.of_vendors[vendor]
    for part in parts(vendor, len(events)):
        body = render(
            "vendor.html",
            view=view,
            vendor=vendor,
            best=view.best.get(vendor),
            part=part,
            events=events[part.start : part.stop],
            drawn=_trend(view, vendor) if part.number == 1 else None,
            up="../",
            **_FUNCTIONS,
        )
        yield f"vendors/{part.file}", view.page(_title(vendor, part), body, depth=1)


def _trend(view: View, vendor: str) -> dict[str, object] | None:
    """The vendor's results over time as a drawing, with what its axes say."""
    rows = [
        row for row in reversed(view.of_vendors[vendor]) if isinstance(row, Row) and rankable(row)
    ]
    rows.sort(key=lambda row: row.released)
    if len(rows) < 2:
        return None
    cut, rows, measure = len(rows) > TREND, rows[-TREND:], view.ranked
    times = [datetime.fromisoformat(row.released).timestamp() for row in rows]
    values = [measure.of(ranked_figures(row)) or 0.0 for row in rows]
    ends = [measure.interval(ranked_figures(row)) for row in rows]
    svg, bottom, top = trend(times, values, ends, lower=measure.lower)
    return {
        "svg": svg,
        "bottom": bottom,
        "top": top,
        "first": rows[0],
        "last": rows[-1],
        "count": len(rows),
        "cut": cut,
    }


def _title(title: str, part: Part) -> str:
    return title if part.number == 1 else f"{title}, page {part.number}"


def _value(measure: Measure, figures: Figures | ErrorFigures | None, kind: str = "") -> Markup:
    return value_cell(measure, measure.of(figures), measure.interval(figures), kind)


def _change(measure: Measure, gain: Difference | ErrorDifference | None) -> Markup:
    return change_cell(measure, measure.of(gain), measure.interval(gain))


_FUNCTIONS = {
    "value": _value,
    "change": _change,
    "ranked_figures": ranked_figures,
    "submission_link": submission_link,
}

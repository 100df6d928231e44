"""One page a submission: both phases with intervals, each class, and how to verify it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from evaluator.site.bars import bars_cell, change_cell, value_cell
from evaluator.site.measures import by_class
from evaluator.site.shell import render
from evaluator.site.view import submission_link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.board.values import Row
    from evaluator.site.bars import Drawn
    from evaluator.site.measures import Measure
    from evaluator.site.view import View


def submission_page(view: View, row: Row) -> tuple[str, str]:
    """Return the path in the site of a result's page, and its text."""
    scored = row.baseline is not None or row.tuned is not None
    body = render(
        "submission.html",
        view=view,
        row=row,
        figures=_figures(view, row) if scored else "",
        classes=_classes(view, row) if scored else "",
        class_label=by_class(view.board).heading,
        class_scale=_scale(by_class(view.board), row),
    )
    return submission_link(row.run), view.page(f"{row.vendor}, run {row.run}", body, depth=2)


def _figures(view: View, row: Row) -> Markup:
    """A table row for each figure."""
    rows = []
    for measure in view.measures:
        pairs = [
            (measure.of(phase), measure.interval(phase)) for phase in (row.baseline, row.tuned)
        ]
        gain = change_cell(measure, measure.of(row.gain), measure.interval(row.gain))
        # Figures in different units have no scale in common, and so no bars.
        top = 1.0 if measure.percent else None
        rows.append(_row(view.headings[measure], measure, pairs, top, gain))
    return _joined(rows)


def _classes(view: View, row: Row) -> Markup:
    """A table row for each class, the last cell its tiles where they are published."""
    board, measure = view.board, by_class(view.board)
    phases = [
        (measure.of_classes(phase), measure.intervals_of_classes(phase))
        for phase in (row.baseline, row.tuned)
    ]
    top = _top(measure, row)
    gains, rows = measure.of_classes(row.gain), []
    for name in board.classes:
        pairs = [(values.get(name), ends.get(name)) for values, ends in phases]
        end = f"{change_cell(measure, gains.get(name), None)}{view.size_cells[name]}"
        rows.append(_row(view.class_headings[name], measure, pairs, top, end))
    return _joined(rows) if any(values for values, _ in phases) else Markup()


def _top(measure: Measure, row: Row) -> float:
    """Where the bars of classes end: at 1, or at the largest error or end of an interval."""
    if measure.percent:
        return 1.0
    known = [0.0]
    for phase in (row.baseline, row.tuned):
        known += measure.of_classes(phase).values()
        known += [end for ends in measure.intervals_of_classes(phase).values() for end in ends]
    return max(known)


def _scale(measure: Measure, row: Row) -> str:
    """What the bars of classes range over, as their column says it."""
    return "0 to 100 %" if measure.percent else f"0 to {measure.end(_top(measure, row))}"


def _row(
    heading: Markup, measure: Measure, pairs: Sequence[Drawn], top: float | None, end: str
) -> str:
    """Heading, bars up to `top`, both phases, and what ends the row: markup already, all of it.

    Without a `top` there is no cell for bars; with one of 0 it is empty.
    """
    drawn = bars_cell(pairs[0], pairs[1], top) if top else "" if top is None else "<td></td>"
    first, second = (value_cell(measure, *pair) for pair in pairs)
    return f"<tr>{heading}{drawn}{first}{second}{end}</tr>"


def _joined(rows: Sequence[str]) -> Markup:
    return Markup("\n".join(rows))  # noqa: S704  # of `_row`

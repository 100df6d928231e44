"""What a leaderboard prints for people."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from evaluator.board.ranking import METRICS, PER_CLASS, Metric, metrics_of
from evaluator.tables import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.board.values import Board, Row

LISTED = 20
"""Results without a rank that the terminal shows, the newest; the documents have all."""

_WIDE = 100
"""Columns of a terminal from which on the other figures have room."""


def print_board(board: Board) -> None:
    """The ranking, recall by class, and what has no rank."""
    width = shutil.get_terminal_size().columns
    ranked = [row for row in board.rows if row.rank is not None or board.vendor]
    without = [row for row in board.all if row.rank is None and _why_unranked(row)]
    show(_heading(board))
    if board.rows:
        show(_ranking(board, wide=width >= _WIDE), *_notes(board))
    else:
        show("No result of it is in the log yet.")
    if any(row.tuned or row.baseline for row in ranked):
        show(_by_class(board, ranked, width))
    if without:
        show(_unranked(board, without[-LISTED:]))
    if len(without) > LISTED:
        show(f"These are the newest {LISTED} of {len(without)} without a rank; --json has all.")
    show(*_endings(board))


def _heading(board: Board) -> str:
    title = METRICS[board.metric].title
    days = f"window {board.window[0]} to {board.window[1]}"
    about = f"dataset version {board.dataset_version}, {board.holdout_tiles} tiles held out, {days}"
    log = f"From entries 0 to {board.checkpoint.size - 1} of the log {board.checkpoint.origin}."
    lines = [f"Leaderboard by {title}, {about}.", log]
    if board.unit and board.range:
        low, high = board.range
        lines.append(
            f"Errors are in {_printable(board.unit)}, of targets between {low:g} and {high:g}; a "
            f"figure of {high - low:g} means that or more, an R² of -1 that or less."
        )
    if board.vendor:
        lines.append(f"What {board.vendor} may be told before publication: own results, no rank.")
    elif board.published is None:
        lines.append("Operator's view, not published: it shows every vendor's figures.")
    elif board.published:
        lines.append(f"Published early: {_printable(board.published)}")
    return "\n".join(lines)


def _ranking(board: Board, *, wide: bool) -> Table:
    metric = METRICS[board.metric]
    others = [each for each in metrics_of(board.task) if each != metric]
    others = others if wide else others[-1:]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("#", no_wrap=True)
    longest = max((len(row.vendor) for row in board.rows), default=1)
    table.add_column("vendor", overflow="fold", min_width=min(longest, 16))
    table.add_column("best\nof", justify="right")
    table.add_column(_header(metric), no_wrap=True)
    price = f"{board_currency(board)}/km2"
    for name in ("base", "gain", *map(_header, others), "PF", price):
        table.add_column(name, justify="right", no_wrap=True)
    for row in board.rows:
        before = None if row.baseline is None else getattr(row.baseline, metric.figure)
        table.add_row(
            _rank(row),
            row.vendor,
            str(row.submissions),
            _with_interval(metric.value(row), metric.ends(row), metric),
            metric.text(before),
            metric.text(metric.gain(row), sign=True),
            *(each.text(each.value(row)) for each in others),
            f"{row.petaflops:.4g}",
            row.offer[1] if row.offer else "",
        )
    if board.majority and board.class_sizes:
        largest = board.classes[board.class_sizes.index(max(board.class_sizes))]
        figures = (each.text(getattr(board.majority, each.figure)) for each in (metric, *others))
        table.add_section()
        table.add_row("", f"always {_printable(largest)}", "", next(figures), "", "", *figures)
    return table


def board_currency(board: Board) -> str:
    """The currency of the offers; one board has one, or says so."""
    found = {row.offer[0] for row in board.rows if row.offer}
    return found.pop() if len(found) == 1 else "price"


def _unit(metric: Metric) -> str:
    return f"{metric.title}, %" if metric.percent else metric.title


def _header(metric: Metric) -> str:
    lines = textwrap.wrap(metric.title, 9, break_on_hyphens=False, break_long_words=False)
    return "\n".join(lines) + (", %" if metric.percent else "")


def _rank(row: Row) -> str:
    return "-" if row.rank is None else f"{row.rank}{'=' if row.tied else ''}"


def _with_interval(value: float | None, ends: tuple[float, float] | None, metric: Metric) -> str:
    interval = f" [{metric.rough(ends[0])}, {metric.rough(ends[1])}]" if ends else ""
    return metric.text(value) + interval


def _notes(board: Board) -> list[str]:
    """What the columns mean, and what is missing."""
    notes = [
        "Figures are of the fine-tuned model, else of the baseline; in brackets the 95 % interval.",
        "A gain is fine-tuned minus baseline, in points."
        if board.task == "classification"
        else "A gain is fine-tuned minus baseline: an error that fell is below 0.",
    ]
    if board.vendor is None:
        notes.append(
            "A rank with = is shared: the interval overlaps with that of the first row of it, "
            "or without intervals the figures are equal. The best of several attempts flatters, "
            "the more so the more there were."
        )
    if board.majority is None and board.task == "classification":
        notes.append(
            "Class sizes are not published, so there is no row for always naming the largest class."
        )
    return notes


def _by_class(board: Board, rows: Sequence[Row], width: int) -> Table:
    """A row for each class; the columns are the first vendors, as many as fit."""
    metric = PER_CLASS[board.task]
    names = max(map(len, board.classes)) + 7
    shown = rows[: max(1, (width - names) // 16)]
    more = f", the first {len(shown)} of {len(rows)}" if len(shown) < len(rows) else ""
    table = Table(
        title=f"{_unit(metric)} by class{more}",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
    )
    table.add_column("class")
    for row in shown:
        table.add_column(row.vendor, justify="right", overflow="fold", max_width=15)
    for name in board.classes:
        cells = [metric.of_class(row, name) for row in shown]
        rare = " (rare)" if name in board.rare else ""
        table.add_row(f"{_printable(name)}{rare}", *map(metric.text, cells))
    return table


def _unranked(board: Board, rows: Sequence[Row]) -> Table:
    table = Table(
        title="without a rank",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
    )
    for name in ("vendor", "run", METRICS[board.metric].title, "why"):
        table.add_column(name, overflow="fold", no_wrap=name == "run")
    for row in rows:
        metric = METRICS[board.metric]
        table.add_row(row.vendor, row.run, metric.text(metric.value(row)), _why_unranked(row))
    return table


def _why_unranked(row: Row) -> str:
    """Empty where it could have had a rank: another of the vendor's is better."""
    if row.withdrawn is not None:
        return f"withdrawn: {_printable(row.withdrawn)}"
    if row.adapted is not None:
        return f"the owner's run of the model of {row.adapted}"
    statuses = [status for status in row.phase_statuses if status]
    return "" if "OK" in statuses else ", ".join(statuses)


def _endings(board: Board) -> list[str]:
    """Submissions that are in the log and have no result."""
    lines = []
    if board.aborted:
        lines.append(
            f"{len(board.aborted)} submissions ended without a result (--json says which)."
        )
    if board.open:
        first = ", ".join(map(str, board.open[:LISTED]))
        more = " and more" if len(board.open) > LISTED else ""
        lines.append(f"Received, and without an end in this log yet: entries {first}{more}.")
    return lines


def _printable(text: str) -> str:
    """The owner's words without anything that a terminal could obey."""
    return "".join(each if each.isprintable() else "?" for each in text)

"""A board under other names of classes, which are whatever an owner calls them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.board.values import Board, Row
    from evaluator.scoring import Figures


def renamed(board: Board, names: Sequence[str]) -> Board:
    """Return the same board, its classes called `names`; it publishes class sizes."""
    new = dict(zip(board.classes, names, strict=True))

    def figures(found: Figures | None) -> Figures | None:
        if found is None:
            return None
        assert found.recall_interval
        return replace(
            found,
            recall={new[name]: value for name, value in found.recall.items()},
            recall_interval={new[name]: ends for name, ends in found.recall_interval.items()},
        )

    def row(found: Row) -> Row:
        gain = found.gain and replace(
            found.gain, recall={new[name]: value for name, value in found.gain.recall.items()}
        )
        return replace(
            found, gain=gain, baseline=figures(found.baseline), tuned=figures(found.tuned)
        )

    return replace(
        board,
        classes=tuple(names),
        rare=tuple(new[name] for name in board.rare),
        rows=tuple(map(row, board.rows)),
        all=tuple(map(row, board.all)),
    )

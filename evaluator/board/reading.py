"""The leaderboard, from the log alone.

    board = read_board(log, keys)     every entry checked; VerificationError where one does not hold

A board is of one checkpoint of the log and one version of the data set. It believes nothing but
the keys that it is given: `evaluator.board.entries` says what an entry is held to by itself,
`evaluator.board.history` after those before it, and `evaluator.board.ranking` who stands where.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evaluator.board.entries import facts
from evaluator.board.history import History
from evaluator.board.ranking import METRICS, Metric, metric_of, metrics_of, ranked
from evaluator.board.values import Aborted, Board, Log, Row, Snapshot
from evaluator.errors import OwnerError, VerificationError
from evaluator.scoring import Counts, Grid, Holdout, derive, publish

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evaluator.board.entries import Measured, Outcome
    from evaluator.log.checkpoint import Checkpoint
    from evaluator.log.statements import HoldoutCommitment
    from evaluator.regression import ErrorGrid
    from evaluator.scoring import Figures

__all__ = ["METRICS", "Aborted", "Board", "Log", "Metric", "Row", "Snapshot", "read_board"]


def read_board(  # noqa: PLR0913  # what is asked of a board
    log: Log,
    keys: Sequence[bytes],
    checkpoint: Checkpoint | None = None,
    *,
    metric: str | None = None,
    vendor: str | None = None,
    version: int | None = None,
    known: int = 0,
) -> Board:
    """Return the board of a log at a checkpoint (default: its newest).

    `keys` are the public keys that are trusted to sign results, PEM. `metric` orders the board
    (default: what the rules in the log say), `version` is the version of the data set (default:
    the newest that has results). With `vendor` it is what that vendor may be told: all of it once
    the window is published, before that their own rows without a rank and nothing of others. The
    first `known` entries are read and not checked: for who has checked them (`board_own`).

    Raises VerificationError where the entries are not those of the checkpoint, or one of them does
    not hold; OwnerError where the log has no such version or the board no such metric.
    """
    until = checkpoint or log.checkpoint
    history = _read(log, until, keys, known)
    if history.rules is None or not history.commitments:
        raise OwnerError(
            "The log holds no rules and no holdout yet: there is no board before the first "
            "submission."
        )
    blind = vendor if history.published is None else None
    outcomes = [each for each in history.outcomes.values() if blind in {None, each.row.vendor}]
    version = _version(history, outcomes, version)
    outcomes = [each for each in outcomes if each.measured.version == version]
    task = history.commitments[version].predicate.task
    order = _metric(task, metric, history.rules.publish.rank_by)
    every = ranked([each.row for each in outcomes], order)
    rows = _one_each(every, order)
    if blind is not None:
        every, rows = (
            tuple(replace(row, rank=None, tied=False) for row in each) for each in (every, rows)
        )
    holdout, newest = _measured(history.commitments[version], outcomes)
    return Board(
        checkpoint=_snapshot(log, until),
        dataset_version=version,
        task=task,
        classes=holdout.classes,
        rare=holdout.rare,
        holdout_tiles=holdout.tiles,
        class_sizes=holdout.class_sizes,
        metric=order.name,
        window=(history.rules.window.opens, history.rules.window.closes),
        published=history.published,
        vendor=blind,
        majority=_majority(holdout, newest.grid if newest else None),
        rows=rows,
        all=every,
        aborted=tuple(each for each in history.aborted if blind in {None, each.vendor}),
        open=tuple(each for each in history.open if blind in {None, history.received[each].vendor}),
        unit=newest.unit if newest else None,
        range=newest.range if newest else None,
    )


def _snapshot(log: Log, checkpoint: Checkpoint) -> Snapshot:
    note = log.note if checkpoint == log.checkpoint else b""
    return Snapshot(checkpoint.origin, checkpoint.size, checkpoint.root, note)


def _read(log: Log, until: Checkpoint, keys: Sequence[bytes], known: int) -> History:
    """Read the log up to a checkpoint that it must have had."""
    newest = log.checkpoint
    if (until.origin, min(until.size, newest.size)) != (newest.origin, until.size) or (
        log.root(until.size) != until.root
    ):
        raise VerificationError(
            "The checkpoint is none of this log's: the log was never in that state, or is older "
            "than it. Get both from the owner again; if they still differ, the log was forked."
        )
    history = History(log)
    for fact in facts(log.entries(0, until.size), keys, known):
        history.add(fact)
    return history


def _version(history: History, outcomes: Iterable[Outcome], wanted: int | None) -> int:
    """The version of the data set that the board is of."""
    if wanted is None:
        return max({each.measured.version for each in outcomes} or history.commitments)
    if wanted not in history.commitments:
        there = ", ".join(map(str, sorted(history.commitments)))
        raise OwnerError(
            f"The log knows no version {wanted} of the data set. Its versions are: {there}."
        )
    return wanted


def _metric(task: str, wanted: str | None, rule: str) -> Metric:
    """What was asked for, else what the rules say, else the first there is for this task."""
    if wanted is not None:
        return metric_of(task, wanted)
    usual = metrics_of(task)
    return next((metric for metric in usual if metric.name == rule), usual[0])


def _measured(
    committed: HoldoutCommitment, outcomes: Iterable[Outcome]
) -> tuple[Holdout, Measured | None]:
    """The holdout of a version and what its newest result is measured by, None where it has none.

    Class sizes are there if any of the results has them. Raises VerificationError where results
    contradict each other about the holdout: unit and range of its targets were sealed with it.
    """
    kinds = list(dict.fromkeys(each.measured for each in outcomes))
    if not kinds:
        said = committed.predicate
        return Holdout(said.count, said.classes, (), None), None
    holdouts = [kind.holdout for kind in kinds]
    sizes = {each.class_sizes for each in holdouts} - {None}
    targets = {(each.unit, each.range) for each in kinds}
    if len({each.rare for each in holdouts}) > 1 or len(sizes) > 1 or len(targets) > 1:
        raise VerificationError(
            "Results on the same version of the data set state other rare classes, other class "
            "sizes, or another unit or range of the targets. No honest evaluator writes such a "
            "log: ask its owner."
        )
    return replace(holdouts[0], class_sizes=next(iter(sizes), None)), kinds[-1]


def _majority(holdout: Holdout, grid: Grid | ErrorGrid | None) -> Figures | None:
    """What a model scores that always names the largest class (of equal ones the first)."""
    sizes = holdout.class_sizes
    if sizes is None or not isinstance(grid, Grid):
        return None
    largest = sizes.index(max(sizes))
    confusion = tuple(
        tuple(size if index == largest else 0 for index in range(len(sizes))) for size in sizes
    )
    return derive(publish(Counts(holdout.classes, holdout.rare, confusion), grid), grid, holdout)


def _one_each(rows: Sequence[Row], order: Metric) -> tuple[Row, ...]:
    """A row for each vendor: the ranked ones from the best down, then the others by name.

    Whose results have no rank is there with the newest of them, of the vendor's own if any is.
    """
    best = sorted((row for row in rows if row.rank is not None), key=order.order)
    placed = {row.vendor for row in best}
    others: dict[str, Row] = {}
    for row in rows:
        if row.vendor not in placed and (row.adapted is None or row.vendor not in others):
            others[row.vendor] = row
    return (*best, *(others[name] for name in sorted(others)))

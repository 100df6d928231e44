"""Who stands where: one row a vendor, and ties that are shown as ties.

    METRICS                 what a board can be ordered by
    ranked(rows, metric)    every row, and with a rank the best of each vendor

A rank is that of the best of its group. Going down from the best figure, the first row leads a
group; the next ones are tied with it as long as their 95 % interval and the leader's overlap
(an end in common is an overlap), and the first that does not leads the next group. A row is so
compared with the leader alone: overlap is not transitive, and a chain of neighbours would tie the
first with the last. Where either has no interval (a mean of recalls, or class sizes that are not
published) the published figures have to be equal. After a group of three at rank 1 comes rank 4.

That two intervals overlap does not say that two models are as good as each other: it says that
this holdout is no proof that they are not. (Intervals that just touch are stricter than a test at
5 %, so a group errs on the side of a tie.)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from evaluator.board.values import Row

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a scored phase that a board can be ordered by, and where its interval stands.

    `figure` and `interval` are fields of the phase's figures; `interval` is empty where the
    figure never has one. A `percent` is a share, printed times 100.
    """

    name: str
    title: str
    task: str
    figure: str
    interval: str = ""
    lower_is_better: bool = False
    percent: bool = True

    def value(self, row: Row) -> float | None:
        """The figure of the fine-tuned phase, else of the baseline; None where none was scored."""
        scored = row.tuned or row.baseline
        return None if scored is None else getattr(scored, self.figure)

    def ends(self, row: Row) -> Interval | None:
        """The 95 % interval of `value`, where one is published."""
        scored = row.tuned or row.baseline
        return getattr(scored, self.interval) if scored and self.interval else None

    def of_class(self, row: Row, name: str) -> float | None:
        """The figure of one class, of the phase that `value` is of; for those of PER_CLASS."""
        scored = row.tuned or row.baseline
        return None if scored is None else getattr(scored, self.figure)[name]

    def order(self, row: Row) -> tuple[float, int]:
        """The key that sorts scored rows from the best down, of equal figures the earlier first."""
        value = self.value(row)
        assert value is not None  # noqa: S101 - only scored rows are sorted
        return (value if self.lower_is_better else -value, row.position)

    def text(self, value: float | None, *, sign: bool = False) -> str:
        """A figure, or with `sign` a difference, with one decimal or as many as it has."""
        if value is None:
            return ""
        plus = "+" if sign else ""
        if not self.percent:
            return f"{value:{plus}.6g}"
        return f"{100 * value:{plus}.2f}".removesuffix("0")

    def rough(self, value: float) -> str:
        """The end of an interval: one decimal is as much as it is worth."""
        if self.percent:
            return f"{100 * value:.1f}"
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"

    def gain(self, row: Row) -> float | None:
        """Fine-tuned minus baseline; None where one of them was not scored."""
        return None if row.gain is None else getattr(row.gain, self.figure)


def _error(figure: str, title: str, interval: str = "") -> Metric:
    """An error in the unit of the targets."""
    return Metric(
        figure, title, "regression", figure, interval, lower_is_better=True, percent=False
    )


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", "classification", "accuracy", "accuracy_interval"),
        Metric("macro_recall", "macro recall", "classification", "macro_recall"),
        Metric(
            "rare_accuracy",
            "rare-class accuracy",
            "classification",
            "rare_accuracy",
            "rare_accuracy_interval",
        ),
        Metric("rare_recall", "rare-class recall", "classification", "rare_recall"),
        _error("rmse", "RMSE", "rmse_interval"),
        _error("mae", "MAE"),
        Metric("r2", "R²", "regression", "r2", percent=False),
        _error("rare_rmse", "RMSE, mean of the rare classes"),
    )
}
"""By name. The first of a task is what its board is ordered by unless the owner chose another."""

PER_CLASS = {
    "classification": Metric("recall", "recall", "classification", "recall"),
    "regression": _error("crop_rmse", "RMSE"),
}
"""By task: the figure that every class has."""


def metrics_of(task: str) -> list[Metric]:
    """Return what a board of this task can be ordered by."""
    return [metric for metric in METRICS.values() if metric.task == task]


def metric_of(task: str, wanted: str) -> Metric:
    """Return the metric of this name; OwnerError where boards of this task have none such."""
    names = [metric.name for metric in metrics_of(task)]
    if wanted not in names:
        raise OwnerError(
            f"A board of the task {task} cannot be ordered by that. Choose one of "
            f"{', '.join(names)}."
        )
    return METRICS[wanted]


def ranked(rows: Sequence[Row], metric: Metric) -> tuple[Row, ...]:
    """Return the rows as they came, each with its vendor's N, the best of each with its rank.

    N is how many of a vendor's results had a score: each was a chance to be the best, whether it
    was withdrawn since or not. A run of the owner's own (`adapted`) was no attempt of the vendor.
    The best of a vendor is its best figure by `metric`, of equal ones the first in the log.
    """
    attempts = Counter(
        row.vendor for row in rows if not row.adapted and metric.value(row) is not None
    )
    places = {
        row.position: (rank, tied) for row, rank, tied in _groups(_bests(rows, metric), metric)
    }
    none = (None, False)
    return tuple(
        replace(row, submissions=attempts[row.vendor], rank=place[0], tied=place[1])
        for row in rows
        for place in (places.get(row.position, none),)
    )


def rankable(row: Row) -> bool:
    """Whether it can have a rank: scored, a vendor's own, not withdrawn."""
    scored = row.tuned or row.baseline
    return scored is not None and row.withdrawn is None and row.adapted is None


def _bests(rows: Iterable[Row], metric: Metric) -> list[Row]:
    """The best row of each vendor that has one, from the best figure down."""
    found: dict[str, Row] = {}
    for row in sorted((row for row in rows if rankable(row)), key=metric.order):
        found.setdefault(row.vendor, row)
    return list(found.values())


def _groups(rows: Iterable[Row], metric: Metric) -> Iterator[tuple[Row, int, bool]]:
    """Each row, from the best figure down, with its rank and whether it shares that."""
    groups: list[list[Row]] = []
    for row in rows:
        if groups and _level(groups[-1][0], row, metric):
            groups[-1].append(row)
        else:
            groups.append([row])
    above = 0
    for group in groups:
        yield from ((row, above + 1, len(group) > 1) for row in group)
        above += len(group)


def _level(leader: Row, row: Row, metric: Metric) -> bool:
    """Whether the two are shown as a tie."""
    first, second = metric.ends(leader), metric.ends(row)
    if first is None or second is None:
        return metric.value(leader) == metric.value(row)
    return first[0] <= second[1] and second[0] <= first[1]

"""What each model would cost for a year: the use case's business table.

    candidate = Candidate("acme", signed=True, figure=..., ends=..., price=...)
    decision = decide(case, internal, [candidate, ...])

For a model with the error e on an area of A km2, where one unit of error costs k for each km2:

    e               1 - accuracy, or the mean absolute error in the unit of the targets (t/ha)
    cost of errors  e A k
    licence         A p               at a price of p for each km2; 0 for the internal model
    total           cost of errors + licence + own yearly cost (the internal model's)
    saving          total of the internal model - total
    price that is level with X        (total of X - cost of errors - own cost) / A
    figure that is level with X       the one of error e - (total - total of X) / (A k)

All of it in exact rational numbers of decimals as written: nothing is rounded before it is printed.
docs/decide.md has the formulas with the use case's numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from fractions import Fraction

    from evaluator.decision.assumptions import Task

INTERNAL = "internal model"
NOT_SIGNED = "not signed"
"""What every figure is called that no verified result or log states."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is the same for every model: the area in km2, and the cost of one unit of error a km2.

    The unit is the whole of the area (error rate 1), or 1 `unit` of a mean absolute error;
    `currency` has three letters.
    """

    task: Task
    currency: str
    area: Fraction
    unit_cost: Fraction
    unit: str = "t/ha"

    def error(self, figure: Fraction) -> Fraction:
        """The error of a model with this figure: accuracy, or mean absolute error."""
        return 1 - figure if self.task == "classification" else figure

    def figure(self, error: Fraction) -> Fraction:
        """And back."""
        return self.error(error)  # both are their own inverse

    def cost(self, error: Fraction) -> Fraction:
        """What this error costs on the whole area for a year."""
        return error * self.area * self.unit_cost


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model: its figure, the ends of its 95 % interval where it has one, and its price.

    `price` is the licence for one km2 and year, `own_cost` a yearly sum whatever the area. `run`,
    `phase` and `keyid` say which signed figure it is; they are empty where nobody signed.
    """

    name: str
    signed: bool
    figure: Fraction
    ends: tuple[Fraction, Fraction] | None
    price: Fraction
    own_cost: Fraction
    run: str = ""
    phase: str = ""
    keyid: str = ""

    @property
    def basis(self) -> str:
        """Which phase of a signed result its figure is of, or NOT_SIGNED."""
        phase = "fine-tuned" if self.phase == "tuned" else self.phase
        return phase if self.signed else NOT_SIGNED

    @property
    def called(self) -> str:
        """The name in a sentence: nobody is to take a what-if for a signed figure."""
        return self.name if self.signed else f"{self.name} ({NOT_SIGNED})"


@dataclass(frozen=True, slots=True)
class Level:
    """Where a model's total equals that of `other`: at this price, or at this figure.

    Either may be one that cannot be: a price below 0, an accuracy above 1.
    """

    other: Candidate
    price: Fraction
    figure: Fraction


@dataclass(frozen=True, slots=True)
class Line:
    """One model's row of the table.

    `area` is the misclassified area in km2, None for yields. `ends` are the totals at the better
    and at the worse end of the interval (twice the total without one). `rank` is 1 + the number of
    models that cost less; `ranks` are the best and the worst that it can have while every figure
    stays in its interval. `saving` is against the internal model, and is None for that itself, as
    is `internal`; `best` is against the cheapest of all other models.
    """

    candidate: Candidate
    error: Fraction
    area: Fraction | None
    errors: Fraction
    licence: Fraction
    total: Fraction
    ends: tuple[Fraction, Fraction]
    rank: int
    ranks: tuple[int, int]
    saving: Fraction | None
    internal: Level | None
    best: Level | None


@dataclass(frozen=True, slots=True)
class Swap:
    """Two models, the cheaper first, and what it would take for them to change places.

    They do when the first's figure gets worse than `first_at`, or the second's better than
    `second_at`, the other staying as it is. `possible` says that they can while both stay in their
    intervals.
    """

    first: Candidate
    second: Candidate
    gap: Fraction
    first_at: Fraction
    second_at: Fraction
    possible: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The table: lines from the cheapest down, of equal totals by name; every pair of them.

    `left_out` are models without a figure, with the reason.
    """

    case: Case
    lines: tuple[Line, ...]
    swaps: tuple[Swap, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def settled(self) -> bool:
        """Whether no two models can change places within their intervals."""
        return not any(swap.possible for swap in self.swaps)


@dataclass(frozen=True, slots=True)
class _Sums:
    """What follows from one candidate alone."""

    candidate: Candidate
    error: Fraction
    errors: Fraction
    licence: Fraction
    total: Fraction
    low: Fraction
    high: Fraction


def decide(
    case: Case,
    internal: Candidate,
    offered: Iterable[Candidate],
    left_out: Iterable[tuple[str, str]] = (),
) -> Decision:
    """Return the table of the internal model and those offered, whose names differ."""
    sums = [_sums(case, candidate) for candidate in (internal, *offered)]
    order = sorted(sums, key=lambda each: (each.total, each.candidate.name))
    lines = tuple(_line(case, own, order, sums[0]) for own in order)
    swaps = tuple(_swap(case, first, second) for first, second in combinations(order, 2))
    return Decision(case, lines, swaps, tuple(left_out))


def _sums(case: Case, candidate: Candidate) -> _Sums:
    error = case.error(candidate.figure)
    licence = case.area * candidate.price
    rest = licence + candidate.own_cost
    errors = sorted(case.error(end) for end in candidate.ends or (candidate.figure,))
    return _Sums(
        candidate=candidate,
        error=error,
        errors=case.cost(error),
        licence=licence,
        total=case.cost(error) + rest,
        low=case.cost(errors[0]) + rest,
        high=case.cost(errors[-1]) + rest,
    )


def _line(case: Case, own: _Sums, order: Sequence[_Sums], internal: _Sums) -> Line:
    others = [each for each in order if each is not own]
    best = others[0] if others else None
    itself = own is internal
    return Line(
        candidate=own.candidate,
        error=own.error,
        area=own.error * case.area if case.task == "classification" else None,
        errors=own.errors,
        licence=own.licence,
        total=own.total,
        ends=(own.low, own.high),
        rank=1 + sum(each.total < own.total for each in others),
        ranks=(
            1 + sum(each.high < own.low for each in others),
            1 + sum(each.low < own.high for each in others),
        ),
        saving=None if itself else internal.total - own.total,
        internal=None if itself else _level(case, own, internal),
        best=_level(case, own, best) if best else None,
    )


def _level(case: Case, own: _Sums, other: _Sums) -> Level:
    return Level(
        other=other.candidate,
        price=(other.total - own.errors - own.candidate.own_cost) / case.area,
        figure=_figure_level(case, own, other),
    )


def _figure_level(case: Case, own: _Sums, other: _Sums) -> Fraction:
    return case.figure(own.error - (own.total - other.total) / (case.area * case.unit_cost))


def _swap(case: Case, first: _Sums, second: _Sums) -> Swap:
    return Swap(
        first=first.candidate,
        second=second.candidate,
        gap=second.total - first.total,
        first_at=_figure_level(case, first, second),
        second_at=_figure_level(case, second, first),
        possible=second.low < first.high or first.total == second.total,
    )

"""What `evaluator decide` prints: tables for people, a document for programs.

On screen money is rounded to whole units where there is a lot of it; the document has it exact.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from evaluator.tables import show

if TYPE_CHECKING:
    from evaluator.decision.decide import Candidate, Decision, Level, Line, Swap

_LARGE = 100_000
"""From here on cents are noise."""
_LEVEL_PLACES = 6
"""Decimals of a break-even price or figure in the document; seldom are they whole decimals."""


# Numbers as people and programs read them


def rounded(value: Fraction, places: int) -> str:
    """The nearest decimal with this many places, half away from zero, thousands apart."""
    scale = 10**places
    whole = int(abs(value) * scale + Fraction(1, 2))
    sign = "-" if value < 0 and whole else ""
    text = f"{whole // scale:,}"
    return sign + (f"{text}.{whole % scale:0{places}}" if places else text)


def exact(value: Fraction) -> str:
    """A value that is a decimal, with as many places as it has; OverflowError if it is none."""
    for places in range(40):
        if 10**places % value.denominator == 0:
            return rounded(value, places).replace(",", "")
    raise OverflowError(value)


def _shorter(text: str, places: int) -> str:
    """Without zeros at the end, but with so many places at least."""
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(places, '0')}"


class Wording:
    """How one decision's figures are written, in tables and on the page alike."""

    def __init__(self, decision: Decision) -> None:
        case = decision.case
        self.classes = case.task == "classification"
        self.figure_name = "accuracy" if self.classes else "MAE"
        self.unit = "%" if self.classes else case.unit
        totals = [abs(end) for line in decision.lines for end in line.ends]
        self._places = 0 if max(totals) >= _LARGE else 2

    def money(self, value: Fraction) -> str:
        """A sum, in whole units of the currency where sums are large."""
        return rounded(value, self._places)

    def figure(self, value: Fraction) -> str:
        """An accuracy or an error rate in per cent, a mean absolute error in its unit."""
        text = rounded(100 * value, 2) if self.classes else rounded(value, 3)
        return _shorter(text, 1)

    def interval(self, ends: tuple[Fraction, Fraction] | None) -> str:
        """Both ends in brackets; nothing without them."""
        return f"[{self.figure(ends[0])}, {self.figure(ends[1])}]" if ends else ""

    def price(self, value: Fraction) -> str:
        """A licence price; below zero there is none that would do."""
        return "none" if value < 0 else _shorter(rounded(value, 4), 2)

    def ranks(self, line: Line) -> str:
        """The best and the worst rank that it can have."""
        best, worst = line.ranks
        return str(best) if best == worst else f"{best} to {worst}"

    def cost_of_error(self, decision: Decision) -> str:
        """What one unit of error costs, with its unit."""
        cost = exact(decision.case.unit_cost)
        unit = "misclassified km2" if self.classes else f"{self.unit} of error on a km2"
        return f"{cost} {decision.case.currency} a {unit}"


def summary(decision: Decision) -> list[str]:
    """What the table says, in sentences."""
    words, currency = Wording(decision), decision.case.currency
    first = decision.lines[0]
    said = [
        f"The cheapest is {first.candidate.called}: {words.money(first.total)} {currency} a year."
    ]
    if first.saving is not None:
        less = "less" if first.saving >= 0 else "more"
        said[0] = said[0][:-1] + (
            f", {words.money(abs(first.saving))} {less} than the internal model."
        )
    if not any(line.candidate.ends for line in decision.lines):
        said.append("No figure has an interval: which models could change places is not known.")
    elif decision.settled:
        said.append("No two models change places while every figure stays in its interval.")
    else:
        many = sum(swap.possible for swap in decision.swaps)
        pairs = "One pair of models" if many == 1 else f"{many} pairs of models"
        said.append(f"{pairs} can change places within the intervals.")
    pointless = [line for line in decision.lines if line.candidate.ends is None]
    if pointless:
        names = ", ".join(line.candidate.called for line in pointless)
        said.append(f"Without an interval, and so taken as exact: {names}.")
    return said


# On a terminal


def print_decision(decision: Decision) -> None:
    """The costs, how far they can be trusted, and who can change places with whom."""
    words = Wording(decision)
    parts: list[object] = [_costs(decision, words), _certainty(decision, words)]
    possible = [swap for swap in decision.swaps if swap.possible]
    parts += [_swaps(possible, words)] if possible else []
    show(*parts, *summary(decision))
    show(*(f"Left out: {name}: {why}." for name, why in decision.left_out))


def _table(title: str, *columns: str) -> Table:
    """Narrow enough for 80 columns: names fold, numbers do not."""
    table = Table(title=title, box=SIMPLE_HEAD, padding=0, pad_edge=False)
    for name in columns:
        text = name in {"model", "cheaper", "dearer"}
        table.add_column(
            name,
            justify="left" if text else "right",
            min_width=10 if text else None,
            no_wrap=not text,
            overflow="fold",
            vertical="top",
        )
    return table


def _name(candidate: Candidate) -> str:
    return f"{candidate.name}\n{candidate.basis}"


def _costs(decision: Decision, words: Wording) -> Table:
    case = decision.case
    error = ("error %", "km2 wrong") if words.classes else (f"MAE {words.unit}",)
    table = _table(
        f"{case.currency} a year, for {rounded(case.area, 0)} km2 at "
        f"{words.cost_of_error(decision)}",
        "#",
        "model",
        *error,
        "errors",
        "licence /\nown cost",
        "total",
        "saving",
    )
    for line in decision.lines:
        area = (rounded(line.area, 0),) if line.area is not None else ()
        table.add_row(
            str(line.rank),
            _name(line.candidate),
            words.figure(line.error),
            *area,
            words.money(line.errors),
            words.money(line.licence + line.candidate.own_cost),
            words.money(line.total),
            "" if line.saving is None else words.money(line.saving),
        )
    return table


def _certainty(decision: Decision, words: Wording) -> Table:
    table = _table(
        "over the 95 % intervals, and the licence price at which totals are level",
        "model",
        "total from",
        "to",
        "ranks",
        "price",
        "= internal",
        "= best other",
    )
    for line in decision.lines:
        table.add_row(
            _name(line.candidate),
            *(words.money(end) for end in line.ends),
            words.ranks(line),
            words.price(line.candidate.price) if line.internal else "",
            *(
                words.price(level.price) if level and line.internal else ""
                for level in (line.internal, line.best)
            ),
        )
    return table


def _swaps(swaps: list[Swap], words: Wording) -> Table:
    table = _table(
        f"who can change places: at which {words.figure_name}, {words.unit}",
        "cheaper",
        "at",
        "dearer",
        "or at",
        "apart",
    )
    for swap in swaps:
        at = (words.figure(swap.first_at), words.figure(swap.second_at))
        table.add_row(swap.first.called, at[0], swap.second.called, at[1], words.money(swap.gap))
    return table


# For programs


def decision_document(decision: Decision) -> dict[str, Any]:
    """`evaluator decide --json`: money and figures as exact decimals in strings."""
    case = decision.case
    return {
        "task": case.task,
        "unit": None if case.task == "classification" else case.unit,
        "currency": case.currency,
        "area_km2": exact(case.area),
        "cost_of_error": exact(case.unit_cost),
        "models": [_line_document(line) for line in decision.lines],
        "pairs": [
            {
                "cheaper": swap.first.name,
                "dearer": swap.second.name,
                "apart": exact(swap.gap),
                "cheaper_level_at": rounded(swap.first_at, _LEVEL_PLACES).replace(",", ""),
                "dearer_level_at": rounded(swap.second_at, _LEVEL_PLACES).replace(",", ""),
                "possible": swap.possible,
            }
            for swap in decision.swaps
        ],
        "settled": decision.settled,
        "left_out": [{"model": name, "reason": why} for name, why in decision.left_out],
    }


def _line_document(line: Line) -> dict[str, Any]:
    own = line.candidate
    return {
        "model": own.name,
        "signed": own.signed,
        "run": own.run or None,
        "phase": own.phase or None,
        "keyid": own.keyid or None,
        "figure": exact(own.figure),
        "figure_interval": [exact(end) for end in own.ends] if own.ends else None,
        "error": exact(line.error),
        "misclassified_km2": None if line.area is None else exact(line.area),
        "cost_of_errors": exact(line.errors),
        "licence_per_km2": exact(own.price),
        "licence": exact(line.licence),
        "own_cost": exact(own.own_cost),
        "total": exact(line.total),
        "total_interval": [exact(end) for end in line.ends],
        "rank": line.rank,
        "ranks": list(line.ranks),
        "saving": None if line.saving is None else exact(line.saving),
        "level_with_internal": _level_document(line.internal),
        "level_with_best_other": _level_document(line.best, priced=line.internal is not None),
    }


def _level_document(level: Level | None, *, priced: bool = True) -> dict[str, str | None] | None:
    """A price below 0 stands as it is: then none would do. The internal model has none to pay."""
    if level is None:
        return None
    return {
        "model": level.other.name,
        "licence_per_km2": rounded(level.price, _LEVEL_PLACES).replace(",", "") if priced else None,
        "figure": rounded(level.figure, _LEVEL_PLACES).replace(",", ""),
    }

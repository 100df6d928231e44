"""The models of a decision: from signed results, from the board, and from what-ifs.

    chosen = from_results(verified, assumptions, phase)     results, and receipts with offers
    chosen = from_board(board, assumptions, phase)
    decision = decision_of(assumptions, chosen)

Only results that were verified come in: `Verified` is what `evaluator.verify` returns, and a board
holds entries of the log that were.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, get_args

from evaluator.decision.decide import INTERNAL, Candidate, Case, Decision, decide
from evaluator.errors import OwnerError
from evaluator.kinds import RECEIVED, RESULT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evaluator.board.values import Board
    from evaluator.decision.assumptions import Assumptions, Task
    from evaluator.error_figures import ErrorFigures
    from evaluator.scoring import Figures
    from evaluator.verify import Verified

Phase = Literal["baseline", "tuned"]
FIGURES: Mapping[Task, str] = {"classification": "accuracy", "regression": "mae"}
"""The figure of a phase that a decision rests on."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The signed candidates, and what has no figure, with the reason."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[tuple[str, str], ...]


def case_of(assumptions: Assumptions) -> Case:
    """What is the same for every model."""
    return Case(
        task=assumptions.task,
        currency=assumptions.currency,
        area=Fraction(assumptions.area_km2),
        unit_cost=Fraction(assumptions.unit_cost),
        unit=assumptions.unit,
    )


def decision_of(assumptions: Assumptions, chosen: Chosen) -> Decision:
    """Return the table of the internal model, the signed candidates and the what-ifs.

    Raises OwnerError where there is nothing to choose, or two of them have one name.
    """
    own = assumptions.internal
    internal = Candidate(
        name=INTERNAL,
        signed=False,
        figure=Fraction(own.figure or 0),
        ends=None,
        price=Fraction(0),
        own_cost=Fraction(own.annual_cost),
    )
    supposed = [
        Candidate(
            name=each.name,
            signed=False,
            figure=Fraction(each.figure or 0),
            ends=_ends(each.interval),
            price=Fraction(each.licence_per_km2),
            own_cost=Fraction(0),
        )
        for each in assumptions.hypothetical
    ]
    offered = [*chosen.candidates, *supposed]
    if not offered:
        raise OwnerError(
            "There is no model to choose: name signed results with a figure, or give --board, or "
            "add a [[hypothetical]] model to the assumptions."
            + "".join(f" Left out: {name}: {why}." for name, why in chosen.left_out)
        )
    names = Counter(each.name for each in (internal, *offered))
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise OwnerError(
            f"Two models are called {', '.join(twice)}. Give the hypothetical one another name: "
            "a what-if must not be taken for a signed result."
        )
    return decide(case_of(assumptions), internal, offered, chosen.left_out)


@dataclass(frozen=True, slots=True)
class _Signed:
    """One result: the figures of its phases where they were scored, else the statuses.

    `most` is the width of the targets' range, None where classes are predicted.
    """

    vendor: str
    run: str
    keyid: str
    offer: tuple[str, str] | None
    figures: Mapping[str, Mapping[str, Any] | None]
    statuses: Mapping[str, str]
    most: Fraction | None


def from_results(
    verified: Sequence[Verified], assumptions: Assumptions, phase: Phase | None
) -> Chosen:
    """Return the candidates of these results; without `phase`, fine-tuned, else as submitted.

    A receipt among them brings no candidate, but the price that its vendor offered.
    Raises OwnerError where they cannot stand in one table: two holdouts, a result twice, a task
    or unit that the assumptions are not about, or a vendor without a price.
    """
    if any(each.kind not in {RESULT, RECEIVED} for each in verified):
        raise OwnerError(
            "One of these files is signed, but is neither a result nor the receipt of a submission."
        )
    said = [_said(each) for each in verified if each.kind == RESULT]
    offers = _offers(verified)
    if len({each["dataset"]["holdout_commitment"]["digest"]["sha256"] for each in said}) > 1:
        raise OwnerError(
            "These results are about different holdouts, so their figures cannot be compared. "
            "Decide between results of one version of the data set."
        )
    if len({each["run"] for each in said}) < len(said):
        raise OwnerError("A result is named twice. Name each once.")
    _require_unit(assumptions, {each["dataset"]["unit"] for each in said})
    signed = [
        _Signed(
            vendor=each["vendor"],
            run=each["run"],
            keyid=each["keyid"],
            offer=offers.get((each["vendor"], each["digest"])),
            figures={
                name: phase if phase and phase["status"] == "OK" else None
                for name, phase in _phases(each)
            },
            statuses={
                name: phase["status"] if phase else "not run" for name, phase in _phases(each)
            },
            most=_width(each["dataset"]["range"]),
        )
        for each in said
    ]
    return _chosen(signed, assumptions, phase)


def _said(verified: Verified) -> dict[str, Any]:
    """The predicate, decimal by decimal as it was signed, with key and subject beside it."""
    statement = json.loads(verified.payload, parse_float=Decimal)
    (subject,) = statement["subject"]
    digest = subject["digest"]["sha256"]
    return {**statement["predicate"], "keyid": verified.keyid, "digest": digest}


def _offers(verified: Iterable[Verified]) -> dict[tuple[str, str], tuple[str, str]]:
    """Currency and price of each offer, by the vendor and the digest of its submission."""
    receipts = [_said(each) for each in verified if each.kind == RECEIVED]
    return {
        (each["vendor"], each["digest"]): (each["offer"]["currency"], each["offer"]["per_km2"])
        for each in receipts
        if each["offer"]
    }


def _phases(predicate: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any] | None]]:
    return [(name, predicate["phases"][name]) for name in get_args(Phase)]


def from_board(board: Board, assumptions: Assumptions, phase: Phase | None) -> Chosen:
    """Return the best row of each vendor on the board, by the board's own order.

    Withdrawn results, and runs of the owner's own, have no rank and so are not among them. A price
    in the assumptions stands before the offer in the log.
    """
    _require_task(assumptions, {board.task})
    _require_unit(assumptions, {board.unit})
    signed = [
        _Signed(
            vendor=row.vendor,
            run=row.run,
            keyid="",
            offer=row.offer,
            figures={"baseline": _read(row.baseline), "tuned": _read(row.tuned)},
            statuses=dict(
                zip(
                    get_args(Phase), (each or "not run" for each in row.phase_statuses), strict=True
                )
            ),
            most=_width(board.range),
        )
        for row in board.rows
        if row.rank is not None
    ]
    chosen = _chosen(signed, assumptions, phase)
    unranked = [(row.vendor, "no result with a rank") for row in board.rows if row.rank is None]
    return Chosen(chosen.candidates, (*chosen.left_out, *unranked))


def _read(figures: Figures | ErrorFigures | None) -> Mapping[str, Any] | None:
    return None if figures is None else asdict(figures)


def _chosen(signed: Sequence[_Signed], assumptions: Assumptions, wanted: Phase | None) -> Chosen:
    """A candidate of each that has a figure in the phase wanted, and one that is no lower bound."""
    times = Counter(each.vendor for each in signed)
    candidates, left_out = [], []
    for each in signed:
        name = each.vendor if times[each.vendor] == 1 else f"{each.vendor} {each.run[:8]}"
        names: tuple[Phase, ...] = (wanted,) if wanted else ("tuned", "baseline")
        phase = next((phase for phase in names if each.figures[phase]), None)
        if phase is None:
            statuses = ", ".join(f"{phase}: {each.statuses[phase]}" for phase in names)
            left_out.append((name, statuses))
        elif _beyond(each, phase):
            why = "its MAE is the whole range of the targets or more, which is no figure to cost"
            left_out.append((name, why))
        else:
            candidates.append(_candidate(name, each, phase, assumptions))
    return Chosen(tuple(candidates), tuple(left_out))


def _beyond(signed: _Signed, phase: Phase) -> bool:
    """Whether its error was held to the range: published is "that or more", and so is the cost."""
    mae = (signed.figures[phase] or {}).get(FIGURES["regression"])
    return None not in {mae, signed.most} and _exact(mae) == signed.most


def _width(limits: Iterable[object] | None) -> Fraction | None:
    ends = _ends(limits)
    return ends and ends[1] - ends[0]


def _candidate(name: str, signed: _Signed, phase: Phase, assumptions: Assumptions) -> Candidate:
    figures = signed.figures[phase] or {}
    task: Task = "regression" if FIGURES["regression"] in figures else "classification"
    _require_task(assumptions, {task})
    figure = FIGURES[task]
    return Candidate(
        name=name,
        signed=True,
        figure=_exact(figures[figure]),
        ends=_ends(figures.get(f"{figure}_interval")),
        price=_price(signed.vendor, signed.offer, assumptions),
        own_cost=Fraction(0),
        run=signed.run,
        phase=phase,
        keyid=signed.keyid,
    )


def _require_task(assumptions: Assumptions, tasks: set[str]) -> None:
    if tasks != {assumptions.task}:
        made, needed = (
            "cost_per_misclassified_km2 and accuracies",
            "cost_per_unit_error and mean absolute errors (mae)",
        )[:: -1 if assumptions.task == "regression" else 1]
        raise OwnerError(
            f"The assumptions are made of {made}, but these models are measured otherwise. Give "
            f"{needed} instead."
        )


def _require_unit(assumptions: Assumptions, units: set[str | None]) -> None:
    """Require that errors are in the unit that a cost was given for; None is that of classes."""
    other = units - {None, assumptions.unit}
    if other:
        raise OwnerError(
            f"These results are in {min(map(repr, other))}, the assumptions in "
            f"{assumptions.unit!r}. Give `unit` in the assumptions, and every mae and "
            "cost_per_unit_error in it."
        )


def _price(vendor: str, offer: tuple[str, str] | None, assumptions: Assumptions) -> Fraction:
    """The price in the file, else the offer of the vendor; OwnerError without either."""
    if vendor in assumptions.licence:
        return Fraction(assumptions.licence[vendor])
    if offer is None:
        raise OwnerError(
            f"There is no licence price of {vendor}. Add it to the assumptions, under [licence]: "
            f"{vendor} = 0.25 (for each km2 and year); or name the receipt of its submission too, "
            "if it made an offer."
        )
    currency, price = offer
    if currency != assumptions.currency:
        raise OwnerError(
            f"The offer of {vendor} is in {currency}, the assumptions are in "
            f"{assumptions.currency}. Put its price in {assumptions.currency} under [licence]."
        )
    return Fraction(price)


def _ends(interval: Iterable[object] | None) -> tuple[Fraction, Fraction] | None:
    if interval is None:
        return None
    low, high = interval
    return _exact(low), _exact(high)


def _exact(value: object) -> Fraction:
    """The decimal that a figure was published as: 0.908, not the double nearest to it."""
    return Fraction(str(value))

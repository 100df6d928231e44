"""The page of a decision: `evaluator decide --html FILE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.decision.decide import NOT_SIGNED
from evaluator.decision.tables import Wording, exact, rounded, summary
from evaluator.site.decide_plots import prices_plot, totals_plot
from evaluator.site.shell import page, render

if TYPE_CHECKING:
    from evaluator.decision.decide import Decision


def decide_page(decision: Decision) -> str:
    """Return the page as text: self-contained, and every figure of its plots in a table too."""
    case = decision.case
    body = render(
        "decide.html",
        decision=decision,
        case=case,
        words=Wording(decision),
        summary=summary(decision),
        possible=[swap for swap in decision.swaps if swap.possible],
        internal=next(line for line in decision.lines if line.internal is None),
        keyids=sorted({each.candidate.keyid for each in decision.lines if each.candidate.keyid}),
        totals=totals_plot(decision),
        prices=prices_plot(decision),
        exact=exact,
        rounded=rounded,
        not_signed=NOT_SIGNED,
    )
    return page("Decision", body)

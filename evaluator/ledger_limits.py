"""What has to be left before a submission is taken or a run starts.

Each is called inside the transaction that then takes it; OwnerError says the numbers, TakenError
that another worker was faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.errors import OwnerError
from evaluator.leakage import tenths
from evaluator.petaflops import petaflops
from sandbox import SandboxError

if TYPE_CHECKING:
    from datetime import date

    from evaluator.ledger_rows import Limits
    from evaluator.ledger_view import LedgerView


class TakenError(SandboxError):
    """Another worker has this submission, or runs another one of the same vendor."""


def require_room(ledger: LedgerView, vendor: str, usual: Limits, today: date) -> None:
    """Require an open window, a slot of both quotas, and some compute."""
    limits = ledger.vendor(vendor).limits(usual)
    window = f"{limits.opens} to {limits.closes}"
    if not limits.opens <= today <= limits.closes:
        raise OwnerError(
            f"The window is {window} and today is {today} (UTC). Change [window] in "
            "evaluator.toml to open it."
        )
    used = ledger.slots(vendor, limits.opens, limits.closes)
    if used >= limits.total:
        raise OwnerError(
            f"{vendor} has used {used} of {limits.total} submissions of the window {window}, so "
            "this one is not taken. Refused and aborted ones do not count."
        )
    on_the_day = ledger.slots(vendor, today, today)
    if on_the_day >= limits.per_day:
        raise OwnerError(
            f"{vendor} has used {on_the_day} of {limits.per_day} submissions of this day, {today}, "
            "so this one is not taken. The next day begins at midnight UTC."
        )
    charged = ledger.charged(vendor, limits)
    if charged >= limits.micro_petaflops:
        raise OwnerError(
            f"{vendor} has used {petaflops(charged):,} of "
            f"{petaflops(limits.micro_petaflops):,} PF of the window {window}, so this one is "
            "not taken."
        )


def require_petaflops(ledger: LedgerView, vendor: str, limits: Limits, asked: int) -> None:
    """Require so many millionths of a petaflop, of what is neither charged nor set aside."""
    left = ledger.petaflops_left(vendor, limits)
    if asked > left:
        raise OwnerError(
            f"A run may take {petaflops(asked):,} PF and {vendor} has {petaflops(left):,} "
            f"left of the window {limits.opens} to {limits.closes}, so nothing was run."
        )


def require_bits(ledger: LedgerView, bits: float, budget: int) -> None:
    """Require so many bits, of what no result of any vendor carries or may come to carry."""
    taken = ledger.taken()
    if tenths(taken) + tenths(bits) > 10 * budget:
        raise OwnerError(
            f"Results may carry {budget:,} bits about this data set. Those so far take "
            f"{taken:,} and one run may take {bits}, so nothing was run. `evaluator "
            "leakage` shows the account; leakage_budget_bits in evaluator.toml is its size."
        )


def require_alone(ledger: LedgerView, vendor: str) -> None:
    """Require that the vendor is known and runs nothing."""
    ledger.vendor(vendor)
    if any(run.vendor == vendor for run in ledger.running()):
        raise TakenError(f"A run of {vendor} has not ended, and a vendor has one at a time.")


def require_queued(ledger: LedgerView, number: int, vendor: str) -> str:
    """Require that a submission of this vendor waits, and return the day for which it counts."""
    day = ledger.waiting(number, vendor)
    if day is None:
        raise TakenError(f"Submission {number} of {vendor} does not wait for a run.")
    return day

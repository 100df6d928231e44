"""A judgement of one fact about a host, and the rule that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evaluator.doctor.facts import HostFacts

# residual: only the host can take it away, a run starts all the same, and its result says so.
# info: worth knowing, and no part of the wall.
Status = Literal["ok", "residual", "fatal", "unknown", "info"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `evaluator doctor`.

    `found` is what is there, `why` what it would mean for a run, `fix` what takes it away.
    Where `decisive`, the verdict cannot be SEALED without knowing.
    """

    id: str
    title: str
    status: Status
    found: str
    why: str
    fix: str
    decisive: bool


# A status and the words for `found`.
Finding = tuple[Status, str]
# The second argument is the runtime that the policy names.
Judge = Callable[["HostFacts", str], Finding]


@dataclass(frozen=True, slots=True)
class Rule:
    """What is the same about a check on every host, and the function that tells hosts apart."""

    id: str
    title: str
    judge: Judge
    why: str
    fix: str
    decisive: bool = False

    def check(self, facts: HostFacts, runtime: str) -> Check:
        """Apply the rule to one host."""
        status, found = self.judge(facts, runtime)
        return Check(self.id, self.title, status, found, self.why, self.fix, self.decisive)


HIDDEN: Finding = ("unknown", "this user cannot read it")
UNDER_GVISOR: Finding = ("ok", "gVisor stands between a submission and the host's kernel")

"""What `validate` says of a submission: the one thing that every report format prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evaluator.lint.facts import Facts
    from evaluator.lint.rule import Finding, Rule, Severity

_RANK: dict[str, int] = {"note": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Findings in the order of their rules, and the rules that were asked and not broken.

    `skipped` are those that say nothing of such a submission, or whose step was never reached.
    `name` is what the submission is called in reports: a path of the vendor's, relative and made
    plain by whoever builds this. `dockerfile` likewise, "" where none was given.
    """

    facts: Facts
    name: str
    findings: tuple[Finding, ...]
    passed: tuple[Rule, ...]
    skipped: tuple[Rule, ...]
    dockerfile: str = ""

    @property
    def open(self) -> tuple[Finding, ...]:
        """Findings that no waiver covers."""
        return tuple(found for found in self.findings if found.waiver is None)

    def fails(self, threshold: Severity) -> bool:
        """Whether an open finding is at least as bad as `threshold`."""
        return any(_RANK[found.rule.severity] >= _RANK[threshold] for found in self.open)

    @property
    def result(self) -> Literal["PASSED", "WARNED", "FAILED"]:
        """The word of the in-toto test-result predicate."""
        if self.fails("error"):
            return "FAILED"
        return "WARNED" if self.fails("warning") else "PASSED"

    @property
    def answers(self) -> dict[str, str]:
        """What an official run would answer, by phase."""
        if self.facts.refusals:
            return {"baseline": "REFUSED"}
        return {each.phase: each.status for each in self.facts.estimates}

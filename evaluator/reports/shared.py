"""What every format says of a finding, in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.reports.plain import plain

if TYPE_CHECKING:
    from evaluator.lint.rule import Finding, Rule
    from evaluator.lint.verdict import Verdict

RANK = {"error": 0, "warning": 1, "note": 2}


def message(found: Finding) -> str:
    """What was found, on one line."""
    return plain(found.hit.message)


def title(rule: Rule) -> str:
    """The id and the name of a rule."""
    return f"{rule.id} {rule.name}"


def worst_first(findings: tuple[Finding, ...]) -> list[Finding]:
    """Errors before warnings before notes, each in the order of their ids."""
    return sorted(findings, key=lambda found: (RANK[found.rule.severity], found.rule.id))


def place(found: Finding, verdict: Verdict) -> tuple[str, int]:
    """A file of the vendor's and a line of it, from 1: of the Dockerfile where it is to blame."""
    if found.hit.line is not None and verdict.dockerfile:
        return plain(verdict.dockerfile), found.hit.line
    return plain(verdict.name), 1


def summary(verdict: Verdict) -> str:
    """One sentence: how many findings of each kind, and what an official run would answer."""
    kinds: list[str] = [found.rule.severity for found in verdict.open]
    counts = ", ".join(_counted(kinds.count(kind), kind) for kind in RANK)
    waived = len(verdict.findings) - len(verdict.open)
    waived_too = f", {waived} waived" if waived else ""
    answers = ", ".join(f"{phase} {status}" for phase, status in verdict.answers.items())
    said = f" An official run would answer: {answers}." if answers else ""
    return f"{verdict.result}: {counts}{waived_too}.{said}"


def _counted(number: int, kind: str) -> str:
    return f"{number} {kind}" if number == 1 else f"{number} {kind}s"

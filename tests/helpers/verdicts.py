"""Verdicts made by hand: what `validate` would have found, without a container."""

from __future__ import annotations

import datetime as dt

from evaluator.challenge import sample_challenge
from evaluator.lint.facts import Estimate, Facts
from evaluator.lint.rule import Finding, Hit, Rule, Waiver
from evaluator.lint.verdict import Verdict

DIGEST = "5" * 64
SOON = dt.date(2031, 1, 1)


def rule(number: int, severity: str = "error", name: str = "") -> Rule:
    """A rule that nobody else has."""
    return Rule(
        id=f"EVA{number}",
        name=name or f"rule-of-{number}",
        severity=severity,  # type: ignore[arg-type]  # tests give the words as text
        applies="both",
        title=f"Rule {number} is kept.",
        why="Otherwise something fails at the data owner's.",
        fix="Write this:\n\n```dockerfile\nUSER 10001\n```",
        check=lambda _: (),
    )


ERROR, WARNING, NOTE = rule(103), rule(211, "warning"), rule(340, "note")
PASSED, SKIPPED = rule(104), rule(402)
WAIVER = Waiver("EVA211", "known; the base image is ours", SOON)
ESTIMATES = (
    Estimate("baseline", "OK", 0.31, 1.5, 0.002, 11.8, 400 * 2**20, 1.0),
    Estimate("tuned", "TIMEOUT", 0.3, 2.0, 0.5, 4000.0, 900 * 2**20, 12.0),
)


def verdict(
    *findings: Finding,
    name: str = "model/image.tar",
    dockerfile: str = "",
    estimates: tuple[Estimate, ...] = ESTIMATES,
    digest: str = DIGEST,
) -> Verdict:
    """A verdict with these findings; one rule was passed and one skipped."""
    facts = Facts("image", digest, 123_456, sample_challenge(), estimates=estimates)
    return Verdict(facts, name, findings, (PASSED,), (SKIPPED,), dockerfile)


def found(
    broken: Rule = ERROR,
    message: str = "it is broken",
    where: str = "config/Env/2",
    line: int | None = None,
    waiver: Waiver | None = None,
) -> Finding:
    """One finding."""
    return Finding(broken, Hit(message, where, line), waiver)


GOOD = verdict()
BAD = verdict(
    found(NOTE, "a note"),
    found(),
    found(message="another place", where="config/Env/3"),
    found(WARNING, "a line of the Dockerfile", "Dockerfile", 7),
    dockerfile="docker/Dockerfile",
)
WAIVED = verdict(found(WARNING, waiver=WAIVER))

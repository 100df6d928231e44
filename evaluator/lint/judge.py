"""Every rule asked of the facts, and what came of it: found, passed, or never reached.

A rule that breaks over hostile facts is a finding of its own (EVA901), never a rule that passed.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from evaluator.lint.catalogue import RULES
from evaluator.lint.internal_rules import RULE_BROKE, WAIVER_EXPIRED, WAIVER_UNUSED
from evaluator.lint.rule import Finding, Hit
from evaluator.lint.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.lint.facts import Facts
    from evaluator.lint.rule import Need, Rule, Waiver

_MOST_HITS = 20  # of one rule; a thousand alike say no more

_THERE: dict[Need, Callable[[Facts], bool]] = {
    "image": lambda facts: facts.image is not None,
    "model": lambda facts: facts.model is not None,
    "predict": lambda facts: bool(facts.ran("predict")),
    "train": lambda facts: bool(facts.ran("train")),
    "estimates": lambda facts: bool(facts.estimates),
}


def judge(facts: Facts, waivers: tuple[Waiver, ...], name: str, dockerfile: str = "") -> Verdict:
    """Ask every rule. `name` is what reports call the submission, `dockerfile` its Dockerfile.

    The rules' own exceptions are findings; nothing that a submission says can make this raise.
    """
    answers = {rule: _asked(rule, facts) for rule in RULES.values()}
    in_force = {waiver.rule: waiver for waiver in waivers if not waiver.expired}
    findings = [
        Finding(found, hit, None if found.refuses else in_force.get(found.id))
        for hits in answers.values()
        for found, hit in hits or ()
    ]
    # A rule that broke found nothing of its own, and has not passed either.
    quiet = {rule.id for rule, hits in answers.items() if hits == []}
    findings += _of_waivers(waivers, quiet)
    broken = {found.rule.id for found in findings}
    return Verdict(
        facts,
        name,
        tuple(sorted(findings, key=lambda found: found.rule.id)),
        tuple(rule for rule in answers if rule.id in quiet - broken),
        tuple(rule for rule in answers if rule.id not in quiet | broken),
        dockerfile,
    )


def _asked(rule: Rule, facts: Facts) -> list[tuple[Rule, Hit]] | None:
    """What a rule finds; None where it says nothing of such a submission, or was not reached.

    The intake ends at its first refusal: what it would have asked next is not known.
    """
    if rule.applies not in {"both", facts.kind}:
        return None
    if not all(_THERE[need](facts) for need in rule.needs):
        return None
    try:
        hits = [(rule, hit) for hit in islice(rule.check(facts), _MOST_HITS)]
    except Exception as error:  # noqa: BLE001 - whatever a rule does wrong, it has not passed
        return [(RULE_BROKE, Hit(f"{rule.id} broke: {type(error).__name__}", f"rule/{rule.id}"))]
    return None if rule.refuses and facts.refusals and not hits else hits


def _of_waivers(waivers: tuple[Waiver, ...], quiet: set[str]) -> Iterator[Finding]:
    for waiver in waivers:
        where = f"waiver/{waiver.rule}"
        if waiver.expired:
            said = f"the waiver of {waiver.rule} expired on {waiver.expires}"
            yield Finding(WAIVER_EXPIRED, Hit(said, where))
        elif waiver.rule in quiet:  # and not merely never reached
            said = f"the waiver of {waiver.rule} covers nothing"
            yield Finding(WAIVER_UNUSED, Hit(said, where))

"""How rules are written down: a decorator for what `validate` asks, a factory for what refuses."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from evaluator.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from evaluator.lint.facts import Facts, ImageFacts
    from evaluator.lint.rule import Applies, Need, Severity


def asks(  # noqa: PLR0913 - a rule's own fields, by name
    number: int,
    name: str,
    severity: Severity,
    *,
    applies: Applies = "image",
    needs: tuple[Need, ...] = (),
    title: str,
    why: str,
    fix: str,
) -> Callable[[Callable[[Facts], Iterable[Hit]]], Rule]:
    """Make a rule of the function below: it yields the places where facts break it."""

    def made(check: Callable[[Facts], Iterable[Hit]]) -> Rule:
        return Rule(f"EVA{number}", name, severity, applies, title, why, fix, check, needs=needs)

    return made


def refusal(  # noqa: PLR0913 - as above
    number: int, name: str, applies: Applies, where: str, *, title: str, why: str, fix: str
) -> Rule:
    """Make a rule of the intake's own: it is broken where the intake says so."""
    check = partial(_refused, f"EVA{number}", where)
    return Rule(f"EVA{number}", name, "error", applies, title, why, fix, check, refuses=True)


def _refused(rule: str, where: str, facts: Facts) -> Iterator[Hit]:
    for said in facts.refusals:
        if said.rule == rule:
            yield Hit(said.message, where)


def rules_of(module: dict[str, object]) -> tuple[Rule, ...]:
    """The rules that a module defines, in order of their ids."""
    found = [value for value in module.values() if isinstance(value, Rule)]
    return tuple(sorted(found, key=lambda rule: rule.id))


def block(language: str, *lines: str) -> str:
    """What is to be copied, below the sentence that says so."""
    return "\n".join(("", "", f"```{language}", *lines, "```"))


def image_of(facts: Facts) -> ImageFacts:
    """The image, for a rule that needs one."""
    assert facts.image is not None  # noqa: S101 - the rule is not asked otherwise
    return facts.image

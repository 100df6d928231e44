"""EVA901 on: what `validate` says of itself: a rule that broke is never a rule that passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.lint.making import asks, block, rules_of
from evaluator.lint.rule import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import Facts


@asks(
    901,
    "rule-broke",
    "error",
    applies="both",
    title="Every rule could be asked",
    why="A rule of this program failed over the submission. What it would have said is not known, "
    "so nothing is passed.",
    fix="Report it, with what `--facts-out` writes and the rule's id."
    + block("sh", "evaluator validate IMAGE --facts-out facts.json"),
)
def _rule_broke(_facts: Facts) -> Iterator[Hit]:
    return iter(())  # `judge` finds it


@asks(
    902,
    "not-rehearsed",
    "error",
    applies="both",
    title="The submission was rehearsed",
    why="It was neither refused nor run, so nothing is known of it.",
    fix="Look for what this host says of it." + block("sh", "evaluator doctor"),
)
def _not_rehearsed(facts: Facts) -> Iterator[Hit]:
    if not facts.refusals and not facts.ran("predict"):
        yield Hit("no predict was run", "rehearsal")


@asks(
    903,
    "log-cut",
    "note",
    applies="both",
    title="The whole log was read",
    why="What a program prints is kept up to a bound; rules that look for reasons saw no more.",
    fix="Print less." + block("sh", "docker run IMAGE predict 2>&1 | wc -c"),
)
def _log_cut(facts: Facts) -> Iterator[Hit]:
    for step in facts.steps:
        if step.cut:
            yield Hit(f"{step.verb} printed more than was kept", f"log/{step.verb}")


@asks(
    904,
    "waiver-expired",
    "warning",
    applies="both",
    title="No waiver has expired",
    why="A waiver is a promise to look again by a day, and that day has passed. It covers nothing "
    "any more.",
    fix="Mend what it covered, or give it a new day in `.evaluatorignore.toml`."
    + block("toml", "[[waiver]]", 'rule = "RULE"', 'reason = "WHY"', "expires = 2027-01-31"),
)
def _waiver_expired(_facts: Facts) -> Iterator[Hit]:
    return iter(())  # `judge` finds it


@asks(
    905,
    "waiver-unused",
    "note",
    applies="both",
    title="Every waiver covers something",
    why="Its rule is not broken any more, and next time it would hide a new finding.",
    fix="Remove it from `.evaluatorignore.toml`." + block("sh", "$EDITOR .evaluatorignore.toml"),
)
def _waiver_unused(_facts: Facts) -> Iterator[Hit]:
    return iter(())  # `judge` finds it


RULES = rules_of(globals())
RULE_BROKE, NOT_REHEARSED, LOG_CUT, WAIVER_EXPIRED, WAIVER_UNUSED = RULES

"""Looking for words in a log that may be megabytes of anything: no pattern, bounded work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.lint.rule import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import Facts

# One or two pieces of text that stand on one line, in that order.
Words = tuple[str, ...]

_LOOKS = 500  # places of the first piece; a log that has more of them says it sooner
_LINE = 400  # characters of a line on each side that are read
_QUOTED = 200


def line_with(log: str, words: Words) -> str | None:
    """The first line that has all of `words`, cut to be quoted; None without one."""
    first, *others = words
    at = log.find(first)
    for _ in range(_LOOKS):
        if at < 0:
            return None
        begin = max(log.rfind("\n", max(0, at - _LINE), at) + 1, at - _LINE, 0)
        after = at + len(first)
        end = log.find("\n", after, after + _LINE)
        end = after + _LINE if end < 0 else end
        rest = log[after:end]
        if all(word in rest for word in others):
            return log[begin:end].strip()[:_QUOTED]
        at = log.find(first, end)
    return None


def said(facts: Facts, *patterns: Words) -> Iterator[Hit]:
    """One finding for each verb whose log has a line with one of these."""
    verbs = set()
    for step in facts.steps:
        if step.verb in verbs:
            continue
        for words in patterns:
            line = line_with(step.log, words)
            if line is not None:
                verbs.add(step.verb)
                yield Hit(f"{step.verb} printed: {line}", f"log/{step.verb}")
                break

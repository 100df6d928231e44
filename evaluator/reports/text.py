"""For people, on a terminal: what was found, what to do, and what an official run would answer."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

from evaluator.lint.catalogue import url
from evaluator.reports.plain import plain
from evaluator.reports.shared import message, place, summary, title, worst_first

if TYPE_CHECKING:
    from evaluator.lint.facts import Estimate
    from evaluator.lint.rule import Finding
    from evaluator.lint.verdict import Verdict

_WIDTH = 100
_PLACES = 10  # of one rule; the other formats have them all


def text(verdict: Verdict) -> str:
    """The findings, worst first, a table of what was measured, and one sentence at the end."""
    together = groupby(worst_first(verdict.findings), lambda found: (found.rule, found.waiver))
    parts = [_findings([*group], verdict) for _, group in together]
    if verdict.facts.estimates:
        parts.append(_table(verdict))
    return "\n\n".join([*parts, summary(verdict)]) + "\n"


def _findings(group: list[Finding], verdict: Verdict) -> str:
    """Every place where one rule is broken, then once why and what to do."""
    rule, waiver = group[0].rule, group[0].waiver
    head = f"{rule.severity}: {title(rule)}"
    if waiver:
        head = f"waived until {waiver.expires}: {title(rule)} ({plain(waiver.reason)})"
    lines = [head]
    for found in group[:_PLACES]:
        file, line = place(found, verdict)
        at = f"{file}:{line}" if found.hit.line is not None else plain(found.hit.where)
        lines += [f"  where  {at}", *_wrapped("what", message(found))]
    if len(group) > _PLACES:
        lines.append(f"         and {len(group) - _PLACES} places more")
    lines += _wrapped("why", rule.why)
    lines += ["  fix", *textwrap.indent(rule.fix.strip(), "    ").splitlines()]
    return "\n".join([*lines, f"  more   {url(rule)}"])


def _wrapped(name: str, words: str) -> list[str]:
    return textwrap.wrap(
        " ".join(words.split()),
        _WIDTH,
        initial_indent=f"  {name:<5}  ",
        subsequent_indent=" " * 9,
        break_long_words=False,
        break_on_hyphens=False,  # what is behind one would begin a line
    )


def _table(verdict: Verdict) -> str:
    """What one phase takes on the owner's tiles and resources."""
    tiles = verdict.facts.challenge.tiles
    head = (
        f"Foreseen on the owner's {tiles.holdout} held-out and {tiles.training} training tiles:\n"
        f"  {'phase':<9} {'answer':<15} {'start':>8} {'load':>8} {'per tile':>10} {'in all':>9} "
        f"{'memory':>9} {'charge':>10}"
    )
    return "\n".join([head, *map(_row, verdict.facts.estimates)])


def _row(each: Estimate) -> str:
    memory = each.peak_memory / 2**20
    return (
        f"  {each.phase:<9} {each.status:<15} {each.start:>6.2f} s {each.load:>6.2f} s "
        f"{each.per_tile * 1e3:>7.2f} ms {each.seconds:>7.1f} s {memory:>5.0f} MiB "
        f"{each.petaflops:>7.3g} PF"
    )

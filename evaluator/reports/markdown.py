"""Markdown, for the summary of a build or a comment: a table of findings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evaluator.lint.catalogue import url
from evaluator.reports.plain import plain
from evaluator.reports.shared import message, place, summary, worst_first

if TYPE_CHECKING:
    from evaluator.lint.facts import Estimate
    from evaluator.lint.rule import Finding
    from evaluator.lint.verdict import Verdict

# Every sign that begins anything in Markdown or HTML, as the entity that shows it.
_SIGNS = re.compile(r"[!-+\--/:-@\[-`{-~]")
_ROWS = 100  # a summary of a step may have 1 MiB; the other formats have them all
_MARKS = {"error": "**error**", "warning": "warning", "note": "note"}


def markdown(verdict: Verdict) -> str:
    """The summary, the findings, and what an official run would take."""
    parts = [f"### evaluator validate: {harmless(plain(verdict.name))}", summary(verdict)]
    if verdict.findings:
        head = "| | rule | where | what |\n|---|---|---|---|"
        rows = [_row(found, verdict) for found in worst_first(verdict.findings)]
        parts.append("\n".join([head, *rows[:_ROWS]]))
        if len(rows) > _ROWS:
            parts.append(f"and {len(rows) - _ROWS} findings more")
    if verdict.facts.estimates:
        head = "| phase | answer | start | load | per tile | in all | memory | charge |"
        line = "|---|---|---|---|---|---|---|---|"
        parts.append("\n".join([head, line, *map(_estimate, verdict.facts.estimates)]))
    return "\n\n".join(parts) + "\n"


def harmless(text: str) -> str:
    """Text that Markdown shows as it is; within code, forges see no mention, issue or commit."""
    return f"<code>{_SIGNS.sub(lambda sign: f'&#{ord(sign[0])};', text)}</code>"


def _row(found: Finding, verdict: Verdict) -> str:
    rule = found.rule
    file, line = place(found, verdict)
    at = f"{file}:{line}" if found.hit.line is not None else plain(found.hit.where)
    mark = f"waived until {found.waiver.expires}" if found.waiver else _MARKS[rule.severity]
    name = f"[{rule.id} {rule.name}]({url(rule)})"
    return f"| {mark} | {name} | {harmless(at)} | {harmless(message(found))} |"


def _estimate(each: Estimate) -> str:
    cells = (
        each.phase,
        each.status,
        f"{each.start:.2f} s",
        f"{each.load:.2f} s",
        f"{each.per_tile * 1e3:.2f} ms",
        f"{each.seconds:.1f} s",
        f"{each.peak_memory / 2**20:.0f} MiB",
        f"{each.petaflops:.3g} PF",
    )
    return f"| {' | '.join(cells)} |"

"""GitHub's workflow commands: annotations of a build, worst first.

https://docs.github.com/actions/reference/workflow-commands. Ten of each kind are shown; more are
in the step's summary, which is the Markdown report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.lint.catalogue import url
from evaluator.reports.shared import message, place, summary, title, worst_first

if TYPE_CHECKING:
    from evaluator.lint.rule import Finding
    from evaluator.lint.verdict import Verdict

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_SHOWN = 10


def github(verdict: Verdict) -> str:
    """One command for each open finding that is shown, and one line to read."""
    lines, shown = [], dict.fromkeys(_COMMANDS, 0)
    for found in worst_first(verdict.open):
        shown[found.rule.severity] += 1
        if shown[found.rule.severity] <= _SHOWN:
            lines.append(_command(found, verdict))
    return "\n".join([*lines, summary(verdict)]) + "\n"


def _command(found: Finding, verdict: Verdict) -> str:
    file, line = place(found, verdict)
    properties = f"title={_value(title(found.rule))},file={_value(file)},line={line}"
    said = f"{message(found)} {url(found.rule)}"
    return f"::{_COMMANDS[found.rule.severity]} {properties}::{_escaped(said)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")

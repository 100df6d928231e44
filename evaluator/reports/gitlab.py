"""GitLab's Code Quality report, which is the Code Climate format: open findings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from evaluator.lint.catalogue import url
from evaluator.reports.sarif import fingerprint, uri
from evaluator.reports.shared import message, place, title, worst_first

if TYPE_CHECKING:
    from evaluator.lint.verdict import Verdict

_SEVERITIES = {"error": "critical", "warning": "minor", "note": "info"}


def gitlab(verdict: Verdict) -> str:
    """A list of findings; an empty one is a clean report."""
    found = []
    for each in worst_first(verdict.open):
        file, line = place(each, verdict)
        found.append(
            {
                "description": f"{title(each.rule)}: {message(each)} {url(each.rule)}",
                "check_name": each.rule.name,
                "fingerprint": fingerprint(each),
                "severity": _SEVERITIES[each.rule.severity],
                "location": {"path": uri(file), "lines": {"begin": line}},
            }
        )
    return json.dumps(found, indent=2) + "\n"

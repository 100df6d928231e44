"""For programs: one JSON document, whose names do not change within a schemaVersion."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evaluator.lint.catalogue import url
from evaluator.reports.plain import plain
from evaluator.reports.shared import message, place, summary, worst_first

if TYPE_CHECKING:
    from evaluator.lint.rule import Finding, Rule
    from evaluator.lint.verdict import Verdict


def document(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON's own types."""
    facts = verdict.facts
    return {
        "schemaVersion": 1,
        "submission": {"name": plain(verdict.name), "kind": facts.kind, "sha256": facts.digest},
        "challenge": {"name": facts.challenge.name, "sha256": facts.challenge.sha256},
        "result": verdict.result,
        "summary": summary(verdict),
        "answers": verdict.answers,
        "findings": [_finding(found, verdict) for found in worst_first(verdict.findings)],
        "estimates": [asdict(each) for each in facts.estimates],
        "passed": [rule.id for rule in verdict.passed],
        "skipped": [rule.id for rule in verdict.skipped],
    }


def json_text(verdict: Verdict) -> str:
    """The document as text: ASCII, so that no byte of it is anything but JSON."""
    return json.dumps(document(verdict), indent=2) + "\n"


def _finding(found: Finding, verdict: Verdict) -> dict[str, Any]:
    file, line = place(found, verdict)
    waiver = found.waiver
    return {
        "rule": found.rule.id,
        **rule_document(found.rule),
        "message": message(found),
        "where": plain(found.hit.where),
        "file": file,
        "line": line,
        "waiver": waiver
        and {"reason": plain(waiver.reason), "expires": waiver.expires.isoformat()},
    }


def rule_document(rule: Rule) -> dict[str, Any]:
    """A rule as JSON, but for its id: what it says of every submission."""
    return {
        "name": rule.name,
        "severity": rule.severity,
        "refuses": rule.refuses,
        "title": rule.title,
        "why": rule.why,
        "fix": rule.fix,
        "url": url(rule),
    }

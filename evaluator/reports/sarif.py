"""SARIF 2.1.0 (OASIS), as code scanning reads it: defects only, waived ones as suppressions."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from evaluator import __version__
from evaluator.lint.catalogue import url
from evaluator.reports.plain import plain
from evaluator.reports.shared import message, place, worst_first

if TYPE_CHECKING:
    from evaluator.lint.rule import Finding, Rule
    from evaluator.lint.verdict import Verdict

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
HOME = "https://submission-evaluator.example"


def sarif(verdict: Verdict) -> str:
    """One run of one tool, with every rule that was asked."""
    broken = {found.rule.id: found.rule for found in verdict.findings}
    asked = {rule.id: rule for rule in verdict.passed} | broken
    rules = [asked[name] for name in sorted(asked)]
    places = {rule.id: position for position, rule in enumerate(rules)}
    results = [_result(found, verdict, places) for found in worst_first(verdict.findings)]
    driver = {
        "name": "evaluator",
        "version": __version__,
        "semanticVersion": __version__,
        "informationUri": HOME,
        "rules": [_rule(rule) for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"evaluator-validate/{verdict.facts.kind}/"},
        "columnKind": "utf16CodeUnits",
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    name = "".join(part.capitalize() for part in rule.name.split("-"))
    help_text = f"{rule.why}\n\n{rule.fix}"
    return {
        "id": rule.id,
        "name": name,
        "shortDescription": {"text": _sentence(rule.title)},
        "fullDescription": {"text": _sentence(rule.why)},
        "help": {"text": help_text, "markdown": help_text},
        "helpUri": url(rule),
        "defaultConfiguration": {"level": rule.severity},
    }


def _result(found: Finding, verdict: Verdict, places: dict[str, int]) -> dict[str, Any]:
    file, line = place(found, verdict)
    where = plain(found.hit.where)
    location = {
        "physicalLocation": {
            "artifactLocation": {"uri": uri(file)},
            "region": {"startLine": line},
        },
        "logicalLocations": [{"fullyQualifiedName": where, "kind": "resource"}],
    }
    result: dict[str, Any] = {
        "ruleId": found.rule.id,
        "ruleIndex": places[found.rule.id],
        "level": found.rule.severity,
        "message": {"text": _sentence(message(found))},
        "locations": [location],
        "partialFingerprints": {"ruleAndPlace/v1": fingerprint(found)},
    }
    if found.waiver:
        said = plain(found.waiver.reason)
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": said}]
    return result


def fingerprint(found: Finding) -> str:
    """The same finding, the same name, whatever its line is by now."""
    said = json.dumps([found.rule.id, found.hit.where, found.hit.message])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def uri(file: str) -> str:
    """A relative reference that holds for any name: no scheme, no root, no way up."""
    parts = [part for part in file.split("/") if part not in {"", ".", ".."}]
    return "/".join(quote(part, safe="") for part in parts) or "submission"


def _sentence(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."

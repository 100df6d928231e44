"""JUnit's XML: one test case for each rule, failed where a finding of it is open."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from evaluator.reports.plain import plain
from evaluator.reports.shared import message

if TYPE_CHECKING:
    from evaluator.lint.rule import Finding, Rule
    from evaluator.lint.verdict import Verdict

_AREAS = {"1": "image", "2": "content", "3": "onnx", "4": "contract", "9": "internal"}


def junit(verdict: Verdict) -> str:
    """All rules in the order of their ids; notes and waived findings do not fail."""
    found: dict[str, list[Finding]] = {}
    for each in verdict.findings:
        found.setdefault(each.rule.id, []).append(each)
    rules = {each.rule.id: each.rule for each in verdict.findings}
    rules |= {rule.id: rule for rule in (*verdict.passed, *verdict.skipped)}
    skipped = {rule.id for rule in verdict.skipped} - found.keys()
    failed = {name for name, hits in found.items() if any(map(_fails, hits))}
    suites = ET.Element("testsuites")
    suite = ET.SubElement(
        suites,
        "testsuite",
        name="evaluator validate",
        tests=str(len(rules)),
        failures=str(len(failed)),
        errors="0",
        skipped=str(len(skipped)),
    )
    for name in sorted(rules):
        case = _case(rules[name])
        if name in failed:
            _fail(case, rules[name], [hit for hit in found[name] if _fails(hit)])
        elif name in skipped:
            ET.SubElement(case, "skipped", message="It says nothing of this submission.")
        suite.append(case)
    return ET.tostring(suites, "unicode") + "\n"


def _fails(found: Finding) -> bool:
    return found.waiver is None and found.rule.severity != "note"


def _case(rule: Rule) -> ET.Element:
    area = _AREAS.get(rule.id[3], "other")
    return ET.Element("testcase", classname=f"evaluator.{area}", name=f"{rule.id} {rule.name}")


def _fail(case: ET.Element, rule: Rule, hits: list[Finding]) -> None:
    said = "\n".join(f"{plain(hit.hit.where)}: {message(hit)}" for hit in hits)
    failure = ET.SubElement(case, "failure", type=rule.severity, message=message(hits[0]))
    failure.text = f"{said}\n\n{rule.why}\n\n{rule.fix}"

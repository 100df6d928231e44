"""Every format says the same of a verdict, each to the program that reads it."""

from __future__ import annotations

import json

import pytest
from junitparser import Failure, JUnitXml, Skipped

from evaluator.reports import FORMATS
from tests.helpers.verdicts import BAD, ERROR, GOOD, NOTE, WAIVED, WARNING, found, rule, verdict


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("given", [GOOD, BAD, WAIVED], ids=["good", "bad", "waived"])
def test_the_same_verdict_is_the_same_text(name: str, given: object) -> None:
    """A report is a pure function, and ends its last line."""
    report = FORMATS[name](given)  # type: ignore[arg-type]

    assert report == FORMATS[name](given)  # type: ignore[arg-type]
    assert report.endswith("\n")


def test_text_says_what_where_why_and_how() -> None:
    """The worst first, and one sentence at the end."""
    lines = FORMATS["text"](BAD).splitlines()

    heads = [line for line in lines if line.startswith(("error", "warning", "note"))]
    assert [line.split(":")[0] for line in heads] == ["error", "warning", "note"]
    assert [line for line in lines if "config/Env" in line][:2] == [
        "  where  config/Env/2",
        "  where  config/Env/3",
    ]
    assert "  where  docker/Dockerfile:7" in lines
    assert "    USER 10001" in lines
    assert lines[-1] == (
        "FAILED: 2 errors, 1 warning, 1 note. "
        "An official run would answer: baseline OK, tuned TIMEOUT."
    )


def test_text_foresees_what_a_run_takes() -> None:
    """Start, load and inference apart, memory and charge, for each phase."""
    table = FORMATS["text"](GOOD)

    row = next(line for line in table.splitlines() if line.strip().startswith("tuned"))
    assert row.split() == (
        "tuned TIMEOUT 0.30 s 2.00 s 500.00 ms 4000.0 s 900 MiB 12 PF".split()  # noqa: SIM905
    )


def test_json_has_a_schema_version_and_all_of_it() -> None:
    """Findings with their rules' words, what was passed, and what a run would answer."""
    document = json.loads(FORMATS["json"](BAD))

    assert document["schemaVersion"] == 1
    broken = [each["rule"] for each in document["findings"]]
    assert broken == ["EVA103", "EVA103", "EVA211", "EVA340"]
    assert document["answers"] == {"baseline": "OK", "tuned": "TIMEOUT"}
    assert (document["result"], document["passed"], document["skipped"]) == (
        "FAILED",
        ["EVA104"],
        ["EVA402"],
    )


def test_sarif_has_defects_and_their_rules() -> None:
    """Each result points at its rule, a file, a line, and a place in the submission."""
    run = json.loads(FORMATS["sarif"](BAD))["runs"][0]

    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert [result["level"] for result in run["results"]] == ["error", "error", "warning", "note"]
    dockerfile = run["results"][2]["locations"][0]["physicalLocation"]
    assert dockerfile == {
        "artifactLocation": {"uri": "docker/Dockerfile"},
        "region": {"startLine": 7},
    }


def test_sarif_tells_findings_apart_and_lines_not() -> None:
    """A fingerprint outlives an edit above it."""
    moved = verdict(found(line=3), found(line=9), found(message="another"), dockerfile="Dockerfile")
    results = json.loads(FORMATS["sarif"](moved))["runs"][0]["results"]

    prints = [result["partialFingerprints"]["ruleAndPlace/v1"] for result in results]
    assert prints[0] == prints[1] != prints[2]


def test_a_waiver_is_a_suppression() -> None:
    """Who reads the report sees that somebody answered for it."""
    (result,) = json.loads(FORMATS["sarif"](WAIVED))["runs"][0]["results"]

    assert result["suppressions"][0]["justification"] == "known; the base image is ours"
    assert FORMATS["github"](WAIVED).count("::") == 0
    assert json.loads(FORMATS["gitlab"](WAIVED)) == []


def test_junit_has_a_case_for_each_rule() -> None:
    """Failed, skipped or passed; a note fails nothing."""
    (suite,) = JUnitXml.fromstring(FORMATS["junit"](BAD).encode())
    cases = {case.name: case.result for case in suite}

    assert {name for name, said in cases.items() if any(isinstance(s, Failure) for s in said)} == {
        f"EVA103 {ERROR.name}",
        f"EVA211 {WARNING.name}",
    }
    assert isinstance(cases["EVA402 rule-of-402"][0], Skipped)
    assert cases[f"EVA340 {NOTE.name}"] == cases["EVA104 rule-of-104"] == []
    assert (suite.tests, suite.failures, suite.skipped) == (5, 2, 1)


def test_github_annotates_the_worst_and_stops_where_it_is_no_longer_shown() -> None:
    """Ten of a kind; the rest is in the step's summary."""
    many = verdict(*(found(rule(200 + n, "warning")) for n in range(14)), found())
    lines = FORMATS["github"](many).splitlines()

    assert lines[0].startswith("::error title=EVA103 rule-of-103,file=model/image.tar,line=1::")
    assert sum(line.startswith("::warning ") for line in lines) == 10
    assert lines[-1].startswith("FAILED: 1 error, 14 warnings")


def test_gitlab_has_what_its_widget_needs() -> None:
    """Description, name, fingerprint, severity and a place."""
    found_here = json.loads(FORMATS["gitlab"](BAD))

    assert [each["severity"] for each in found_here] == ["critical", "critical", "minor", "info"]
    assert found_here[2]["location"] == {"path": "docker/Dockerfile", "lines": {"begin": 7}}
    assert len({each["fingerprint"] for each in found_here}) == 4


def test_markdown_is_a_table() -> None:
    """One row for each finding, with a link to its rule."""
    rows = [line for line in FORMATS["markdown"](BAD).splitlines() if "EVA" in line]

    assert len(rows) == 4
    assert all(row.startswith("| ") and row.endswith(" |") for row in rows)

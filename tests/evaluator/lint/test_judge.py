"""What comes of all rules together: fail closed, waivers with a reason and a day, pages."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from evaluator.admission_policy import load_admission_policy
from evaluator.cli.main import cli
from evaluator.errors import OwnerError
from evaluator.lint import catalogue, judge, pages
from evaluator.lint.catalogue import NAMES, RULES
from evaluator.lint.facts import Refusal
from evaluator.lint.waivers import read_waivers
from evaluator.workspace import shipped
from tests.helpers.linted import container, image_facts, onnx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import Facts
    from evaluator.lint.rule import Hit

ROOT = Path(__file__).parents[3]
TODAY = dt.date(2026, 11, 26)
WAIVABLE = ["note", "volume-dropped", "EVA105"]
WAIVER = '[[waiver]]\nrule = "{rule}"\nreason = "known"\nexpires = {expires}\n'


def waivers(tmp_path: Path, text: str) -> Path:
    """A file of waivers."""
    path = tmp_path / ".evaluatorignore.toml"
    path.write_text(text)
    return path


def waiver(rule: str = "EVA111", expires: str = "2026-11-26") -> str:
    """The text of a waiver."""
    return WAIVER.format(rule=rule, expires=expires)


def test_a_rule_that_breaks_has_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exception is an error of its own, and the other rules are asked all the same."""

    def breaks(_facts: Facts) -> Iterator[Hit]:
        raise RecursionError("the vendor's own words")

    broken = replace(RULES["EVA111"], check=breaks)
    monkeypatch.setitem(RULES, "EVA111", broken)
    verdict = judge.judge(image_facts(volumes=("/data",)), (), "i")

    assert [found.rule.id for found in verdict.findings] == ["EVA113", "EVA901"]
    assert verdict.findings[1].hit.message == "EVA111 broke: RecursionError"
    assert verdict.result == "FAILED"
    assert not {"EVA111", "EVA901"} & {rule.id for rule in verdict.passed}


def test_every_rule_is_found_passed_or_skipped() -> None:
    """And each once."""
    for facts in (container(), onnx(), image_facts(user="app"), container(steps=(), image=None)):
        verdict = judge.judge(facts, (), "i")
        ids = [rule.id for rule in (*verdict.passed, *verdict.skipped)]
        assert sorted([*ids, *{found.rule.id for found in verdict.findings}]) == sorted(RULES)


def test_what_was_never_reached_has_not_passed() -> None:
    """An image that was refused was not run, and its layers say nothing."""
    refused = (Refusal("EVA103", "no entry point."),)
    facts = container(refusals=refused, steps=(), estimates=(), image=None)
    passed = {rule.id for rule in judge.judge(facts, (), "i").passed}

    assert not {"EVA104", "EVA210", "EVA411", "EVA420"} & passed
    assert {"EVA104", "EVA210", "EVA411"} <= {
        r.id for r in judge.judge(container(), (), "i").passed
    }


def test_a_rule_is_heard_a_few_times_and_no_more() -> None:
    """Ten thousand volumes say no more than twenty."""
    facts = image_facts(volumes=("/v",) * 10_000)

    assert len(judge.judge(facts, (), "i").findings) == 20


def test_a_waiver_covers_its_finding(tmp_path: Path) -> None:
    """By id or by name, up to and including its day."""
    facts = image_facts(user="app", volumes=("/data",))
    path = waivers(tmp_path, waiver("EVA111") + waiver("volume-dropped"))
    verdict = judge.judge(facts, read_waivers(path, WAIVABLE, TODAY), "i")

    assert [found.waiver is not None for found in verdict.findings] == [True, True]
    assert verdict.open == ()
    assert judge.judge(facts, (), "i").fails("warning")


def test_an_expired_waiver_covers_nothing_and_is_a_finding(tmp_path: Path) -> None:
    """The day after."""
    read = read_waivers(waivers(tmp_path, waiver(expires="2026-11-25")), WAIVABLE, TODAY)
    verdict = judge.judge(image_facts(user="app"), read, "i")

    assert [found.rule.id for found in verdict.open] == ["EVA111", "EVA904"]
    assert "EVA904" not in {rule.id for rule in verdict.passed}


def test_a_waiver_that_covers_nothing_is_a_finding(tmp_path: Path) -> None:
    """Else it would hide the next one."""
    read = read_waivers(waivers(tmp_path, waiver()), WAIVABLE, TODAY)

    assert [f.rule.id for f in judge.judge(container(), read, "i").findings] == ["EVA905"]
    refused = container(image=None, refusals=(Refusal("EVA103", "no entry point."),))
    assert [f.rule.id for f in judge.judge(refused, read, "i").findings] == ["EVA103"]


def test_a_refusal_is_never_waived(tmp_path: Path) -> None:
    """Whatever the owner's file says; and a waiver made by hand covers none either."""
    path = waivers(tmp_path, waiver("EVA105"))
    with pytest.raises(OwnerError, match="an official run refuses"):
        read_waivers(path, WAIVABLE, TODAY)

    (by_hand,) = read_waivers(waivers(tmp_path, waiver()), WAIVABLE, TODAY)
    facts = container(refusals=(Refusal("EVA105", "a variable."),))
    verdict = judge.judge(facts, (replace(by_hand, rule="EVA105"),), "i")
    assert "EVA105" in {found.rule.id for found in verdict.open}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (waiver("EVA413"), "not among those that the data owner"),
        (waiver("EVA999"), "names no rule"),
        (waiver() + waiver("user-ignored"), "second one of EVA111"),
        (waiver().replace("known", "  "), "reason"),
        (waiver().replace("2026-11-26", '"2026-11-26"'), "expires"),
        (waiver().replace("2026-11-26", "2026-11-26T00:00:00"), "expires"),
        (waiver().replace("reason", "because"), "reason"),
        ("waiver = 5", "waiver"),
        ("[[waiver", "not TOML"),
        ('x = "\\u001b[2J"', "and nothing else"),
    ],
)
def test_a_waiver_is_read_strictly(tmp_path: Path, text: str, says: str) -> None:
    """What is wrong, and no word of the file."""
    with pytest.raises(OwnerError, match=says) as error:
        read_waivers(waivers(tmp_path, text), WAIVABLE, TODAY)

    assert "\x1b" not in str(error.value)


def test_a_file_that_is_not_there_or_too_large_is_said(tmp_path: Path) -> None:
    """Both are the vendor's to mend."""
    with pytest.raises(OwnerError, match="cannot be read"):
        read_waivers(tmp_path / "none", WAIVABLE, TODAY)
    with pytest.raises(OwnerError, match="more than"):
        read_waivers(waivers(tmp_path, "#" * 2**19), WAIVABLE, TODAY)


def test_the_owner_says_what_may_be_waived(tmp_path: Path) -> None:
    """The policy that comes with this program; one from before there were waivers allows none."""
    text = (shipped("policies") / "admission.toml").read_text()
    old = tmp_path / "admission.toml"
    old.write_text(text.partition("[waivers]")[0])
    allowed = load_admission_policy(shipped("policies") / "admission.toml").waivers.allowed

    assert load_admission_policy(old).waivers.allowed == []
    assert set(allowed) <= {"note", "warning", *RULES, *NAMES}
    assert read_waivers(waivers(tmp_path, waiver()), allowed, TODAY)
    with pytest.raises(OwnerError, match="data owner"):
        read_waivers(waivers(tmp_path, waiver()), [], TODAY)


def test_pages_are_those_of_the_rules() -> None:
    """`python -m evaluator.lint.pages` writes them."""
    folder = ROOT / "docs" / "rules"

    assert {path.name: path.read_text() for path in folder.iterdir()} == pages.pages()


def test_old_pages_are_removed(tmp_path: Path) -> None:
    """And nothing else."""
    (tmp_path / "EVA000.md").touch()
    (tmp_path / "keep.txt").touch()
    pages.main(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {*pages.pages(), "keep.txt"}


def test_a_rule_is_explained() -> None:
    """By id or name, for people and for programs."""
    by_name = CliRunner().invoke(cli, ["rule", "unpinned-base"])
    by_id = json.loads(CliRunner().invoke(cli, ["rule", "eva110", "--json"]).stdout)
    every = json.loads(CliRunner().invoke(cli, ["rule", "--all", "--json"]).stdout)

    assert by_name.stdout.startswith("# EVA110 unpinned-base\n")
    assert by_id["url"] == catalogue.url(RULES["EVA110"])
    assert [each["id"] for each in every["rules"]] == list(RULES)
    assert len(CliRunner().invoke(cli, ["rule", "--all"]).stdout.splitlines()) == len(RULES)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (["unpined-base"], "Did you mean unpinned-base?"),
        (["eva1100"], "Did you mean EVA110?"),
        (["\x1b[2J"], "There is no such rule."),
        ([], "Name one rule"),
        (["EVA101", "--all"], "Name one rule"),
    ],
)
def test_another_name_is_a_usage_error(said: list[str], answer: str) -> None:
    """With what to do next."""
    ended = CliRunner().invoke(cli, ["rule", *said])

    assert ended.exit_code == 2
    assert answer in ended.stderr

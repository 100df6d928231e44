"""A vendor's words stay words in every format, whatever they are."""

from __future__ import annotations

import importlib
import json
import re
import unicodedata
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from evaluator.reports import FORMATS
from evaluator.reports.plain import plain as harmless
from evaluator.reports.plain import plain_lines
from tests.helpers.verdicts import ERROR, WAIVER, WARNING, found, verdict

if TYPE_CHECKING:
    import pytest

    from evaluator.lint.verdict import Verdict

HOSTILE = (
    "\n::error title=x,file=y::planted",
    "\r\n::set-output name=verdict::PASSED",
    "::add-mask::a",
    "]]></failure></testcase><testcase name='planted'/>",
    "</testsuite><testsuite>",
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe\u202c \u2066x\u2069 \u200bzero",
    "${{ github.token }} $(id) `id`",
    "| a | b |\n| planted | row | x | y |",
    "<script>alert(1)</script><img src=x onerror=y>",
    "[link](https://example.org) @everyone #1 ![x](y)",
    "\x00nul\ud800lone",
    "\u2028separator\u2029",
    "%0A::error::%25",
    "a" * 5000,
    "\"quotes\", 'more', commas: colons",
    "../../etc/passwd",
    "https://example.org/x",
)
WORDS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=80))


def spoken(word: str) -> Verdict:
    """The same word everywhere that a vendor's can be."""
    return verdict(
        found(message=word, where=word),
        found(WARNING, word, "Dockerfile", 3, waiver=None),
        found(WARNING, word, word, waiver=WAIVER),
        name=word or "x",
        dockerfile=word or "y",
    )


def unprintable(report: str) -> set[str]:
    """Characters that no report may hold: line feeds are its own."""
    kinds = {char: unicodedata.category(char) for char in set(report) - {"\n"}}
    return {char for char, kind in kinds.items() if kind[0] == "C" or kind in {"Zl", "Zp"}}


@given(WORDS, st.sampled_from(sorted(FORMATS)))
def test_no_report_moves_a_cursor_or_turns_a_line(word: str, name: str) -> None:
    """Nor ends a line where it does not itself, or fails to be written as UTF-8."""
    report = FORMATS[name](spoken(word))

    assert unprintable(report) == set()
    assert report.encode().decode() == report


@given(WORDS)
def test_no_command_of_a_build_is_added(word: str) -> None:
    """Two findings are open, so two commands are given, and one sentence."""
    lines = FORMATS["github"](spoken(word)).splitlines()

    assert [bool(re.match(r"::(error|warning) title=EVA", line)) for line in lines] == [
        True,
        True,
        False,
    ]
    assert not lines[2].startswith("::")
    properties = lines[0].split("::")[1]
    assert properties.count(",") == 2
    assert properties.count("=") - word.count("=") <= 3 or len(word) > 80


@given(WORDS)
def test_no_test_case_is_added(word: str) -> None:
    """The XML parses, and has the cases of four rules."""
    root = ET.fromstring(FORMATS["junit"](spoken(word)))  # noqa: S314 - the point of the test

    assert len(root.findall(".//testcase")) == 4
    assert len(root.findall(".//failure")) == 2


@given(WORDS)
def test_no_row_is_added(word: str) -> None:
    """Each row of the findings has four cells, and no sign of Markdown's from the word."""
    report = FORMATS["markdown"](spoken(word))
    rows = [line for line in report.splitlines() if "[EVA" in line]

    assert len(rows) == 3
    assert {row.count("|") for row in rows} == {5}
    assert "<" not in re.sub("</?code>", "", report)
    assert report.count("<code>") == report.count("</code>") == 7


@given(WORDS)
def test_json_formats_say_the_word_and_nothing_else(word: str) -> None:
    """They parse, and have as many findings as there are."""
    assert len(json.loads(FORMATS["json"](spoken(word)))["findings"]) == 3
    run = json.loads(FORMATS["sarif"](spoken(word)))["runs"][0]
    assert len(run["results"]) == 3
    assert len(json.loads(FORMATS["gitlab"](spoken(word)))) == 2


@given(WORDS)
def test_a_path_stays_within_the_project(word: str) -> None:
    """A code scanner opens no other file, and no address."""
    run = json.loads(FORMATS["sarif"](spoken(word)))["runs"][0]
    for result in run["results"]:
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[A-Za-z0-9%._~/-]+", uri)
        assert not uri.startswith("/")
        assert ".." not in uri.split("/")


@given(st.text())
def test_a_log_stays_its_lines(text: str) -> None:
    """As many as there were, each of them harmless."""
    lines = plain_lines(text)

    assert len(lines) == text.count("\n") + 1
    assert unprintable("".join(lines)) == set()


def test_ordinary_words_are_not_touched() -> None:
    """Letters of any language, signs, accents."""
    word = "Größe: 3 µm, 小麦, naïve — 100 %"
    assert harmless(word) == word
    assert harmless("a" * 500) == "a" * 396 + " ..."


def test_unescaped_words_would_do_all_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with the escaping off, the same words add commands, rows and colours."""
    shared, markdown, github = (
        importlib.import_module(f"evaluator.reports.{name}")
        for name in ("shared", "markdown", "github")
    )
    for module in (shared, markdown):
        monkeypatch.setattr(module, "plain", lambda text: text)
    monkeypatch.setattr(github, "_escaped", lambda text: text)
    monkeypatch.setattr(markdown, "harmless", lambda text: text)

    planted = FORMATS["github"](verdict(found(ERROR, HOSTILE[0]))).splitlines()
    assert any(line.startswith("::error title=x") for line in planted)
    table = FORMATS["markdown"](verdict(found(ERROR, HOSTILE[8]))).splitlines()
    assert any(line.startswith("| planted") for line in table)
    assert "\x1b" in FORMATS["github"](verdict(found(ERROR, HOSTILE[5])))

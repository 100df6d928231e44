"""No report that is printed in a build makes the machine do anything but annotate."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.reports import FORMATS
from evaluator.reports.plain import plain as harmless
from tests.helpers.builds import obeyed
from tests.helpers.verdicts import ERROR, WAIVER, WARNING, found, verdict

COMMANDS = (
    "::error::planted",
    "a long word " * 7 + "::add-mask::planted",
    "\n::set-env name=x::planted",
    "\u00a0::error::planted",
    "##[add-path]/tmp/planted",
    "words and ##[error]planted",
    "##vso[task.setvariable variable=x]planted",
    "###[error]planted",
    "::stop-commands::planted",
)
WORDS = st.lists(st.sampled_from((*COMMANDS, " ", "-", "a", ":", "#", "[", "\t")), max_size=8)


@given(WORDS.map("".join), st.sampled_from(sorted(FORMATS)))
def test_a_log_with_a_report_gives_no_other_command(word: str, name: str) -> None:
    """Each report is printed: lines are wrapped and indented as they are."""
    spoken = verdict(
        found(message=word, where=word),
        found(WARNING, word, "Dockerfile", 3, waiver=WAIVER),
        name=word or "x",
        dockerfile=word or "y",
    )
    lines = FORMATS[name](spoken).splitlines()

    assert [command for command, _ in obeyed(lines)] == (["error"] if name == "github" else [])
    assert not any("##vso[" in line for line in lines)


@pytest.mark.parametrize("word", [*COMMANDS[1:3], *COMMANDS[4:6]])
def test_words_as_they_are_would(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same machine, and a report that escapes nothing."""
    for name in ("shared", "text"):
        module = sys.modules[f"evaluator.reports.{name}"]
        monkeypatch.setattr(module, "plain", lambda words, _most=0: words)
    spoken = verdict(found(ERROR, word, where=word), name="x")

    assert [*obeyed(FORMATS["text"](spoken).splitlines())]


def test_names_of_programs_stay_readable() -> None:
    """Two colons within a word, and headings, are no commands."""
    for word in ("torch::jit::load failed", "## Heading", "a#b[0]", "C: ::"[:2], "1::2"):
        assert harmless(word) == word
    assert harmless("::x") == "\\u{3a}:x"


def test_a_screen_and_a_summary_have_an_end() -> None:
    """A rule can be broken in a thousand places: programs read them all, people the first."""
    many = verdict(*(found(where=f"config/Env/{n}", message="m" * 400) for n in range(1000)))

    assert FORMATS["text"](many).count("  where  ") == 10
    assert "and 990 places more" in FORMATS["text"](many)
    assert len(FORMATS["markdown"](many).encode()) < 2**20
    assert "and 900 findings more" in FORMATS["markdown"](many)

"""docs/attacks.md is the corpus, and nothing else."""

from __future__ import annotations

from pathlib import Path

from evaluator.attacks.corpus import corpus
from evaluator.attacks.document import TITLES, WORDS, document

PAGE = Path(__file__).parents[3] / "docs" / "attacks.md"


def test_the_page_is_up_to_date() -> None:
    """`python -m evaluator.attacks.document > docs/attacks.md` makes it so."""
    assert PAGE.read_text() == document()


def test_every_row_stands_in_the_page_once() -> None:
    """In the table of its category, whose title is known."""
    tables = document().partition("## What was not shown")[0].splitlines()
    for row in corpus():
        assert row.category in TITLES
        assert sum(line.startswith(f"| `{row.id}` |") for line in tables) == 1


def test_the_page_says_how_each_try_ends() -> None:
    """All three ways of a row, in words, under both runtimes."""
    line = next(line for line in document().splitlines() if line.startswith("| `out-fifo` |"))
    _, _, _, runc, gvisor, _ = line.split(" | ")
    assert runc == f"{WORDS['blocked']} / {WORDS['blocked']} / {WORDS['succeeds']}"
    assert gvisor == f"{WORDS['blocked']} / {WORDS['-']} / {WORDS['absent']}"

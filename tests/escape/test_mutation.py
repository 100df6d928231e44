"""A line missing from the wall lets a technique through, or it is known why none can show it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mutation import UNOBSERVED, killers, paths, sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.attacks.probing import Bench

pytestmark = pytest.mark.docker

PAGE = Path(__file__).parents[2] / "docs" / "mutations.md"


@pytest.fixture(scope="module")
def bench(make_bench: Callable[[str], Bench]) -> Bench:
    """A bench under runc: gVisor's own kernel hides what many lines do."""
    return make_bench("runc")


def test_without_any_one_line_of_the_wall_something_gets_through(bench: Bench) -> None:
    """A probe gets through in the middle configuration; the lines that none can show are listed."""
    lines = set(paths(sample(bench)))
    survivors = [path for path in sorted(lines - UNOBSERVED.keys()) if not killers(path, bench)]
    assert survivors == []
    assert lines >= UNOBSERVED.keys()


def test_the_page_of_mutants_names_every_line(bench: Bench) -> None:
    """A line that is new in the wall needs a row: run tests/escape/mutation.py again."""
    named = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert named == list(paths(sample(bench)))

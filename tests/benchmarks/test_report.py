"""The page that is made of what was measured: every verdict, honestly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.measure import Bench, Comparison, Sample, Target
from benchmarks.parts import PARTS, read_results
from benchmarks.plots import draw
from benchmarks.report import PAGE, PLOTS, RUNTIMES, main, page
from benchmarks.verdicts import seconds, times, verdicts

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results.json"
RUN = {
    "began": "2026-11-26 15:00 UTC",
    "seconds": 12,
    "commit": "0123456789ab",
    "rounds": 3,
    "smoke": False,
    "runtimes": ["runc", "runsc"],
    "tiles": True,
    "load": [0.5, 1.9],
    "busy": [0.01, 0.02],
}
MACHINE = {"Processor": "Some, 2 CPUs", "Memory": "24.0 GiB"}


def bench() -> Bench:
    """One finding of each kind: evaluator takes 1.2, 1.0, 1.1 times what bare does."""
    made = Bench(Path("unused"), rounds=3)
    turn = iter([9.0, 1.2, 1.0, 1.1])
    ways = {"evaluator": lambda: Sample(next(turn), 0.5, 10**8), "bare": lambda: Sample(1.0)}
    targets = [
        Target("evaluator", "bare", 1.2),
        Target("evaluator", "bare", 1.05),
        Target("evaluator", "bare", 1.0, 0.15),
        Target("evaluator", "bare", 0.0, 0.9),
    ]
    made.compare(Comparison("run", "A | run", ways, "bare", targets))
    made.breakdown("stages", "Its stages", {"start": [0.1, 0.3], "predict": [0.6, 0.6]})
    made.curve("tiles", "More tiles", "tiles", "s", {10: {"import": 1}, 1000: {"import": 100}})
    made.limit("Memory of it", 98.25, 120, "MB")
    made.table("sizes", "Sizes", ["Image", "MB", "small"], [["runner", 137.25, True]])
    return made


def results(*names: str, **changed: object) -> dict[str, Any]:
    """What these parts found, the same each."""
    found = bench().found
    run = RUN | changed
    return {name: {"run": run, "machine": MACHINE, "found": found} for name in names}


def test_every_target_has_its_verdict() -> None:
    """A ratio, a tighter one, seconds more, seconds in all, and a limit; medians decide."""
    found = [(each.measured, each.allowed, each.reached) for each in verdicts(bench().found)]

    assert found == [
        ("1.100", "1.2", True),
        ("1.100", "1.05", False),
        ("1.10 s", "1.15 s: 1.00 s and 150 ms more", True),
        ("1.10 s", "900 ms", False),
        ("98.25 MB", "120 MB", True),
    ]
    text = page(results("commands"))
    assert "3 of 5 are reached." in text
    assert text.count("**NOT reached**") == 2 * 2  # in the summary and below its table


def test_a_comparison_has_medians_spread_and_ratios() -> None:
    """Both the ratio of the medians and those within the rounds."""
    text = page(results("commands"))

    assert "| evaluator | 1.10 s | 1.00 s to 1.20 s | 500 ms | 100 MB | 1.100 |" in text
    assert "| 1.100 (1.000 to 1.200) |" in text
    assert r"### A | run" in text
    assert r"| A \| run: evaluator against bare |" in text


def test_stages_curves_and_tables_are_shown() -> None:
    """Shares of the whole, the power of growth, plain figures."""
    text = page(results("scale"))

    assert "| start | 200 ms | 100 ms to 300 ms | 25.0 % |" in text
    assert "between the last two points (1 is in proportion, 0 not at all): import 1.00." in text
    assert "| runner | 137.2 | yes |" in text


def test_what_was_not_measured_is_said() -> None:
    """A part that is missing, a runtime that was not there, other work, and a smoke run."""
    text = page(results("scoring", smoke=True, runtimes=["runc"], busy=[0.4, 0.0]))

    assert "**From a smoke run" in text
    assert re.search(r"\*\*Not measured:\*\* The command line, .*Sizes of the images", text)
    assert "**Not measured:** anything under runsc" in text
    assert "**Not on a quiet machine:** other work took more than 10%" in text
    assert "just before or after Scoring." in text
    complete = page(results(*PARTS))
    assert "**Not measured" not in complete
    assert "**Not on a quiet" not in complete


def test_each_part_says_what_it_is_and_when_it_was() -> None:
    """In the words of its module; where two machines were used, on which of them."""
    both = results("scoring", "scale")
    both["scale"]["machine"] = MACHINE | {"Memory": "8.0 GiB"}
    text = page(both)

    assert "against scikit-learn" in text
    assert "Measured 2026-11-26 15:00 UTC on machine A, commit 0123456789ab, 3 rounds" in text
    assert text.count("## Machine A") == text.count("## Machine B") == 1
    assert "## The machine" in page(results("scoring"))


def test_two_columns_of_a_docstring_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words and what they mean, over several lines; other paragraphs are as they are."""
    words = "Ways to go.\n\nbare        no wall,\n            fast\ndocker run  by hand"
    monkeypatch.setattr(report, "about", lambda _name: words)

    text = page(results("scoring"))

    assert "\n\nWays to go.\n\n" in text
    assert "\n\n- **bare**: no wall,\n  fast\n- **docker run**: by hand\n\n" in text


def test_every_plot_of_the_page_is_drawn_and_no_other_is_kept(tmp_path: Path) -> None:
    """Old ones are removed, and the same results give the same bytes."""
    (tmp_path / "old.svg").write_text("<svg/>")
    draw(results("commands", "image_sizes"), tmp_path)

    shown = re.findall(rf"!\[.*\]\({PLOTS}/([^)]+)\)", page(results("commands", "image_sizes")))
    assert {path.name for path in tmp_path.iterdir()} == {*shown}
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    draw(results("commands", "image_sizes"), tmp_path)
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1234.5, "1,234 s"),
        (16.04, "16.0 s"),
        (0.9, "900 ms"),
        (0.0123, "12.3 ms"),
        (42e-6, "42.0 µs"),
        (1e-7, "0.10 µs"),
    ],
)
def test_times_have_three_digits(value: float, words: str) -> None:
    """In a unit that suits them."""
    assert seconds(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.0312, "1.031"), (0.5, "0.500 (2 times as fast)"), (0.0123, "0.012 (81.3 times as fast)")],
)
def test_small_ratios_are_said_both_ways(value: float, words: str) -> None:
    """A ratio of a half is twice as fast."""
    assert times(value) == words


def test_the_page_is_what_the_results_say(tmp_path: Path) -> None:
    """docs/benchmarks.md was made of the results beside the parts, and so were its plots."""
    measured = read_results(RESULTS)
    assert not any(part["run"]["smoke"] for part in measured.values())
    assert {*RUNTIMES} >= {name for part in measured.values() for name in part["run"]["runtimes"]}

    main(["--results", str(RESULTS), "--docs", str(tmp_path)])

    assert (ROOT / "docs" / PAGE).read_text() == (tmp_path / PAGE).read_text()
    made = {path.name for path in (tmp_path / PLOTS).iterdir()}
    assert {path.name for path in (ROOT / "docs" / PLOTS).iterdir()} == made

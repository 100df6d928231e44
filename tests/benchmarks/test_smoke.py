"""Every part of the benchmarks runs, and the report can be made of it; no time is asserted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.parts import PARTS, read_results
from benchmarks.report import PAGE, PLOTS, main

ROOT = Path(__file__).parents[2]
ALONE = {"startup", "loop", "importing", "scoring", "scale"}
"""Parts that need no engine."""


@pytest.mark.parametrize(
    "part",
    [pytest.param(part, marks=[] if part in ALONE else [pytest.mark.docker]) for part in PARTS],
)
def test_a_part_runs_and_is_reported(part: str, tmp_path: Path) -> None:
    """With the smallest inputs and one round, by the command; nothing is left of it."""
    results, work, docs = (tmp_path / name for name in ("results.json", "work", "docs"))
    work.mkdir()
    docs.mkdir()
    where = ["--work", str(work), "--results", str(results)]
    given = ["--smoke", "--runtimes", "runc", "--only", part, *where]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    assert not [*work.iterdir()]
    # The loop with torch is nowhere but on the machine that measures it.
    assert read_results(results)[part]["found"] or "left out" in done.stderr
    main(["--results", str(results), "--docs", str(docs)])
    page = (docs / PAGE).read_text()
    assert f"## {PARTS[part]}\n" in page
    for plot in re.findall(rf"!\[.*\]\({PLOTS}/([^)]+)\)", page):
        assert (docs / PLOTS / plot).stat().st_size < 200_000

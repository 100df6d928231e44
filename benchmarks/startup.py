"""The command line before it does anything: `evaluator --version` and `--help`, and imports.

"python" is an interpreter that ends at once, "click" one that imports the library which reads the
command line: no program written with it can start faster. The targets are seconds, not ratios. All
modules have their bytecode, as an installed package has.

Below, what one `evaluator run` imports and how long that takes, for each module the least of all
rounds. It is a part of what a run adds; `python -X importtime`, which tells, makes it longer.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measure import Comparison, command, median
from benchmarks.workspace import (
    SMALL,
    empty_model,
    evaluator,
    python,
    run_line,
    runtimes,
    settled,
    warm_workspaces,
)

if TYPE_CHECKING:
    from benchmarks.measure import Bench

MOST = 0.15  # seconds
_LINE = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", re.MULTILINE)
# By the first words of modules' names; what is not here is Python's own.
_LIBRARIES = {
    "click": "click",
    "cryptography": "cryptography",
    "docker and requests": "docker requests urllib3 charset_normalizer idna",
    "evaluator and sandbox": "evaluator sandbox",
    "numpy": "numpy",
    "Pillow and tifffile": "PIL tifffile",
    "pydantic": "pydantic pydantic_core annotated_types typing_inspection typing_extensions",
    "rfc8785": "rfc8785",
    "rich": "rich",
    "securesystemslib": "securesystemslib pkcs11 asn1crypto",
    "zstandard": "zstandard",
}
_LIBRARY_OF = {name: library for library, names in _LIBRARIES.items() for name in names.split()}


def measure(bench: Bench) -> None:
    """Start it, and look at what a run imports where there is an engine."""
    _starts(bench)
    names = runtimes(bench)
    if names:
        farm = warm_workspaces(bench, SMALL, names[:1])[names[0]]
        _imports(bench, run_line(empty_model(bench.work), farm))


def _starts(bench: Bench) -> None:
    """Four processes in turn, and two of them against their limit."""
    lines = {
        "python": python("-c", "pass"),
        "click": python("-c", "import click"),
        "evaluator --version": evaluator("--version"),
        "evaluator --help": evaluator("--help"),
        "evaluator run --help": evaluator("run", "--help"),
    }
    rounds = max(20, bench.rounds)  # they are short
    ways = {name: partial(command, line, settled(bench)) for name, line in lines.items()}
    bench.compare(Comparison("startup", "Starting the command line", ways, "click"), rounds)
    taken = bench.found[-1]["ways"]
    for way in ("evaluator --version", "evaluator --help"):
        bench.limit(f"`{way}`", median(taken[way]), MOST, "s")


def _imports(bench: Bench, run: list[str]) -> None:
    """The modules of one run, by library."""
    least: dict[str, int] = {}
    for _ in range(1 if bench.smoke else bench.rounds):
        for module, took in _imported(bench, run).items():
            least[module] = min(took, least.get(module, took))
    sums: dict[str, list[int]] = {}
    for module, took in least.items():
        library = _LIBRARY_OF.get(module.partition(".")[0], "Python's own")
        sums.setdefault(library, []).append(took)
    rows = [(library, len(took), f"{sum(took) / 1000:.1f}") for library, took in sums.items()]
    rows.sort(key=lambda row: -float(row[2]))
    rows.append(("all", len(least), f"{sum(least.values()) / 1000:.1f}"))
    title = "What one `evaluator run` imports"
    bench.table("startup-imports", title, ["library", "modules", "ms"], rows)


def _imported(bench: Bench, run: list[str]) -> dict[str, int]:
    """{module: microseconds of its own} of one run."""
    line = [sys.executable, "-X", "importtime", *run[1:]]
    environment = {**os.environ, **settled(bench)}
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    return {name: int(took) for took, name in _LINE.findall(ended.stderr)}

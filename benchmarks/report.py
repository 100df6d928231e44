"""Write docs/benchmarks.md and its plots from what was measured.

python -m benchmarks.report [--results FILE] [--docs DIR]
"""

from __future__ import annotations

import argparse
import re
import sys
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import median
from benchmarks.parts import PARTS, about, read_results
from benchmarks.plots import TARGETS, draw, file_of
from benchmarks.verdicts import (
    middle,
    pairs,
    ratio,
    ratio_of,
    seconds,
    spread,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.parts import Results
    from benchmarks.verdicts import Found

ROOT = Path(__file__).parents[1]
PAGE = "benchmarks.md"
PLOTS = "benchmarks"
RUNTIMES = ("runc", "runsc")
WORD = re.compile(r"(\S+(?: \S+)*) {2,}(?=\S)")  # and what it means, in a second column
QUIET = 0.1  # of all CPUs that other work may take

HEAD = """\
# Benchmarks

What the evaluator costs, beside what one would do instead, measured in the same run.

`python -m benchmarks --tiles TAR --python PYTHON` measures, and `python -m benchmarks.report` makes
this page of `benchmarks/results.json`, words and verdicts included; nobody edits it. The ways to
do a job are taken in turn (A B C A B C), so that a busy minute hits each alike, after one turn that
does not count. Read the ratios: times hang on the machine, ratios much less. A ratio below 1 is
faster than what it is compared with.
"""

HOW = """\
Each table has the median, the least and the most of all rounds; the CPU seconds and the peak
of memory are of the process and its children, so what passes inside containers is not in them. The
ratio is that of the medians, and it is what targets are held to; beside it stands the median of the
ratios within each round, and their least and most. Points in the plots are those medians, lines
reach from the least to the most.
"""


def page(results: Results) -> str:
    """Return the whole page."""
    parts = [name for name in PARTS if name in results]
    machines = list(dict.fromkeys(_machine(results[name]) for name in parts))
    sections = [HEAD, *_warnings(results, parts), *_summary(results, parts)]
    for at, machine in enumerate(machines):
        heading = "## The machine" if len(machines) == 1 else f"## Machine {_letter(at)}"
        sections += [heading, _table(["", ""], machine)]
    sections += ["## How to read the rest", HOW]
    for name in parts:
        where = machines.index(_machine(results[name])) if len(machines) > 1 else None
        sections += _part(name, results[name], where)
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


def _machine(part: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(part["machine"].items())


def _letter(at: int) -> str:
    return chr(ord("A") + at)


def _warnings(results: Results, parts: Sequence[str]) -> Iterator[str]:
    """What is missing from these results, so that nobody takes it for measured."""
    if any(results[name]["run"]["smoke"] for name in parts):
        yield "**From a smoke run: tiny inputs, one round. It shows that the code runs, no more.**"
    if missing := [heading for name, heading in PARTS.items() if name not in results]:
        yield f"**Not measured:** {', '.join(missing)}."
    for runtime in RUNTIMES:
        if parts and not any(runtime in results[name]["run"]["runtimes"] for name in parts):
            yield f"**Not measured:** anything under {runtime}, which this engine did not have."
    loud = [PARTS[name] for name in parts if max(results[name]["run"]["busy"]) > QUIET]
    if loud:
        yield (
            "**Not on a quiet machine:** other work took more than "
            f"{QUIET:.0%} of the CPUs just before or after {', '.join(loud)}."
        )


def _summary(results: Results, parts: Sequence[str]) -> list[str]:
    """Every target, and whether it is reached."""
    rows = [
        (PARTS[name], verdict.title, verdict.measured, verdict.allowed, verdict.word)
        for name in parts
        for verdict in verdicts(results[name]["found"])
    ]
    if not rows:
        return []
    reached = sum(row[-1] == "reached" for row in rows)
    return [
        "## Targets",
        f"{reached} of {len(rows)} are reached.",
        _table(["", "What", "Measured", "At most", ""], rows),
        f"![How much of what is allowed each target uses]({PLOTS}/{TARGETS})",
    ]


def _part(name: str, part: dict[str, Any], machine: int | None) -> Iterator[str]:
    """One part: what is compared and why, when it was, its plots and tables."""
    yield f"## {PARTS[name]}"
    yield from map(_paragraph, about(name).split("\n\n"))
    yield _when(part["run"], machine)
    found: list[Found] = part["found"]
    for kind, alt in (("comparison", "Ratios of each way"), ("breakdown", "Seconds by stage")):
        if any(each["kind"] == kind for each in found):
            yield f"![{alt}]({PLOTS}/{file_of(name, kind)})"
    for each in found:
        if each["kind"] in SECTIONS:
            yield f"### {each['title']}"
            yield from SECTIONS[each["kind"]](name, each)


def _paragraph(text: str) -> str:
    """A paragraph of a docstring; one that says in two columns what words mean is a list."""
    if not WORD.match(text):
        return text
    lines = [WORD.sub(r"- **\1**: ", line) for line in text.splitlines()]
    return "\n".join(line if line.startswith("- ") else f"  {line.strip()}" for line in lines)


def _when(run: dict[str, Any], machine: int | None) -> str:
    where = "" if machine is None else f" on machine {_letter(machine)}"
    rounds = "1 round" if run["rounds"] == 1 else f"{run['rounds']} rounds"
    before, after = (f"{share:.0%}" for share in run["busy"])
    return (
        f"Measured {run['began']}{where}, commit {run['commit']}, {rounds}, in {run['seconds']} s. "
        f"Other work took {before} of the CPUs just before and {after} just after; load average "
        f"{run['load'][0]} and {run['load'][1]}, which is of our own work too."
    )


def _comparison(_part: str, each: Found) -> Iterator[str]:
    """A row for each way, and a sentence for each target."""
    against, ways = each["against"], each["ways"]
    head = ["", f"Median of {len(ways[against])}", "Least to most"]
    extra = [(key, label) for key, label in EXTRA if any(median(ways[w], key) for w in ways)]
    head += [*(label for _, label in extra), f"Ratio to {against}", "Within rounds"]
    rows = []
    for way, samples in ways.items():
        taken = [sample["seconds"] for sample in samples]
        ratios = pairs(each, way, against)
        more = [SHOWN[key](median(samples, key)) for key, _ in extra]
        same = way == against
        rows.append(
            [
                way,
                seconds(middle(taken)),
                f"{seconds(min(taken))} to {seconds(max(taken))}",
                *more,
                "1" if same else ratio(ratio_of(each, way, against)),
                "" if same else f"{ratio(middle(ratios))} ({spread(ratios)})",
            ]
        )
    yield _table(head, rows)
    aims = [f"- {v.ways}: {v.measured}, at most {v.allowed}: {v.word}." for v in verdicts([each])]
    if aims:
        yield "\n".join(aims)


def _breakdown(_part: str, each: Found) -> Iterator[str]:
    stages = each["stages"]
    whole = sum(middle(taken) for taken in stages.values())
    rows = [
        (
            stage,
            seconds(middle(taken)),
            f"{seconds(min(taken))} to {seconds(max(taken))}",
            f"{100 * middle(taken) / whole:.1f} %",
        )
        for stage, taken in stages.items()
    ]
    head = ["Stage", "Median", "Least to most", "Share"]
    yield _table(head, [*rows, ("Sum of the medians", seconds(whole), "", "")])


def _curve(part: str, each: Found) -> Iterator[str]:
    """The plot, the points, and how steep the end of each line is."""
    points = each["points"]
    lines = list(dict.fromkeys(line for point in points for line in point["values"]))
    yield f"![{each['title']}]({PLOTS}/{file_of(part, 'curve', each['name'])})"
    rows = [[point["x"], *(point["values"].get(line, "") for line in lines)] for point in points]
    yield f"In {each['y']}, by {each['x']}:"
    yield _table([each["x"], *lines], rows)
    ends = [f"{line} {steep:.2f}" for line in lines if (steep := _steepness(points, line))]
    if ends:
        yield (
            "Grows with this power between the last two points (1 is in proportion, 0 not at all): "
            f"{', '.join(ends)}."
        )


def _steepness(points: Sequence[Found], line: str) -> float | None:
    known = [(p["x"], p["values"][line]) for p in points if p["values"].get(line, 0) > 0]
    if len(known) < 2:
        return None
    (x, y), (next_x, next_y) = known[-2:]
    return log(next_y / y) / log(next_x / x)


def _rows(_part: str, each: Found) -> Iterator[str]:
    yield _table(each["head"], each["rows"])


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table: a column of nothing but figures is set to the right."""
    cells = [[_cell(value) for value in row] for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    columns = [column[1:] for column in zip(*cells, strict=True)]
    figures = [all(re.match(r"[-\d]|$", cell) for cell in column) for column in columns]
    marks = " | ".join("---:" if right else "---" for right in figures)
    return "\n".join([lines[0], f"| {marks} |", *lines[1:]])


def _cell(value: object) -> str:
    """What a table shows of a value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int | float):
        return f"{value:,.0f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


SECTIONS = {
    "comparison": _comparison,
    "breakdown": _breakdown,
    "curve": _curve,
    "table": _rows,
}
EXTRA = (("cpu", "CPU"), ("peak", "Memory"))
SHOWN: dict[str, Callable[[float], str]] = {
    "cpu": seconds,
    "peak": lambda value: f"{value / 1e6:,.0f} MB",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    default = ROOT / "benchmarks" / "results.json"
    parser.add_argument("--results", type=Path, default=default, metavar="FILE")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", metavar="DIR")
    given = parser.parse_args(arguments)
    results = read_results(given.results)
    (given.docs / PAGE).write_text(page(results))
    draw(results, given.docs / PLOTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Plots of what was measured, as SVG: small, sharp at any size, and shown by every forge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.verdicts import middle, pairs, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.parts import Results
    from benchmarks.verdicts import Found

OURS, OTHERS, MISSED, LINE = "#1f5fa8", "#767676", "#c0392b", "#d0d0d0"
SHADES = mpl.colormaps["tab20"].colors  # type: ignore[attr-defined]
WIDE = 9.0  # inches
LOG = 4.0  # as wide a range gets a logarithmic axis
SEEN = 0.015  # of the longest bar
TARGETS = "targets.svg"


def style() -> AbstractContextManager[None]:
    """Return the context in which every plot is drawn."""
    return mpl.rc_context(
        {
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "font.size": 10,
            "grid.color": LINE,
            "grid.linewidth": 0.7,
            "legend.frameon": False,
            "svg.fonttype": "none",
            "svg.hashsalt": "benchmarks",
            "text.parse_math": False,
        }
    )


def draw(results: Results, folder: Path) -> None:
    """Draw everything into `folder`, and remove plots there that are of nothing any more."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = dict(plots(results))
    for old in folder.glob("*.svg"):
        if old.name not in drawn:
            old.unlink()
    for name, figure in drawn.items():
        with style():
            figure.savefig(folder / name, metadata={"Date": None, "Creator": None})


def plots(results: Results) -> Iterator[tuple[str, Figure]]:
    """Yield the plots by the names of their files."""
    with style():
        if any(True for part in results.values() for _ in verdicts(part["found"])):
            yield TARGETS, _targets(results)
        for name, part in results.items():
            for kind, plot in (("comparison", _ratios), ("breakdown", _stages)):
                if found := [each for each in part["found"] if each["kind"] == kind]:
                    yield file_of(name, kind), plot(found)
            for each in part["found"]:
                if each["kind"] == "curve":
                    yield file_of(name, "curve", each["name"]), _curve(each)


def file_of(part: str, kind: str, name: str = "") -> str:
    """Return the name of the file of a plot: one for a part's comparisons, one for its stages."""
    words = {"comparison": "ratios", "breakdown": "stages", "curve": name}
    return f"{part}-{words[kind]}.svg".replace("_", "-")


def _rows(labels: Sequence[str], *, least: int = 2) -> tuple[Figure, Axes]:
    """A figure with a row for each label, the first one on top."""
    figure = Figure(figsize=(WIDE, 0.9 + 0.27 * max(len(labels), least)), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    return figure, axes


def _plain(title: str) -> str:
    """A title without its Markdown."""
    return title.replace("`", "")


def _across(axes: Axes, least: float, most: float) -> None:
    """Choose the scale of the x axis, with plain numbers, which every font has."""
    if most / least > LOG:
        axes.set_xscale("log")
        digits = (1, 2, 5) if most / least > 30 else (1, 1.5, 2, 3, 5, 7)
        ticks = [digit * 10.0**power for power in range(-6, 7) for digit in digits]
        axes.set_xticks([tick for tick in ticks if least / 1.3 <= tick <= most * 1.3])
        axes.set_xticks([], minor=True)
        axes.set_xlim(least / 1.3, most * 1.5)
    axes.xaxis.set_major_formatter("{x:,.10g}")


def _value(axes: Axes, row: int, x: float, value: float) -> None:
    """Write a value to the right of what is drawn."""
    text = f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
    offset = (8, -0.5)
    axes.annotate(
        text, (x, row), offset, textcoords="offset points", verticalalignment="center", fontsize=8.5
    )


def _targets(results: Results) -> Figure:
    """How much of what is allowed each target uses."""
    found = [verdict for part in results.values() for verdict in verdicts(part["found"])]
    figure, axes = _rows([_plain(verdict.title) for verdict in found])
    for row, verdict in enumerate(found):
        colour = OURS if verdict.reached else MISSED
        axes.plot([verdict.share], [row], "o" if verdict.reached else "X", color=colour)
        axes.hlines(row, 1.0, verdict.share, color=colour, linewidth=1.2)
        _value(axes, row, max(1.0, verdict.share), verdict.share)
    shares = [1.0, *(verdict.share for verdict in found)]
    _across(axes, min(shares), max(shares))
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("measured, of what is allowed: left of the line is reached")
    return figure


def _ratios(found: Sequence[Found]) -> Figure:
    """The ratio of every way, from the least to the most of the rounds, and the median."""
    labels: list[str] = []
    drawn: list[list[float] | None] = []
    for each in found:
        labels.append(f"{_plain(each['title'])} (1 is {each['against']})")
        drawn.append(None)
        for way in each["ways"]:
            if way != each["against"]:
                labels.append(way)
                drawn.append(pairs(each, way, each["against"]))
    figure, axes = _rows(labels)
    for row, (ratios, label) in enumerate(zip(drawn, axes.get_yticklabels(), strict=True)):
        if ratios is None:
            label.set_fontweight("bold")
            continue
        colour = OURS if labels[row].startswith("evaluator") else OTHERS
        axes.hlines(row, min(ratios), max(ratios), color=colour, linewidth=2)
        axes.plot([middle(ratios)], [row], "o", color=colour)
        _value(axes, row, max(ratios), middle(ratios))
    every = [1.0, *(ratio for ratios in drawn for ratio in ratios or ())]
    _across(axes, min(every), max(every))
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("times as long, within a round: median, least and most")
    return figure


def _stages(found: Sequence[Found]) -> Figure:
    """The medians of the stages, one after the other; those that no eye can see come together."""
    figure, axes = _rows([_plain(each["title"]) for each in found], least=4)
    bars = [{stage: middle(taken) for stage, taken in each["stages"].items()} for each in found]
    seen = SEEN * max(sum(bar.values()) for bar in bars)
    names = list(dict.fromkeys(stage for bar in bars for stage in bar))
    large = [name for name in names if any(bar.get(name, 0) >= seen for bar in bars)]
    rest = [sum(bar[name] for name in bar if name not in large) for bar in bars]
    rows = [(name, [bar.get(name, 0.0) for bar in bars]) for name in large]
    lefts = [0.0] * len(bars)
    for at, (name, widths) in enumerate([*rows, (f"{len(names) - len(large)} others", rest)]):
        if any(widths):
            colour = SHADES[at % len(SHADES)]
            axes.barh(range(len(bars)), widths, left=lefts, height=0.6, color=colour, label=name)
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    axes.set_xlabel("seconds, medians")
    figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    return figure


def _curve(found: Mapping[str, Any]) -> Figure:
    """Lines over both axes logarithmic: what grows evenly rises by one decade each decade."""
    figure = Figure(figsize=(WIDE, 4.2), layout="constrained")
    axes = figure.subplots()
    lines = dict.fromkeys(line for point in found["points"] for line in point["values"])
    for line in lines:
        points = [p for p in found["points"] if p["values"].get(line, 0) > 0]
        xs, ys = [p["x"] for p in points], [p["values"][line] for p in points]
        axes.plot(xs, ys, marker="o", markersize=4, label=line)
    axes.set(xscale="log", yscale="log", xlabel=found["x"], ylabel=found["y"])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.10g}")
        axis.set_minor_formatter("")
    figure.legend(loc="outside right upper", fontsize=9)
    return figure

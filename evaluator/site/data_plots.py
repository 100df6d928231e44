"""The plots of the data's page: how large the classes are, and their spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evaluator.eda_tables import size, size_title
from evaluator.site import words
from evaluator.site.figures import INK, MUTED, NARROW, TUNED, WIDE, figure, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup
    from matplotlib.axes import Axes

    from evaluator.eda import Eda, Spectrum

SHOWN = 30
"""Classes in a plot; the tables have them all."""


def sizes_plot(eda: Eda) -> Markup:
    """A bar for each class, the largest at the top; hidden ones have a word instead."""
    wide, narrow = (_sizes(eda, width) for width in (WIDE, NARROW))
    return figure(
        wide,
        size_title(eda),
        "A bar for each class, the largest at the top. The table below has the same figures.",
        name="sizes",
        narrow=narrow,
    )


def _sizes(eda: Eda, width: float) -> Figure:
    rows = sorted(eda.classes, key=lambda row: -(row.tiles or row.percent or 0))
    rows = sorted(rows, key=lambda row: row.hidden)[:SHOWN]
    values = [row.tiles if row.percent is None else row.percent for row in rows]
    with style():
        fig = Figure(figsize=(width, 0.9 + 0.34 * len(rows)), layout="constrained")
        axes = fig.subplots()
        axes.grid(visible=False, axis="y")
        axes.barh(range(len(rows)), [value or 0 for value in values], 0.66, color=TUNED, alpha=0.7)
        for place, (row, value) in enumerate(zip(rows, values, strict=True)):
            axes.annotate(
                size(row),
                (value or 0, place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=10,
                color=MUTED if row.hidden else INK,
            )
        _names(axes, [row.name for row in rows], width)
        axes.set_xlim(0, max(value or 0 for value in values) * (1.1 if width > NARROW else 1.3))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("tiles" if eda.step is None else "share of the tiles, %")
    return fig


def _names(axes: Axes, names: Sequence[str], width: float) -> None:
    """Class names down the left side, the first at the top."""
    limit = 28 if width > NARROW else 16
    axes.set_yticks(range(len(names)), [words.short(name, limit) for name in names])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(names) - 0.4, -0.6)


def spectra_plot(eda: Eda) -> Markup:
    """Mean and standard deviation of each band: of each class over that of all tiles.

    With one band there is no line to draw, and a dot for each class stands below the other.
    """
    draw = _dots if len(eda.bands) == 1 else _lines
    wide, narrow = (draw(eda, eda.spectra[:SHOWN], width) for width in (WIDE, NARROW))
    return figure(
        wide,
        "Normalised spectra of the classes",
        "For each class the mean of every band, from 0 to 1, with one standard deviation to either "
        "side; in grey that of all tiles. The table below has the same figures.",
        name="spectra",
        narrow=narrow,
    )


def _dots(eda: Eda, spectra: Sequence[Spectrum], width: float) -> Figure:
    with style():
        fig = Figure(figsize=(width, 0.9 + 0.34 * (len(spectra) + 1)), layout="constrained")
        axes = fig.subplots()
        axes.grid(visible=False, axis="y")
        rows = [(each.levels[0], each.spreads[0]) for each in spectra]
        rows.append((eda.bands[0].level, eda.bands[0].spread))
        for place, (level, spread) in enumerate(rows):
            colour = TUNED if place < len(spectra) else MUTED
            axes.plot([level - spread, level + spread], [place, place], color=colour, linewidth=2.2)
            axes.plot(level, place, "o", color=colour, markersize=7)
        _names(axes, [*(each.name for each in spectra), "all tiles"], width)
        axes.set_xlabel("normalised value, mean ± standard deviation")
    return fig


def _lines(eda: Eda, spectra: Sequence[Spectrum], width: float) -> Figure:
    """Small plots side by side on the same scales: as many lines in one could not be told apart."""
    across = min(len(spectra), 4 if width > NARROW else 2)
    down = -(-len(spectra) // across)
    numbers = range(1, len(eda.bands) + 1)
    with style():
        size = (width * (across / 4 if width > NARROW else 1), 0.5 + 1.75 * down)
        fig = Figure(figsize=(max(size[0], NARROW), size[1]), layout="constrained")
        grid = fig.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for axes, each in zip(grid.flat, spectra, strict=False):
            pairs = list(zip(each.levels, each.spreads, strict=True))
            low, high = [a - b for a, b in pairs], [a + b for a, b in pairs]
            axes.fill_between(numbers, low, high, color=TUNED, alpha=0.2, linewidth=0)
            axes.plot(numbers, [band.level for band in eda.bands], color=MUTED, linewidth=1.1)
            axes.plot(numbers, each.levels, color=TUNED, marker="o", markersize=3)
            axes.set_title(words.short(each.name, 20), fontsize=10, color=INK, loc="left")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for spare in grid.flat[len(spectra) :]:
            spare.set_visible(False)
        fig.supxlabel("band", fontsize=11, color=MUTED)
        fig.supylabel("normalised value", fontsize=11, color=MUTED)
    return fig

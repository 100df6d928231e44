"""Plots by matplotlib as inline SVG that follows the page: its font, its colours, its dark scheme.

    with style():
        fig = Figure(figsize=(8, 4)); ax = fig.subplots(); ax.plot(x, y, color=TUNED)
        html = figure(fig, "Accuracy by vendor", "What it shows, in a sentence.", name="ranking")

Draw with the colours named here and no others: each stands for a custom property of site.css.
Whoever cannot see a plot has the same figures in a table beside it: put one there.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup

from evaluator.site.shell import render

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.figure import Figure

# Colours that nothing else draws in: placeholders, replaced by var(--name).
INK, MUTED, LINE = "#010101", "#010102", "#010103"
TUNED, BASELINE, THIRD, FOURTH = "#010104", "#010105", "#010106", "#010107"
GROUND = "#010108"
WIDE, NARROW = 12.0, 4.2
"""Inches that a figure is wide, for a desktop and for a phone."""

SERIES = (TUNED, BASELINE, THIRD, FOURTH)
_PROPERTIES = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    TUNED: "tuned",
    BASELINE: "baseline",
    THIRD: "third",
    FOURTH: "fourth",
    GROUND: "ground",
}
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"


def style() -> AbstractContextManager[None]:
    """Return the context in which every plot is drawn: quiet axes, colours of the page.

    A name with a dollar sign is a name, not mathematics: `text.parse_math` is off.
    """
    return mpl.rc_context(
        {
            "axes.axisbelow": True,
            "axes.edgecolor": LINE,
            "axes.grid": True,
            "axes.labelcolor": MUTED,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "font.size": 11,
            "grid.color": LINE,
            "grid.linewidth": 0.8,
            "legend.frameon": False,
            "legend.labelcolor": INK,
            "lines.linewidth": 1.8,
            "svg.fonttype": "none",
            "svg.hashsalt": "evaluator",
            "text.color": INK,
            "text.parse_math": False,
            "xtick.color": MUTED,
            "xtick.labelsize": 10,
            "ytick.color": MUTED,
            "ytick.labelsize": 10,
        }
    )


def figure(
    fig: Figure, title: str, alt: str = "", *, name: str = "plot", narrow: Figure | None = None
) -> Markup:
    """Return the figure as an HTML figure element; the same figure gives the same bytes.

    `title` names it, `alt` says what it shows and how to read it: both are in the SVG for those who
    do not see it, and `alt` stands above it for those who do. `name` is a word that no other plot
    of the page has: the ids inside begin with it. `fig` is best WIDE inches wide; phones show
    `narrow` instead, NARROW inches wide, or scroll sideways where there is none.
    """
    drawn = [_svg(fig, title, alt, name)]
    if narrow is not None:
        drawn.append(_svg(narrow, title, alt, f"{name}-narrow"))
    return render("figure.html", drawn=drawn, title=title, alt=alt)


def _svg(fig: Figure, title: str, alt: str, name: str) -> Markup:
    with style(), warnings.catch_warnings(), io.BytesIO() as file:
        # A name in a script that our fonts lack is drawn by the reader's.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        fig.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        root = ET.fromstring(file.getvalue())  # noqa: S314  # matplotlib's own words
    for kind in ("metadata", "defs"):  # its first defs is a style for the whole page
        root.remove(next(root.iter(_SVG + kind)))
    for element in root.iter():
        _adapt(element, name)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img"}
    said = {"title": title} | ({"desc": alt} if alt else {})
    root.set("aria-labelledby", " ".join(f"{name}-{tag}" for tag in said))
    for place, (tag, text) in enumerate(said.items()):
        element = ET.Element(tag, {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(place, element)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704  # ElementTree's


def _adapt(element: ET.Element, name: str) -> None:
    """Make ids unique and colours the page's, and leave the font to the page."""
    element.tag = element.tag.removeprefix(_SVG)  # in HTML <svg> is enough
    attributes = dict(element.attrib)
    if _LINK in attributes:
        attributes["href"] = attributes.pop(_LINK).replace("#", f"#{name}-")
    if "id" in attributes:
        attributes["id"] = f"{name}-{attributes['id']}"
    for key in attributes.keys() & {"style", "clip-path"}:
        text = attributes[key].replace("url(#", f"url(#{name}-")
        text = re.sub(r"font: (?:\w+ )*([\d.]+px) [^;]*", r"font-size: \1", text)
        text = re.sub(r"font-family: [^;]*; ?", "", text)
        for colour, custom in _PROPERTIES.items():
            text = text.replace(colour, f"var(--{custom})")
        attributes[key] = text
    element.attrib = attributes

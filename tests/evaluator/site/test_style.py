"""Colours that can be read, in both schemes, and plots that take the page's own."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from matplotlib.figure import Figure

from evaluator.board.ranking import METRICS
from evaluator.site import words
from evaluator.site.bars import bars_cell, trend
from evaluator.site.figures import _PROPERTIES, SERIES, TUNED, figure, style
from evaluator.site.measures import CLASSIFICATION, REGRESSION

CSS = (files("evaluator.site") / "templates/site.css").read_text()
TEXT = ("ink", "muted", "link", "tuned", "baseline", "third", "fourth", "bad")


def palettes() -> dict[str, dict[str, str]]:
    """The custom properties of both schemes."""
    dark = CSS.index("@media (prefers-color-scheme:dark)")
    end = CSS.index("}}", dark)
    parts = {"light": CSS[:dark], "dark": CSS[dark:end]}
    return {name: dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", part)) for name, part in parts.items()}


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio, WCAG 2.2."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mixed(colour: str, ground: str, share: float) -> str:
    """`color-mix(in srgb, colour share, ground)`."""
    pairs = [(int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def test_the_measure_of_contrast_is_the_standards() -> None:
    """Black on white is 21, the grey #767676 just passes."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", TEXT)
def test_text_has_contrast_on_both_grounds(scheme: str, name: str) -> None:
    """WCAG 2.2, level AA, for text of any size."""
    palette = palettes()[scheme]

    assert contrast(palette[name], palette["ground"]) >= 4.5
    assert contrast(palette[name], palette["panel"]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_on_the_darkest_tint_and_whiskers_on_bars_can_be_read(scheme: str) -> None:
    """A recall of 1 is tinted by 40 %, a bar is filled by 45 %."""
    palette = palettes()[scheme]

    assert contrast(palette["ink"], mixed(palette["tuned"], palette["ground"], 0.40)) >= 4.5
    for name in ("tuned", "baseline"):
        assert contrast(palette["ink"], mixed(palette[name], palette["ground"], 0.45)) >= 3


def test_both_schemes_have_the_same_names() -> None:
    """And each colour of a plot is one of them."""
    light, dark = palettes()["light"], palettes()["dark"]

    assert {*light} == {*dark}
    assert {*_PROPERTIES.values()} <= {*light}
    assert {*SERIES} <= {*_PROPERTIES}


def drawn(label: str, name: str = "plot") -> str:
    """A plot with a label."""
    with style():
        fig = Figure(figsize=(4, 3))
        axes = fig.subplots()
        axes.plot([1, 2], [3, 4], color=TUNED, label=label)
        axes.legend()
    return str(figure(fig, "A title", "What it shows.", name=name))


def test_a_plot_has_the_colours_of_the_page_and_its_text_as_text() -> None:
    """No colour, font or namespace of its own, and nothing from outside."""
    svg = drawn("a label")

    assert "var(--tuned)" in svg
    assert "a label</text>" in svg
    assert not re.search(r"#[0-9a-f]{6}|font-family|xmlns|http|<style", svg)


def test_labels_are_names_and_not_markup_mathematics_or_ids() -> None:
    """Whatever signs they have; also those that no font of ours draws."""
    hostile = '<b id="x"> $\\frac$ #010104 url(#y) \u5c0f\u9ea6'
    svg = drawn(hostile)

    assert '&lt;b id="x"&gt; $\\frac$ #010104 url(#y) \u5c0f\u9ea6</text>' in svg


def test_the_ids_of_two_plots_differ_and_each_reference_is_to_one() -> None:
    """So that both can stand on one page."""
    one, two = (drawn("a", name=name) for name in ("one", "two"))
    ids = [{*re.findall(r'\bid="([^"]*)"', svg)} for svg in (one, two)]

    assert not ids[0] & ids[1]
    assert {*re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', one)}
    for first, second in re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', one):
        assert (first or second) in ids[0]


def test_the_same_plot_has_the_same_bytes() -> None:
    """No date, no random id."""
    assert drawn("a") == drawn("a")


def test_a_bar_ends_where_its_value_lies() -> None:
    """84.5 of 100, whiskers at the interval, and nothing for what is not there."""
    cell = bars_cell((0.845, (0.8, 0.89)), (None, None))

    assert "H84.5v8" in cell
    assert "M80 5H89" in cell
    assert cell.count("<path") == 2


@pytest.mark.parametrize(("lower", "line"), [(False, "V5"), (True, "V95")])
def test_the_best_so_far_goes_the_better_way(lower: bool, line: str) -> None:  # noqa: FBT001  # a row
    """Up for accuracy, down for an error."""
    svg, bottom, top = trend([0, 1, 2], [2.0, 3.0, 1.0], [None] * 3, lower=lower)

    assert (bottom, top) == (1.0, 3.0)
    assert line in svg.partition('class="best"')[2].partition("/>")[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.845, "84.5"), (0.84, "84.0"), (0.8455, "84.55"), (None, words.MISSING), (1, "100.0")],
)
def test_a_share_has_the_decimals_that_were_published(value: float | None, text: str) -> None:
    """And at least one, so that columns line up."""
    assert words.percent(value) == text


def test_a_loss_has_a_true_minus() -> None:
    """As wide as the plus; and a gain shows its plus."""
    assert (words.points(-0.012), words.points(0.05)) == ("\u22121.2", "+5.0")


def test_what_ranks_a_board_is_what_pages_show() -> None:
    """Each metric has a column, with the same words and the same better way."""
    shown = {each.name: each for each in (*CLASSIFICATION, *REGRESSION)}

    for name, metric in METRICS.items():
        assert (shown[name].label, shown[name].lower) == (metric.title, metric.lower_is_better)
        assert metric.interval in {"", f"{name}_interval"}

"""Every page of a site: what it fetches (nothing), how it is built, and that names stay names."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from jinja2 import Environment
from markupsafe import Markup

from evaluator.board.values import Aborted
from evaluator.eda import Eda
from evaluator.errors import VerificationError
from evaluator.site import view as views
from evaluator.site.render import render_site
from evaluator.site.shell import environment, page, render
from tests.helpers.renamed import renamed
from tests.helpers.synthetic import board as read

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.board.values import Board

VOID = frozenset({"meta", "link", "br", "hr", "img", "input", "path", "use"})
HOSTILE = (
    '</td></table><script>alert(1)</script><img src=//x.example onerror="alert(2)">\u202e&amp;'
)


class Page(HTMLParser):
    """A page taken apart: every element with its attributes, nesting checked on the way."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element that has no content."""
        assert tag in VOID or "svg" in self.open, tag
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Require that what is closed was opened last."""
        if tag in VOID:
            return
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep a text with the element that it is in."""
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, name: str) -> list[str]:
        """The values of one attribute, wherever it stands."""
        return [value or "" for _, found in self.elements if (value := found.get(name)) is not None]

    def text(self) -> str:
        """What a reader sees, roughly."""
        return "".join(text for tag, text in self.texts if tag not in {"style", "script", "title"})


@pytest.fixture(scope="module")
def board() -> Board:
    """9 vendors; among 60 results failed, refused, withdrawn and aborted ones, and one is open."""
    return read(results=60, vendors=9)


@pytest.fixture(scope="module")
def site(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of that board."""
    out = tmp_path_factory.mktemp("made") / "site"
    render_site(board, None, out)
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    """Every page of it by its path."""
    return {
        str(path.relative_to(site)): Page(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*"))
        if path.is_file()
    }


def test_a_site_has_a_page_for_each_submission_and_vendor(
    pages: dict[str, Page], board: Board
) -> None:
    """And the four that each site has, and no other file."""
    assert {*pages} == {
        "index.html",
        "history.html",
        "verify.html",
        *(f"vendors/{row.vendor}.html" for row in board.all),
        *(f"submissions/{row.run[:2]}/{row.run}.html" for row in board.all),
    }


def test_no_page_asks_for_anything(pages: dict[str, Page]) -> None:
    """No resource but an empty icon, no link out of the site, and a policy that forbids it."""
    for name, found in pages.items():
        fetching = {"script", "img", "iframe", "object", "embed", "video", "audio", "form", "base"}
        assert not [tag for tag, has in found.elements if tag in fetching and "src" in has], name
        assert not [tag for tag, _ in found.elements if tag in fetching - {"script"}], name
        for tag, has in found.elements:
            for key in ("href", "src", "xlink:href", "srcset", "action", "background"):
                link = has.get(key) or ""
                assert ":" not in link or (tag, link) == ("link", "data:,"), (name, link)
                assert not link.startswith("//"), (name, link)
            assert not [key for key in has if key.startswith("on")], name
        styles = "".join(text for tag, text in found.texts if tag == "style")
        styles += "".join(found.all("style"))
        assert not re.search(r"@import|url\((?!#)|//", styles), name


def test_the_policy_lets_our_script_run_and_nothing_else(pages: dict[str, Page]) -> None:
    """The digest in it is that of the one script; a page that sorts nothing has none."""
    for name, found in pages.items():
        policy = next(
            has["content"]
            for tag, has in found.elements
            if has.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy
        assert policy.startswith("default-src 'none'; "), name
        scripts = [text for tag, text in found.texts if tag == "script"]
        sorts = any("data-sort" in has for _, has in found.elements)
        digests = [
            "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            for text in scripts
        ]
        assert re.findall(r"sha256-[^']*", policy) == digests, name
        assert len(scripts) == (1 if sorts else 0), name


def test_links_lead_to_pages_of_the_site(site: Path, pages: dict[str, Page]) -> None:
    """Each by a relative path, so the site works from any folder or address."""
    documents = {site / "board.csv", site / "board.json"}  # written by `evaluator.publish`
    for name, found in pages.items():
        links = [has["href"] or "" for tag, has in found.elements if tag == "a"]
        for link in links:
            target = (site / name).parent / link.partition("#")[0]
            assert link.startswith("#") or target.resolve() in documents or target.is_file(), link


def test_pages_are_fit_for_a_screen_reader(pages: dict[str, Page]) -> None:
    """Language, landmarks, one h1, unique ids, headings of tables, names of drawings."""
    for name, found in pages.items():
        tags = [tag for tag, _ in found.elements]
        assert ("html", {"lang": "en"}) in found.elements, name
        assert (tags.count("main"), tags.count("h1")) == (1, 1), name
        ids = found.all("id")
        assert len({*ids}) == len(ids), name
        named = {each for value in found.all("aria-labelledby") for each in value.split()}
        assert named <= {*ids}, name
        assert tags.count("caption") == tags.count("table"), name
        assert all(has.get("scope") in {"col", "row"} for tag, has in found.elements if tag == "th")
        for tag, has in found.elements:
            if tag in {"svg", "img"}:
                assert has.get("aria-hidden") == "true" or has.get("aria-labelledby"), name
            if has.get("tabindex") == "0":  # what can be scrolled can be reached, and has a name
                assert has.get("aria-label") or has.get("aria-labelledby"), name


def test_each_row_has_as_many_cells_as_the_head(site: Path) -> None:
    """Or a heading would name the wrong column."""
    for path in site.rglob("*.html"):
        for table in re.findall(r"<table.*?</table>", path.read_text(encoding="utf-8"), re.DOTALL):
            widths = {
                sum(int(span or 1) for span in re.findall(r'<t[dh](?: colspan="(\d+)")?[ >]', row))
                for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
            }
            assert len(widths) == 1, path


def test_a_board_shows_ranks_ties_and_what_always_the_largest_class_scores(
    pages: dict[str, Page], board: Board
) -> None:
    """In the words and numbers of the board."""
    text = " ".join(pages["index.html"].text().split())
    tied = next(row for row in board.rows if row.tied)
    assert board.majority

    assert f"={tied.rank} tied {tied.vendor}" in text
    assert f"1 submission has not ended: received as log entry {board.open[0]}." in text
    assert f"largest class {100 * board.majority.accuracy:.1f}" in text
    best = board.rows[0].tuned
    assert best
    low, high = best.accuracy_interval
    assert f"{100 * best.accuracy:.1f} [{100 * low:.1f}, {100 * high:.1f}]" in text


def test_a_withdrawn_result_stays_with_its_reason(pages: dict[str, Page], board: Board) -> None:
    """On its page, and with a mark in the history."""
    row = next(row for row in board.all if row.withdrawn)

    text = pages[f"submissions/{row.run[:2]}/{row.run}.html"].text()
    assert f"withdrew this result: {row.withdrawn}" in text
    assert f"{row.run} withdrawn" in pages["history.html"].text()


def test_every_end_of_a_submission_is_in_the_history(pages: dict[str, Page], board: Board) -> None:
    """Failed, refused and aborted ones too, with the word for it."""
    text = pages["history.html"].text()
    words = {word for row in board.all for word in row.phase_statuses if word} - {"OK"}

    assert all(row.run in text for row in board.all)
    assert text.count("ended without a result") == len(board.aborted) > 0
    assert len(words) > 2
    assert all(word in text for word in words)


def test_a_board_without_class_sizes_shows_no_interval_of_a_class(tmp_path: Path) -> None:
    """And says why."""
    board = read(results=6, vendors=2, sizes=False)
    render_site(board, None, tmp_path / "site")
    scored = next(row for row in board.all if row.tuned)
    text = (tmp_path / f"site/submissions/{scored.run[:2]}/{scored.run}.html").read_text()

    assert "does not publish how many tiles a class has" in text
    assert "Tiles</th>" not in text
    assert "largest class" not in (tmp_path / "site/index.html").read_text()


@pytest.mark.parametrize("changes", [{"rows": (), "all": (), "aborted": ()}, {"published": None}])
def test_a_board_with_little_to_show_is_shown(tmp_path: Path, changes: dict[str, Any]) -> None:
    """No result yet; or made before publication, for the operator."""
    render_site(replace(read(results=2, vendors=1), **changes), None, tmp_path / "site")

    text = Page((tmp_path / "site/index.html").read_text()).text()
    assert ("no result yet" in text) == (not changes.get("rows", True))
    assert ("not published" in text) == ("published" in changes)


def test_the_page_of_the_data_is_linked_from_every_other(tmp_path: Path) -> None:
    """And absent where there is nothing to tell of the data."""
    few = "Too few tiles."
    eda = Eda(1, (64, 64, 3), "uint8", 500, 0, 10, "holdout", 500, None, (), few, (), ())
    render_site(read(results=2, vendors=1), eda, tmp_path / "site")

    assert few in Page((tmp_path / "site/data.html").read_text(encoding="utf-8")).text()
    for path in (tmp_path / "site").rglob("*.html"):
        up = "../" * (len(path.relative_to(tmp_path / "site").parts) - 1)
        assert f'href="{up}data.html"' in path.read_text(encoding="utf-8"), path


def test_hostile_names_and_reasons_stay_text(tmp_path: Path) -> None:
    """Classes, reasons, origin, checkpoint, currency: markup in them reaches the reader as text."""
    names = (HOSTILE, "$\\frac$", "a\u0000b\ufffe", "x" * 255, *"defghi")
    board = renamed(read(results=6, vendors=2), names)
    row = replace(board.all[0], withdrawn=HOSTILE, offer=(HOSTILE, "1"))
    board = replace(
        board,
        all=(row, *board.all[1:]),
        aborted=(Aborted(1, 0, row.vendor, HOSTILE),),
        published=HOSTILE,
        checkpoint=replace(board.checkpoint, origin=HOSTILE, note=HOSTILE.encode() + b"\xff"),
    )
    render_site(board, None, tmp_path / "site")

    for path in (tmp_path / "site").rglob("*.html"):
        found = Page(path.read_text(encoding="utf-8"))
        assert not [tag for tag, _ in found.elements if tag == "img"]
        assert not [text for tag, text in found.texts if tag == "script" and "alert" in text]
    index = Page((tmp_path / "site/index.html").read_text(encoding="utf-8"))
    assert HOSTILE in index.text()


def test_without_escaping_the_same_names_would_be_markup() -> None:
    """The control: the probe of the test above sees what a careless template lets through."""
    careless = Environment(autoescape=False).from_string("<p>{{ name }}</p>")  # noqa: S701
    with pytest.raises(AssertionError):
        Page(careless.render(name=HOSTILE))
    escaped = environment().from_string("<p>{{ name }}</p>").render(name=HOSTILE)

    assert Page(escaped).text() == HOSTILE


def test_a_body_that_is_only_text_is_escaped() -> None:
    """Only what a template made is markup."""
    assert "<b>" not in page("<b>", "<b>")  # type: ignore[arg-type]  # what a caller must not do
    assert "<b></b>" in page("b", Markup("<b></b>"))


def test_a_template_with_an_unknown_name_is_an_error() -> None:
    """Not an empty cell."""
    with pytest.raises(Exception, match="undefined"):
        render("figure.html", drawn=[])


@pytest.mark.parametrize("vendor", ["../up", "a/b", "", "A", "a" * 64, "a\n"])
def test_a_name_that_could_leave_the_folder_makes_no_site(tmp_path: Path, vendor: str) -> None:
    """Whatever the log let through."""
    board = read(results=2, vendors=1)
    bad = replace(board, all=(replace(board.all[0], vendor=vendor),))

    with pytest.raises(VerificationError):
        render_site(bad, None, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_the_same_board_gives_the_same_bytes(tmp_path: Path) -> None:
    """So that anyone can make the site again and compare."""
    board = read(results=6, vendors=2)
    for name in ("one", "two"):
        render_site(board, None, tmp_path / name)

    for path in (tmp_path / "one").rglob("*.html"):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes(), path


def test_long_tables_go_on_on_other_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is on one of them, and links lead there and back, for processes as for one."""
    monkeypatch.setattr(views, "ROWS", 20)
    monkeypatch.setattr("evaluator.site.render.CHUNK", 10)
    board = read(results=134, vendors=45)
    render_site(board, None, tmp_path / "site")

    texts = [
        (tmp_path / "site" / f"history{part}.html").read_text(encoding="utf-8")
        for part in ("", ".2", ".3", ".4", ".5", ".6", ".7")
    ]
    assert [sum(text.count(row.run) for text in texts) for row in board.all] == [2] * len(board.all)
    assert 'href="history.2.html" rel="next"' in texts[0]
    assert 'href="history.html" rel="prev"' in texts[1]
    assert (tmp_path / "site/index.3.html").exists()
    assert not (tmp_path / "site/index.4.html").exists()
    assert len(list((tmp_path / "site/submissions").rglob("*.html"))) == len(board.all) == 135


@dataclass(frozen=True, slots=True)
class Errors:
    """Figures of a phase that predicts numbers."""

    rmse: float
    rmse_interval: tuple[float, float]
    mae: float
    bias: float
    r2: float
    macro_rmse: float
    rare_rmse: float
    crop_rmse: dict[str, float]
    crop_rmse_interval: dict[str, tuple[float, float]] | None


def test_a_board_of_errors_is_shown_in_the_labels_unit(tmp_path: Path) -> None:
    """RMSE, MAE, bias and R2 as they are, less is better, and RMSE of each class."""
    board = read(results=6, vendors=2)
    crops = dict.fromkeys(board.classes, 0.5)
    ends = dict.fromkeys(board.classes, (0.4, 0.6))
    scored: Any = Errors(0.75, (0.7, 0.8), 0.5, -0.25, 0.9, 0.6, 0.7, crops, ends)
    rows = tuple(replace(row, baseline=scored, tuned=None, gain=None) for row in board.rows)
    board = replace(board, task="regression", metric="rmse", majority=None, rows=rows, all=rows)
    render_site(board, None, tmp_path / "site")

    index = " ".join(Page((tmp_path / "site/index.html").read_text()).text().split())
    assert "Ranked by RMSE (lower is better)" in index
    assert "0.75 [0.7, 0.8]" in index
    assert "\u22120.25" in index
    assert "%" not in index.replace("95 %", "")
    row = rows[0]
    own = (tmp_path / f"site/submissions/{row.run[:2]}/{row.run}.html").read_text()
    assert 'd="M0 1H83.33v8H0z"' in own  # a class's bar, on a scale up to the largest end
    assert "0 to 0.6" in own

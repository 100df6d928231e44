"""The one HTML page around everything that is published, and the templates that fill it.

    body = render("data.html", rows=rows)         a template of templates/, everything escaped
    page("Data set", body, nav=[("Board", "index.html")])

A page is one file: style and script are inside it, and its Content-Security-Policy lets a browser
fetch nothing, from anywhere. Names come from vendors and from a log that others may have written:
they enter by templates only, which escape. Plots: `evaluator.site.figures`.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from evaluator.site import words

if TYPE_CHECKING:
    from collections.abc import Sequence

BRAND = "Submission evaluator"


def page(
    title: str,
    body: Markup,
    *,
    nav: Sequence[tuple[str, str]] = (),
    here: str = "",
    footer: str = "",
) -> str:
    """Return a whole page as text.

    `body` is what `render` returned; a plain `str` is taken for text and escaped. `nav` is pairs of
    a label and a link to another page, `here` the label of this one. A table with `data-sort` in
    `body` brings the script that sorts it along.
    """
    head, middle, tail = _frame(tuple(nav), here, footer, sorts="data-sort" in body)
    return f"{head}{escape(title)}{middle}{escape(body)}{tail}"


@lru_cache(64)
def _frame(
    nav: tuple[tuple[str, str], ...], here: str, footer: str, *, sorts: bool
) -> tuple[str, str, str]:
    """Return what stands before the title, between it and the body, and after that.

    It is the same for thousands of pages, so the template is filled in once, with marks.
    """
    mark = "\0"  # no text of a template has it
    text = render(
        "page.html",
        title=mark,
        brand=BRAND,
        body=mark,
        nav=nav,
        here=here,
        footer=footer.replace(mark, ""),
        policy=_policy(sorts=sorts),
        style=_text("site.css"),
        script=_text("sort.js") if sorts else "",
    )
    head, middle, tail = text.split(mark)
    return head, middle, tail


def render(template: str, **values: object) -> Markup:
    """Return a template of templates/ filled in: escaped, and an unknown name is an error."""
    return Markup(environment().get_template(template).render(values))  # noqa: S704  # autoescaped


@cache
def environment() -> Environment:
    """The templates, each compiled once in a process; filters are those of `words`."""
    made = Environment(
        loader=PackageLoader("evaluator.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= words.FILTERS
    return made


@cache
def _policy(*, sorts: bool) -> str:
    """Nothing is fetched; the one script that may run is ours, known by its digest."""
    digest = b64encode(hashlib.sha256(_text("sort.js").encode()).digest()).decode()
    script = f"script-src 'sha256-{digest}'; " if sorts else ""
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; {script}"
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _text(name: str) -> Markup:
    """A file of ours without its comments and indents: it is in every one of 100,000 pages."""
    text = (files("evaluator.site") / "templates" / name).read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    lines = (line.strip() for line in text.splitlines())
    return Markup("\n".join(line for line in lines if line))  # noqa: S704  # ours, no value in it

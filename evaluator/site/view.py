"""A board made ready for its pages: what each of them needs, worked out once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from markupsafe import Markup

from evaluator.site.measures import measures, ranked_by
from evaluator.site.shell import page
from evaluator.site.words import whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.board.values import Aborted, Board, Row
    from evaluator.site.measures import Measure

_HEADING = Markup('<th scope="row"><bdi>{}</bdi>{}</th>')

DATA = "Data set"
"""What links call the page of the data set."""

ROWS = 500
"""Rows of a table on one page: a page stays below 1 MB."""


@dataclass(frozen=True)
class View:
    """A board, and what its pages share; `has_data` where the site has a page of the data set."""

    board: Board
    has_data: bool

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """The figures of the task, in the order of the columns."""
        return measures(self.board)

    @cached_property
    def ranked(self) -> Measure:
        """The one that ranks."""
        return ranked_by(self.board)

    @cached_property
    def others(self) -> tuple[Measure, ...]:
        """Those that do not."""
        return tuple(each for each in self.measures if each != self.ranked)

    @cached_property
    def events(self) -> Sequence[Row | Aborted]:
        """Every end of a submission, the newest first."""
        ends: list[Row | Aborted] = [*self.board.all, *self.board.aborted]
        return sorted(ends, key=lambda end: -end.position)

    @cached_property
    def of_vendors(self) -> Mapping[str, Sequence[Row | Aborted]]:
        """The events of each vendor, by its name."""
        found = defaultdict[str, list["Row | Aborted"]](list)
        for event in self.events:
            found[event.vendor].append(event)
        return dict(sorted(found.items()))

    @cached_property
    def best(self) -> Mapping[str, Row]:
        """The row of each vendor on the board."""
        return {row.vendor: row for row in self.board.rows}

    @cached_property
    def headings(self) -> Mapping[Measure, Markup]:
        """A row heading for each figure."""
        return {each: _HEADING.format(each.heading, "") for each in self.measures}

    @cached_property
    def class_headings(self) -> Mapping[str, Markup]:
        """A row heading for each class: its name, and whether it is rare."""
        rare = Markup(' <span class="tag">rare</span>')
        return {
            name: _HEADING.format(name, rare if name in self.board.rare else "")
            for name in self.board.classes
        }

    @cached_property
    def size_cells(self) -> Mapping[str, Markup]:
        """A cell for the tiles of each class; empty where they are not published."""
        if self.board.class_sizes is None:
            return dict.fromkeys(self.board.classes, Markup())
        cell = Markup('<td class="n">{}</td>')
        sizes = zip(self.board.classes, self.board.class_sizes, strict=True)
        return {name: cell.format(whole(size)) for name, size in sizes}

    @cached_property
    def footer(self) -> str:
        """Which checkpoint every figure comes from."""
        log = self.board.checkpoint
        return f"From the log {log.origin} at {log.size:,} entries, root {log.root.hex()}."

    def nav(self, depth: int = 0) -> list[tuple[str, str]]:
        """Links to the pages of the site from one that lies `depth` folders down."""
        links = [("Leaderboard", "index.html"), ("History", "history.html")]
        links += [(DATA, "data.html")] if self.has_data else []
        links += [("How to verify", "verify.html")]
        return [(label, "../" * depth + link) for label, link in links]

    def page(self, title: str, body: Markup, *, here: str = "", depth: int = 0) -> str:
        """Return a page of the site."""
        return page(title, body, nav=self.nav(depth), here=here, footer=self.footer)


@dataclass(frozen=True, slots=True)
class Part:
    """One page of a long table: rows `start` to `stop`; `number` counts from 1, `of` them all."""

    stem: str
    number: int
    of: int
    start: int
    stop: int
    total: int

    @property
    def file(self) -> str:
        """The name of its file: history.html, then history.2.html."""
        return self.link(self.number)

    def link(self, number: int) -> str:
        """The name of another part's file, in the same folder."""
        return f"{self.stem}.html" if number == 1 else f"{self.stem}.{number}.html"


def parts(stem: str, total: int) -> list[Part]:
    """Return the pages that a table of `total` rows needs: at least one."""
    count = max(-(-total // ROWS), 1)
    return [
        Part(stem, number + 1, count, ROWS * number, min(ROWS * (number + 1), total), total)
        for number in range(count)
    ]


def submission_link(run: str) -> str:
    """Where a run's page is, from the top of the site: few files in a folder."""
    return f"submissions/{run[:2]}/{run}.html"

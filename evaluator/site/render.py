"""The site of one board: every page of it, written by as many processes as there are CPUs.

    render_site(board, eda, Path("board"))

    index.html  history.html  verify.html  data.html
    vendors/NAME.html                  a vendor's results over time
    submissions/3f/3f…9c.html          one page a submission, by the first two digits of its run

A table has at most ROWS rows a page; its further pages are NAME.2.html and so on (a vendor's name
has no dot). Every page stands alone: see `evaluator.site.shell`.
"""

from __future__ import annotations

import gc
import os
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

from evaluator.errors import VerificationError
from evaluator.site.board_pages import history_pages, index_pages, vendor_pages
from evaluator.site.data_page import data_body
from evaluator.site.submission_pages import submission_page
from evaluator.site.verify_page import verify_page
from evaluator.site.view import DATA, View, parts, submission_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evaluator.board.values import Board
    from evaluator.eda import Eda

CHUNK = 1000
"""Pages that a process is given at a time."""

_NAMES = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_RUNS = re.compile(r"[0-9a-f]{16}")


def render_site(board: Board, eda: Eda | None, out: Path) -> None:
    """Write the site of `board` into `out`, which is made; `eda` adds the page of the data set.

    Raises FileExistsError where `out` is there, and VerificationError where a name of the board
    could not be a file's. A killed call leaves a part of the site: write beside the old one, then
    rename.
    """
    _require_names(board)
    out.mkdir(parents=True)
    view = View(board, has_data=eda is not None)
    for folder in {submission_link(row.run).rpartition("/")[0] for row in board.all} | {"vendors"}:
        (out / folder).mkdir(parents=True, exist_ok=True)
    _write(out, ("verify.html", verify_page(view)))
    if eda is not None:
        _write(out, ("data.html", view.page(DATA, data_body(eda), here=DATA)))
    jobs = list(_jobs(view))
    if len(board.all) < CHUNK:  # not worth a process
        for job in jobs:
            _run(view, out, job)
        return
    # Forked, the processes have the board as it is: nothing of it is sent to them.
    gc.freeze()  # and nothing of it is touched, hence copied, by their collectors
    try:
        workers = len(os.sched_getaffinity(0))
        with ProcessPoolExecutor(workers, get_context("fork"), _keep, (view, out)) as pool:
            for done in [pool.submit(_run_kept, job) for job in jobs]:
                done.result()
    finally:
        gc.unfreeze()


@dataclass(frozen=True, slots=True)
class _Job:
    """A range of one kind of pages."""

    pages: Callable[[View, range], Iterator[tuple[str, str]]]
    numbers: range


def _jobs(view: View) -> Iterator[_Job]:
    """Everything that there is to write, what takes longest first."""
    kinds = (
        (_index, 1, 1),
        (history_pages, len(parts("history", len(view.events))), 20),
        (_vendors, len(view.of_vendors), 100),
        (_submissions, len(view.board.all), CHUNK),
    )
    for pages, total, step in kinds:
        for start in range(0, total, step):
            yield _Job(pages, range(start, min(start + step, total)))


def _index(view: View, _numbers: range) -> Iterator[tuple[str, str]]:
    return index_pages(view)


def _vendors(view: View, numbers: range) -> Iterator[tuple[str, str]]:
    for vendor in list(view.of_vendors)[numbers.start : numbers.stop]:
        yield from vendor_pages(view, vendor)


def _submissions(view: View, numbers: range) -> Iterator[tuple[str, str]]:
    for row in view.board.all[numbers.start : numbers.stop]:
        yield submission_page(view, row)


def _run(view: View, out: Path, job: _Job) -> None:
    for page in job.pages(view, job.numbers):
        _write(out, page)


_kept: list[tuple[View, Path]] = []
"""In a process of the pool alone: what it was forked with."""


def _keep(view: View, out: Path) -> None:
    _kept.append((view, out))


def _run_kept(job: _Job) -> None:
    _run(*_kept[0], job)


def _write(out: Path, page: tuple[str, str]) -> None:
    path, text = page
    with open(f"{out}/{path}", "wb", buffering=0) as file:  # noqa: PTH123  # 100,000 times
        file.write(text.encode())


def _require_names(board: Board) -> None:
    """Require names that are files' in their folder, whatever the log let through."""
    vendors = {row.vendor for row in board.all} | {end.vendor for end in board.aborted}
    if not all(_NAMES.fullmatch(vendor) for vendor in vendors) or not all(
        _RUNS.fullmatch(row.run) for row in board.all
    ):
        raise VerificationError(
            "A vendor or a run of the board has a name that no page can have. The log holds an "
            "entry that this program would not have written: run `evaluator log audit`."
        )

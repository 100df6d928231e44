"""What moves on a terminal, by rich; `evaluator.progress` says when."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage, moved by a function of (stage, done, total)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        tasks = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(stage, total=total)
            shown.update(tasks[stage], completed=done, total=total)

        yield advance


@contextmanager
def spinner() -> Iterator[Callable[[str], None]]:
    """One line that turns, and a function that changes its words."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None)
        yield lambda line: shown.update(task, description=line)


@contextmanager
def transfer() -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """A spinner, and a function of (bytes that are here, of how many) for a bar below it."""
    above = Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    bar = Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    line, copy = above.add_task("", total=None), bar.add_task("", visible=False)
    with Live(Group(above, bar), console=Console(stderr=True), transient=True):
        yield (
            lambda text: above.update(line, description=text),
            lambda done, total: bar.update(copy, completed=done, total=total, visible=True),
        )

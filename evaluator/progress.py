"""Progress on stderr: something that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A function of (stage, done, total), to be called as often as one likes."""
    if sys.stderr.isatty():
        from evaluator.terminal import bars  # noqa: PLC0415  # rich is for a terminal alone

        with bars() as progress:
            yield progress
    else:
        seen: set[str] = set()

        def line(stage: str, _done: int, total: int) -> None:
            if stage not in seen:
                seen.add(stage)
                click.echo(f"{stage} ({total}) ...", err=True)

        yield line


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """A function to be called with a line at the start of each slow step of unknown length."""
    if not sys.stderr.isatty():
        yield lambda line: click.echo(line, err=True)
        return
    from evaluator.terminal import spinner  # noqa: PLC0415  # as above

    with spinner() as stage:
        yield stage


@contextmanager
def receiving() -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """A function as of `stages`, and one of (bytes that are here, of how many) for a bar."""
    if not sys.stderr.isatty():
        with stages() as stage:
            yield stage, lambda *_: None
        return
    from evaluator.terminal import transfer  # noqa: PLC0415  # as above

    with transfer() as both:
        yield both


class Live:
    """One line of a terminal: the stage, what our trainer reports, and the charge so far."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._line, self._charge = "", ""

    def say(self, line: str) -> None:
        """A new stage."""
        self._line, self._charge = line, ""
        self._show(line)

    def frame(self, frame: tuple[int, ...]) -> None:
        """What our own trainer reports."""
        self._line = training_line(frame)
        self._show(self._line + self._charge)

    def charged(self, operations: float) -> None:
        """The operations that a container has used so far."""
        self._charge = f"  {operations / 1e15:.2g} PF" if operations else ""  # checks are free
        self._show(self._line + self._charge)


def training_line(frame: tuple[int, ...]) -> str:
    """A frame of our own trainer as a line; its numbers are bounded, since a model was near them.

    frame: number, epoch, epochs, step, steps, loss x 1e6, validation accuracy x 1e4 or -1, ms.
    """
    _, epoch, epochs, step, steps, loss, right, _ = (max(-1, min(n, 10**12)) for n in frame)
    line = f"Training: epoch {epoch}/{epochs}, step {step}/{steps}, loss {loss / 1e6:.3f}"
    return line if right < 0 else f"{line}, validation {right / 100:.1f} %"

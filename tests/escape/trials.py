"""Try rows of the corpus in the open, and in the open behind one control alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import open_image
import open_limits
import open_model
import open_network
import open_output
import open_side
import open_training
from ground import extended, open_request, whole_wall, with_control
from open_steps import OpenSteps, run_request, strict

from evaluator.attacks.probing import Tried, small, try_together
from evaluator.attacks.training_tries import TOGETHER, try_trained
from evaluator.attacks.tries import TRIES
from sandbox.wall import uid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench
    from sandbox import Outcome, Spec

    Wall = Callable[[Spec, str, int, str], dict[str, Any]]
    # A row, a bench, the one control that stands (None: no control at all), and whose wall's.
    OpenTry = Callable[[Attack, Bench, str | None, Wall], Tried]

UID = 2_500_000
OPEN: dict[str, OpenTry] = (
    open_network.OPEN
    | open_limits.OPEN
    | open_image.OPEN
    | open_model.OPEN
    | open_output.OPEN
    | open_side.OPEN
    | open_training.OPEN
)


def try_open(
    rows: Iterable[Attack],
    bench: Bench,
    control: str | None = None,
    wall: Wall = whole_wall,
) -> list[Tried]:
    """Try rows without the wall, or with the one control that `wall` gives.

    Rows that need the same extras share a container, unless they use up its limits.
    """

    def start(extras: tuple[str, ...]) -> Callable[[Spec, Path], Outcome]:
        def run(spec: Spec, scratch: Path) -> Outcome:
            output = str(scratch / "predictions")
            request = extended(open_request(spec, output), extras)
            if control is not None:
                asked = wall(strict(spec), output, uid_of(spec.run), bench.seccomp)
                request = with_control(request, asked, control)
            return run_request(request, spec, scratch)

        return run

    limits = small(bench.limits, bench.runtime)
    rows = list(rows)
    tried: list[Tried] = []
    for row in rows:
        steps = OpenSteps(bench, row.needs, control, wall)
        opened = replace(bench, start=start(row.needs), steps=steps)
        if row.id in OPEN:
            tried.append(OPEN[row.id](row, opened, control, wall))
        elif row.how not in {
            "probe",
            *TOGETHER,
        }:  # as behind the wall, but for how the container is started
            tried.append(TRIES[row.id](row, opened))
    for extras, group in _sharing(row for row in rows if row.how == "probe"):
        tried += try_together(group, bench, limits, start(extras))
    for extras, group in _sharing(row for row in rows if row.how in TOGETHER):
        steps = OpenSteps(bench, extras, control, wall)
        tried += try_trained(group, replace(bench, steps=steps))
    return tried


def _sharing(rows: Iterable[Attack]) -> Iterator[tuple[tuple[str, ...], list[Attack]]]:
    """The rows that share containers, and what those need."""

    def key(row: Attack) -> tuple[tuple[str, ...], bool, str]:
        return (row.needs, row.alone, row.id if row.alone else "")

    for (extras, _, _), group in groupby(
        sorted((row for row in rows if row.id not in OPEN), key=key), key=key
    ):
        yield extras, list(group)

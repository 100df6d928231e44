"""Try rows of the corpus in the open, and in the open behind one control alone."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import open_image
import open_limits
import open_model
import open_network
import open_output
import open_side
import requests.exceptions
from ground import extended, open_request, with_control

import sandbox
from evaluator.attacks.probing import Tried, small, try_together
from evaluator.attacks.tries import TRIES
from sandbox import Outcome, Spec, Status
from sandbox.wall import create_arguments, uid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

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
)


def try_open(
    rows: Iterable[Attack],
    bench: Bench,
    control: str | None = None,
    wall: Wall = create_arguments,
) -> list[Tried]:
    """Try rows without the wall, or with the one control that `wall` gives.

    Rows that need the same extras share a container, unless they use up its limits.
    """

    def start(extras: tuple[str, ...]) -> Callable[[Spec, Path], Outcome]:
        def run(spec: Spec, scratch: Path) -> Outcome:
            output = str(scratch / "predictions")
            request = extended(open_request(spec, output), extras)
            if control is not None:
                asked = wall(_strict(spec), output, uid_of(spec.run), bench.seccomp)
                request = with_control(request, asked, control)
            return run_request(request, spec, scratch)

        return run

    limits = small(bench.limits, bench.runtime)
    rows = list(rows)
    tried: list[Tried] = []
    for row in rows:
        opened = replace(bench, start=start(row.needs))
        if row.id in OPEN:
            tried.append(OPEN[row.id](row, opened, control, wall))
        elif row.how != "probe":  # as behind the wall, but for how the container is started
            tried.append(TRIES[row.id](row, opened))
    rows = [row for row in rows if row.id not in OPEN and row.how == "probe"]
    ordered = sorted(rows, key=lambda row: (row.needs, row.alone, row.id if row.alone else ""))
    for (extras, _, _), group in groupby(
        ordered, key=lambda row: (row.needs, row.alone, row.id if row.alone else "")
    ):
        tried += try_together(list(group), bench, limits, start(extras))
    return tried


def _strict(spec: Spec) -> Spec:
    """The runtime as the product names it: in the open another entry stands for it."""
    return replace(spec, runtime=spec.runtime.removesuffix("-open"))


def run_request(request: dict[str, Any], spec: Spec, scratch: Path) -> Outcome:
    """Create, start, wait and remove, with none of the steps that guard a run."""
    client = sandbox.connect()
    output = scratch / "predictions"
    output.write_bytes(b"")
    output.chmod(0o666)
    container = client.create_container_from_config(request)["Id"]
    try:
        client.start(container)
        with contextlib.suppress(requests.exceptions.RequestException):  # still running: killed
            client.wait(container, timeout=int(spec.limits.seconds))
        client.kill(container) if client.inspect_container(container)["State"]["Running"] else None
        return Outcome(Status.OK, output.read_bytes()[: spec.output_size + 1], 0, 0.0)
    finally:
        client.remove_container(container, force=True, v=True)
        output.unlink()

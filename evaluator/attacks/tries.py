"""Try any row behind the wall: by the probe image, or by the function that the row has here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.attacks import (
    cross_tries,
    frames_tries,
    image_tries,
    kept_tries,
    limits_tries,
    model_tries,
    network_tries,
    output_tries,
    side_tries,
    training_tries,
)
from evaluator.attacks.probing import Tried, try_probes
from evaluator.attacks.training_tries import TOGETHER, try_training

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

TRIES = (
    network_tries.TRIES
    | limits_tries.TRIES
    | cross_tries.TRIES
    | image_tries.TRIES
    | model_tries.TRIES
    | output_tries.TRIES
    | side_tries.TRIES
    | training_tries.TRIES
    | kept_tries.TRIES
    | frames_tries.TRIES
)


def try_all(rows: Iterable[Attack], bench: Bench) -> Iterator[Tried]:
    """Try every row behind the wall, the cheap ones together first; "-" is not tried at all."""
    rows = list(rows)
    yield from (Tried(row, "-") for row in rows if row.expected(bench.runtime).wall == "-")
    rows = [row for row in rows if row.expected(bench.runtime).wall != "-"]
    yield from try_probes([row for row in rows if row.how == "probe"], bench)
    yield from try_training([row for row in rows if row.how in TOGETHER], bench)
    for row in rows:
        if row.how not in {"probe", *TOGETHER}:
            yield TRIES[row.id](row, bench)

"""Tries of the rows about an end: the deadline, a flood of output, a crash, a failed start."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import sandbox
from evaluator.attacks.forged_images import with_settings
from evaluator.attacks.probing import Tried, small, started, try_together
from evaluator.attacks.stand_in import admitted, stand_in_job
from evaluator.errors import Refused
from sandbox import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench
    from sandbox import Outcome, Spec

DEADLINE = 4.0  # seconds that a program gets which will not end
_GRACE = 20.0  # more, until it must be gone whatever it does


def deadline(row: Attack, bench: Bench) -> Tried:
    """Stopped when the deadline ends it, and nothing of it is left."""
    return _ended(row, bench, Status.TIMEOUT)


def hang(row: Attack, bench: Bench) -> Tried:
    """Stopped when the run ends by itself although nobody reads what it prints."""
    return _ended(row, bench, Status.OK)


def _ended(row: Attack, bench: Bench, status: Status) -> Tried:
    seen: list[bool] = []

    def start(spec: Spec, scratch: Path) -> Outcome:
        began = time.monotonic()
        ended = started(bench)(spec, scratch)
        late = time.monotonic() - began > spec.limits.seconds + _GRACE
        left = sandbox.connect().containers(all=True, filters=labelled(spec.run))
        seen.append(ended.status != status or late or bool(left))
        return ended

    seconds = DEADLINE if status is Status.TIMEOUT else 2 * _GRACE
    limits = replace(small(bench.limits, bench.runtime), seconds=seconds)
    try_together([row], bench, limits, start)
    return Tried(row, "succeeds" if seen[0] else "blocked")


def labelled(run: str) -> dict[str, str]:
    """The engine's filter for what belongs to a run."""
    return {"label": f"{sandbox.RUN_LABEL}={run}"}


def crash(row: Attack, bench: Bench) -> Tried:
    """As any probe: the kernel's own word is whether it wrote the memory anywhere."""
    return try_together([row], bench, small(bench.limits, bench.runtime))[0]


def failed_start(row: Attack, bench: Bench) -> Tried:
    """Stopped when an image whose program is not there is refused before any start."""
    image = with_settings(Entrypoint=["/not-there"])
    try:
        with admitted(image, "image", stand_in_job(bench)):
            return Tried(row, "unknown")
    except Refused as refused:
        return Tried(row, "blocked" if refused.rule == "EVA204" else "unknown")


TRIES: dict[str, Callable[[Attack, Bench], Tried]] = {
    "res-wall": deadline,
    "res-close-stdout": deadline,
    "res-stdout-flood-hang": hang,
    "res-core-pipe": crash,
    "res-start-fail-leak": failed_start,
}

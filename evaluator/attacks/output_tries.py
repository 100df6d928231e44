"""Tries of the output rows that need more than a program in the probe image: behind the wall.

Most of them are bytes that a naive reader would trip over: they go to the one reader that we have.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
import time
from typing import TYPE_CHECKING

from evaluator.attacks.probing import Tried
from evaluator.attacks.stand_in import CLASSES, HELD_OUT, evaluated, hasty, stand_in_job
from evaluator.errors import SubmissionError
from evaluator.predictions import read_predictions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

DEADLINE = 3.0
SLIP = "evaluator-slipped"


def tar_slip() -> bytes:
    """A tar whose only member lies outside the folder it is unpacked into."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(f"../{SLIP}"))
    return buffer.getvalue()


BYTES: dict[str, bytes] = {
    "out-long": bytes(HELD_OUT + 1),
    "out-short": bytes(HELD_OUT - 1),
    "out-class-range": bytes([len(CLASSES)]) * HELD_OUT,
    "out-json": json.dumps([0] * HELD_OUT).encode(),
    "out-json-deep": b"[" * 100_000,
    "out-json-bigint": b"9" * 5000,
    "out-json-nan": b"[NaN, Infinity]",
    "out-json-duplicate-keys": b'{"accuracy": 0.1, "accuracy": 1.0}',
    "out-esc": b"\x1b[2J\x1b]0;owned\x07".ljust(HELD_OUT),
    "out-tar-slip": tar_slip(),
}


def try_bytes(attack: Attack, _bench: Bench) -> Tried:
    """Read the bytes as the sandbox hands them over: one more than expected, at most."""
    try:
        read_predictions(BYTES[attack.id][: HELD_OUT + 1], HELD_OUT, len(CLASSES))
    except SubmissionError as refused:
        return Tried(attack, "blocked" if refused.status == "OUTPUT_INVALID" else "unknown")
    return Tried(attack, "succeeds")


def try_slow_drip(attack: Attack, bench: Bench) -> Tried:
    """It is stopped at the deadline, and what it has written by then is read by nobody."""
    job = stand_in_job(bench, hasty(bench.limits, DEADLINE))
    evaluation = evaluated(attack.id, job, bench)
    return Tried(attack, "blocked" if evaluation.status == "TIMEOUT" else "succeeds")


def try_change_after_read(attack: Attack, bench: Bench) -> Tried:
    """Hold the file open from outside: once it has been read, it never changes again."""
    job = stand_in_job(bench)
    held: list[int] = []
    watcher = threading.Thread(target=_hold, args=(job.scratch / "predictions", held))
    watcher.start()
    evaluation = evaluated(attack.id, job, bench)
    watcher.join()
    if evaluation.status != "OK" or not held:
        return Tried(attack, "unknown")
    return Tried(attack, "succeeds" if _changes(held[0]) else "blocked")


def _hold(path: Path, held: list[int]) -> None:
    """Open the file as soon as the sandbox has made it."""
    deadline = time.monotonic() + DEADLINE
    while not held and time.monotonic() < deadline:
        time.sleep(0.01)
        if path.exists():
            held.append(os.open(path, os.O_RDONLY))


def _changes(descriptor: int) -> bool:
    """Whether anybody still writes to it; closes it."""
    try:
        seen = set()
        for _ in range(6):
            seen.add(os.pread(descriptor, HELD_OUT, 0))
            time.sleep(0.1)
        return len(seen) > 1
    finally:
        os.close(descriptor)


TRIES: dict[str, Callable[[Attack, Bench], Tried]] = {
    **dict.fromkeys(BYTES, try_bytes),
    "out-slow-drip": try_slow_drip,
    "out-change-after-read": try_change_after_read,
}

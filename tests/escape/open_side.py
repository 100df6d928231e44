"""The side rows in the open: what an evaluator tells that publishes whatever it has measured."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from containers import ended, made, request_of, spec_of

import sandbox
from evaluator.attacks.probing import Tried
from evaluator.attacks.side_tries import (
    ONE_MORE,
    RUNS,
    TRIES,
    message,
    runs_within,
    same_result,
    scored,
)
from evaluator.attacks.stand_in import HELD_OUT, published, stand_in_job
from evaluator.evaluate import Phase
from evaluator.leakage import release_time
from evaluator.scoring import Counts
from sandbox import Mount, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from trials import OpenTry, Wall

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

SEEDS = 2**12  # the messages that the vendor of `side-predictions-hash` chooses from


@dataclass(frozen=True)
class Measured:
    """What can be measured of a run: its status, its duration in seconds, what it printed."""

    code: int
    seconds: float
    printed: str


def measured(row: Attack, bench: Bench, control: str | None, wall: Wall) -> Measured:
    """Run an act of the probe on the stand-in tiles, with nothing between it and the engine."""
    holdout = stand_in_job(bench).dataset.holdout
    mounts = (
        Mount(holdout.manifest, "/input/manifest.json"),
        Mount(holdout.tiles, "/input/tiles.npy"),
    )
    output = bench.scratch / "measured"
    output.touch()
    request = request_of(spec_of(bench.probe, row.id, bench, mounts), output, bench, control, wall)
    request["HostConfig"]["LogConfig"] = {"Type": "json-file"}
    with made(request) as container:
        started = time.monotonic()
        code = ended(container, 20)
        seconds = time.monotonic() - started
        assert code is not None
        printed = sandbox.connect().logs(container).decode()
    return Measured(code, seconds, printed)


def telling(heard: Callable[[Measured, int], bool]) -> OpenTry:
    """A try that succeeds where the vendor hears the message in what was measured.

    Behind its control the same run, made in the open, has the result that any other would have.
    """

    def try_it(row: Attack, bench: Bench, control: str | None, wall: Wall) -> Tried:
        status = Status.NONZERO_EXIT
        seen = measured(row, bench, control, wall)
        assert heard(seen, message(bench)), "the program has not said anything"
        if control is None:
            return Tried(row, "succeeds")
        outcome = Outcome(status, b"", seen.code, seen.seconds)
        longer = Outcome(status, b"", seen.code + 1, seen.seconds + 60)
        one, other = (Phase(status, outcomes=(each,)) for each in (outcome, longer))
        told = seen.printed.strip() and seen.printed in str(published(one, bench))
        return Tried(row, "succeeds" if told or not same_result(one, other, bench) else "blocked")

    return try_it


def exactly(told: Callable[[Attack, Bench], bool]) -> OpenTry:
    """A try in which exact figures tell it; behind the control, those of the signed result."""

    def try_it(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
        if control is not None:
            return TRIES[row.id](row, bench)
        return Tried(row, "succeeds" if told(row, bench) else "blocked")

    return try_it


def digits(row: Attack, _bench: Bench) -> bool:
    """One tile more or less shows in exact counts."""
    one, other = ONE_MORE[row.id]
    return one.class_correct != other.class_correct


def confusion(_row: Attack, bench: Bench) -> bool:
    """A table of what was taken for what shows which wrong class was named."""
    one, other = (scored(bench, wrong).counts for wrong in ({0: 1, 1: 2}, {0: 2, 1: 0}))
    assert isinstance(one, Counts)
    assert isinstance(other, Counts)
    return one.confusion != other.confusion and one.class_correct == other.class_correct


def brute_force(_row: Attack, _bench: Bench) -> bool:
    """From the digest of the predictions the vendor finds which of 4,096 messages was sent."""

    def digest(seed: int) -> str:
        return hashlib.sha256(np.random.default_rng(seed).bytes(HELD_OUT)).hexdigest()

    sent = secrets.randbelow(SEEDS)
    published = digest(sent)
    return [seed for seed in range(SEEDS) if digest(seed) == published] == [sent]


def moments(_row: Attack, _bench: Bench) -> bool:
    """Results that leave in the second in which their run ends tell two runs apart."""
    return release_time(86_400, 1) != release_time(86_401, 1)


def lengths(_row: Attack, _bench: Bench) -> bool:
    """The words of an array library say how many bytes there were."""
    said = set()
    for size in (5, 7):
        try:
            np.frombuffer(bytes(size), np.uint8).reshape(HELD_OUT)
        except ValueError as error:
            said.add(str(error))
    return len(said) == 2


def ends(_row: Attack, _bench: Bench) -> bool:
    """A host that publishes exit statuses and times says which of two trainings it was."""
    one, other = (
        Outcome(Status.NONZERO_EXIT, b"", code, seconds) for code, seconds in ((3, 1.0), (99, 60.0))
    )
    return (one.exit_code, one.seconds) != (other.exit_code, other.seconds)


def without_budget(_row: Attack, bench: Bench) -> bool:
    """With bits enough for all of them, every run starts."""
    return runs_within(10**6, bench) == RUNS


OPEN: dict[str, OpenTry] = {
    "side-exit-code": telling(lambda seen, said: seen.code == said),
    "side-duration": telling(lambda seen, said: seen.seconds > 1 + said.bit_count() / 10),
    "side-stderr": telling(lambda seen, said: f"tile {said}" in seen.printed),
    "side-confusion": exactly(confusion),
    "side-predictions-hash": exactly(brute_force),
    "side-accuracy-digits": exactly(digits),
    "side-per-class-digits": exactly(digits),
    "side-release-time": exactly(moments),
    "side-output-length": exactly(lengths),
    "side-training-end": exactly(ends),
    "side-many-runs": exactly(without_budget),
}

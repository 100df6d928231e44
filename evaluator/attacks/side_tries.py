"""Tries of the side rows that need more than a program in the probe image: behind the wall.

A channel is closed where two runs that say different things through it have the same result.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.attacks.probing import Tried
from evaluator.attacks.stand_in import (
    CLASSES,
    HELD_OUT,
    VENDOR,
    evaluated,
    published,
    stand_in_job,
)
from evaluator.dataset.labels import read_labels
from evaluator.errors import OwnerError, SubmissionError
from evaluator.evaluate import Phase
from evaluator.leakage import release_time
from evaluator.ledger import Vendor, open_ledger
from evaluator.predictions import read_predictions
from evaluator.scoring import Counts, Grid, count, publish
from sandbox import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

_NOT_THE_SUBMISSIONS = {"run", "release", "leakage_bits"}
DAY = 86_400
RUNS = 20


def same_result(one: Phase, other: Phase, bench: Bench) -> bool:
    """Whether their signed results differ in nothing but the run's name and what was spent."""
    return _said(published(one, bench)) == _said(published(other, bench))


def same_tuned(one: Phase, other: Phase, bench: Bench) -> bool:
    """The same of two phases that follow a training, after the same baseline."""
    baseline = scored(bench, {})
    first, second = (published(baseline, bench, each) for each in (one, other))
    return _said(first) == _said(second)


def _said(predicate: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in predicate.items() if key not in _NOT_THE_SUBMISSIONS}


def message(bench: Bench) -> int:
    """What the acts of the probe want to say: see images/probe/output.py."""
    return 1 + stand_in_job(bench).dataset.holdout.tiles.read_bytes()[-1] % 100


def try_exit_code(attack: Attack, bench: Bench) -> Tried:
    """Any other exit status but 0 would have had the same result."""
    evaluation = evaluated(attack.id, stand_in_job(bench), bench)
    outcome = evaluation.outcomes[-1]
    if outcome.exit_code != message(bench):
        return Tried(attack, "unknown")
    other = replace(evaluation, outcomes=(replace(outcome, exit_code=outcome.exit_code + 1),))
    return _closed(attack, closed=same_result(evaluation, other, bench))


def try_duration(attack: Attack, bench: Bench) -> Tried:
    """A run that took a minute longer would have had the same result."""
    evaluation = evaluated(attack.id, stand_in_job(bench), bench)
    outcome = evaluation.outcomes[-1]
    if outcome.seconds < 1:
        return Tried(attack, "unknown")
    other = replace(evaluation, outcomes=(replace(outcome, seconds=outcome.seconds + 60),))
    return _closed(attack, closed=same_result(evaluation, other, bench))


def try_stderr(attack: Attack, bench: Bench) -> Tried:
    """What it printed stands neither in the result nor in the message that goes with it."""
    evaluation = evaluated(attack.id, stand_in_job(bench), bench)
    if evaluation.status != "NONZERO_EXIT":
        return Tried(attack, "unknown")
    said = f"tile {message(bench)}"
    document = json.dumps(published(evaluation, bench))
    return _closed(attack, closed=said not in document + evaluation.message)


def scored(bench: Bench, wrong: dict[int, int]) -> Phase:
    """An evaluation in which the first tile of each class in `wrong` gets that other class."""
    dataset = stand_in_job(bench).dataset
    labels = read_labels(dataset.holdout, len(CLASSES))
    predictions = labels.copy()
    for label, prediction in wrong.items():
        predictions[np.flatnonzero(labels == label)[0]] = prediction
    return Phase("OK", count(labels, predictions, dataset.classes, dataset.rare))


def try_confusion(attack: Attack, bench: Bench) -> Tried:
    """Which wrong class was named, and for which tile, makes no difference."""
    one, other = scored(bench, {0: 1, 1: 2}), scored(bench, {0: 2, 1: 0})
    return _closed(attack, closed=same_result(one, other, bench))


def large(right: tuple[int, int, int]) -> Counts:
    """Counts of 10,000 tiles: of each class so many were right."""
    sizes = (4000, 3000, 3000)
    rows = [
        [size - good if column == (row + 1) % 3 else good * (column == row) for column in range(3)]
        for row, (size, good) in enumerate(zip(sizes, right, strict=True))
    ]
    return Counts(CLASSES, CLASSES[2:], tuple(map(tuple, rows)))


ONE_MORE = {
    # A message in the last digits: of the accuracy, and of single classes at equal accuracy.
    "side-accuracy-digits": (large((3800, 2800, 2700)), large((3801, 2800, 2700))),
    "side-per-class-digits": (large((3800, 2800, 2700)), large((3801, 2799, 2700))),
}


def try_digits(attack: Attack, _bench: Bench) -> Tried:
    """One tile more or less is lost in the rounding."""
    one, other = (publish(counts, Grid()) for counts in ONE_MORE[attack.id])
    return _closed(attack, closed=one == other)


def try_coarse(attack: Attack, bench: Bench) -> Tried:
    """A tenth of all tiles more or less is not: these bits leave, and are counted."""
    one, other = scored(bench, {}), scored(bench, {0: 1, 1: 2, 2: 0})
    return _closed(attack, closed=same_result(one, other, bench))


def try_training_figures(attack: Attack, bench: Bench) -> Tried:
    """What `train` has seen can be said by the figures of the phase after it: counted as well."""
    one, other = scored(bench, {}), scored(bench, {0: 1, 1: 2, 2: 0})
    return _closed(attack, closed=same_tuned(one, other, bench))


def try_training_end(attack: Attack, bench: Bench) -> Tried:
    """How long a training took, and by which exit status it failed, is not in the result."""
    one, other = (
        Phase("NONZERO_EXIT", outcomes=(Outcome(Status.NONZERO_EXIT, b"", code, seconds),))
        for code, seconds in ((3, 1.0), (99, 60.0))
    )
    return _closed(attack, closed=same_tuned(one, other, bench))


def try_status(attack: Attack, bench: Bench) -> Tried:
    """Whether it fails, and how, is for it to choose: counted too."""
    one, other = Phase("NONZERO_EXIT"), Phase("OUTPUT_MISSING")
    return _closed(attack, closed=same_result(one, other, bench))


def try_release_time(attack: Attack, _bench: Bench) -> Tried:
    """Runs that end at any two moments of a day are released at the same one."""
    midnight = 20_000 * DAY
    moments = {release_time(midnight + moment, DAY) for moment in (0, 3600, DAY / 2, DAY - 1)}
    return _closed(attack, closed=len(moments) == 1)


def try_output_length(attack: Attack, _bench: Bench) -> Tried:
    """However many bytes it writes, one too many or any too few: the words are the same."""
    said = set()
    for raw in (bytes(5), bytes(7), bytes(HELD_OUT + 1)):
        try:
            read_predictions(raw, HELD_OUT, len(CLASSES))
        except SubmissionError as refused:
            said.add((refused.status, str(refused)))
    return _closed(attack, closed=len(said) == 1)


def runs_within(budget: int, bench: Bench) -> int:
    """How many of RUNS runs of 30 bits each may start under a budget of bits."""
    path, runs = bench.scratch / f"{secrets.token_hex(4)}.sqlite", 0
    with open_ledger(path) as ledger, suppress(OwnerError):
        ledger.add_vendor(Vendor(VENDOR))
        for _ in range(RUNS):
            run = secrets.token_hex(8)
            ledger.start(run, None, VENDOR, 1, bits=30.0, bit_budget=budget)
            ledger.settle(run, 30.0, ("OK", None), (0, 0), 0)
            ledger.release(run)
            runs += 1
    return runs


def try_many_runs(attack: Attack, bench: Bench) -> Tried:
    """A run whose bits would pass the budget is refused before it starts: here the fourth."""
    return _closed(attack, closed=runs_within(100, bench) == 3)


def _closed(attack: Attack, *, closed: bool) -> Tried:
    return Tried(attack, "blocked" if closed else "succeeds")


TRIES: dict[str, Callable[[Attack, Bench], Tried]] = {
    "side-exit-code": try_exit_code,
    "side-duration": try_duration,
    "side-stderr": try_stderr,
    "side-confusion": try_confusion,
    "side-predictions-hash": try_confusion,
    "side-accuracy-digits": try_digits,
    "side-per-class-digits": try_digits,
    "side-accuracy": try_coarse,
    "side-training-figures": try_training_figures,
    "side-training-end": try_training_end,
    "side-status": try_status,
    "side-release-time": try_release_time,
    "side-output-length": try_output_length,
    "side-many-runs": try_many_runs,
}

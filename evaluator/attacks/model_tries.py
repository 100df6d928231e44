"""Tries of the model rows: hostile ONNX files at the product's own door."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evaluator.attacks.forged_models import FORGED_MODELS, expected
from evaluator.attacks.probing import Tried
from evaluator.attacks.stand_in import admitted, hasty, stand_in_job
from evaluator.errors import Refused, SubmissionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench
    from sandbox import Limits

SECONDS = {"runc": 3.0, "runsc": 6.0}  # gVisor takes some to load onnxruntime at all
_MIB = 2**20


def _modest(limits: Limits) -> Limits:
    """Memory that a model can use up in seconds, whatever a run has."""
    return replace(limits, memory=512 * _MIB, tmp=64 * _MIB, shm=64 * _MIB)


def try_model(attack: Attack, bench: Bench) -> Tried:
    """Have our runner check the model behind the wall, and see why it is not let in."""
    endless = expected[attack.id] == "TIMEOUT"
    limits = _modest(bench.limits)
    limits = hasty(limits, SECONDS[bench.runtime]) if endless else limits
    try:
        with admitted(FORGED_MODELS[attack.id](), "onnx", stand_in_job(bench, limits)):
            return Tried(attack, "succeeds")
    except SubmissionError as failure:
        why = failure.rule if isinstance(failure, Refused) else failure.status
        return Tried(attack, "blocked" if why == expected[attack.id] else "unknown")


TRIES: dict[str, Callable[[Attack, Bench], Tried]] = dict.fromkeys(FORGED_MODELS, try_model)

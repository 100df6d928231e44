"""What our trainer found of an ONNX file, as numbers, and the sentence each becomes.

As in `onnx_check`, the file is parsed inside the sandbox, in a container that sees no tile; what
comes back are numbers, and names of operators are read from a list of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from evaluator.errors import Refused
from evaluator.onnx_check import RECORD
from evaluator.petaflops import OPERATIONS, petaflops
from evaluator.workspace import shipped

if TYPE_CHECKING:
    from evaluator.compute import Compute

_OTHER, _NO_GPU = 6, 7
# What to do, by rule: a message ends with it, and so does the rule's page.
REMEDIES = {
    "EVA330": (
        "Export without it, submit a container that trains itself, or ask for the baseline alone "
        "(--phase baseline)."
    ),
    "EVA331": "Export in float32, with a newer exporter.",
    "EVA333": "Export it without its last ArgMax.",
    "EVA334": 'Ask for mode "full".',
    "EVA402": "Ask for fewer epochs, or for the head alone.",
}
_UNKNOWN_OPERATOR = "its operator {operator} (node {node}) cannot be trained here."
_DIFFERS = (
    "our trainer computes something else than onnxruntime does, so what it learns would not hold."
)
_NO_SCORES = (
    "its output is no scores (N, K) in floats, or numbers (N, 1) for a regression, so there is no "
    "gradient."
)
# By the first number of the record (images/trainer/verdicts.py).
_RULES = {
    1: ("EVA330", _UNKNOWN_OPERATOR),
    2: ("EVA331", _DIFFERS),
    3: ("EVA332", "it has no float weights to train, or its recipe freezes all of them."),
    4: ("EVA333", _NO_SCORES),
    5: ("EVA334", 'it ends in no linear layer, which mode "head" trains.'),
    _OTHER: ("EVA335", "our trainer cannot load it or train it on one batch of zeros."),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """The trainer's record, unpacked; seconds are estimates for the whole training.

    `code` 0 means that it can be trained; `operator` is a place in images/trainer/operators.txt.
    """

    code: int
    operator: int
    node: int
    seconds: float
    cpu_seconds: float
    gpu_seconds: float
    cuda: bool


def read_plan(raw: bytes) -> Plan:
    """Unpack the record of the trainer's `check`; any other bytes mean that it went wrong."""
    if len(raw) != RECORD.size:
        return Plan(_OTHER, -1, 0, 0.0, 0.0, 0.0, cuda=False)
    values = [max(-1, value) for value in RECORD.unpack(raw)]
    if values[0] == _NO_GPU:  # no fault of the model's: the caller asks for the GPU
        return Plan(0, -1, 0, 0.0, 0.0, 0.0, cuda=False)
    code = values[0] if values[0] in {0, *_RULES} else _OTHER
    wall, cpu, gpu = (max(0, nanoseconds) / 1e9 for nanoseconds in values[6:9])
    return Plan(code, values[1], max(0, values[2]), wall, cpu, gpu, cuda=values[9] == 1)


def require_trainable(plan: Plan, compute: Compute) -> None:
    """Raise Refused where it cannot be trained, or not within what is left of the budget."""
    if plan.code:
        rule, sentence = _RULES[plan.code]
        said = sentence.format(operator=_operator(plan.operator), node=plan.node)
        raise Refused(rule, " ".join(filter(None, (said, REMEDIES.get(rule)))))
    operations = plan.cpu_seconds * compute.cpu + plan.gpu_seconds * compute.gpu
    if not compute.fits(operations):
        raise Refused(
            "EVA402",
            f"training it would take about {petaflops(operations / OPERATIONS):.4g} PF (about "
            f"{plan.seconds:.0f} s here) and {petaflops(compute.left):.4g} PF are left of the "
            f"compute budget. {REMEDIES['EVA402']}",
        )


@cache
def _operators() -> tuple[str, ...]:
    """The names of operators that a message may say."""
    return tuple((shipped("images") / "trainer" / "operators.txt").read_text().splitlines())


def _operator(place: int) -> str:
    names = _operators()
    return names[place] if 0 <= place < len(names) else "of an unknown name"

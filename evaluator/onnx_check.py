"""What our runner found in an ONNX file, as numbers, and the sentence each becomes.

The file is parsed inside the sandbox, by a container that sees no tile. What comes
back is a fixed record, so that nothing a model says reaches a message.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.errors import Refused

if TYPE_CHECKING:
    from evaluator.admission_policy import OnnxRules

RECORD = struct.Struct("<24q")

_ELEMENTS = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}


# What of the policy our runner reads as /input/admission.json; the size is judged here.
_HERE = {"bytes"}
_WHOLE = "Export it again, and check it with onnx.checker."
# What to do, by rule: a message ends with it, and so does the rule's page.
REMEDIES = {
    "EVA302": "Export it again.",
    "EVA303": "Save the model as one: torch.onnx.export(..., external_data=False).",
    "EVA304": "Export with operators of ai.onnx and ai.onnx.ml, and an older opset.",
    "EVA310": "Export it with one of these (torch.onnx.export(..., opset_version=...)).",
    "EVA311": "Export with known operators.",
    "EVA312": "Submit the model from before it was compiled.",
    "EVA313": "Inline its functions (onnx.inliner.inline_local_functions).",
    "EVA314": "Fold constants and unroll no loops when exporting.",
    "EVA315": "Merge them, or fold constants when exporting.",
    "EVA316": _WHOLE,
    "EVA317": _WHOLE,
    "EVA318": "Export with fewer branches inside branches.",
    "EVA319": "Submit the .onnx file it came from.",
    "EVA320": "Save tensors as raw_data (onnx.numpy_helper.from_array).",
}
# The rules of the policy's [onnx]; a place is the number of a byte of the file.
_LIMITS = {
    "EVA310": (
        "it imports version {found} of the standard operators (byte {at}); versions "
        "{policy.opset_min} to {policy.opset_max} run here."
    ),
    "EVA311": (
        "at byte {at} it uses operators that are neither known here ({sets}) nor defined in the "
        "file: their code would come from outside."
    ),
    "EVA312": (
        "the node at byte {at} is of a refused kind: its operator reads other files, or engines "
        "compiled for one device."
    ),
    "EVA313": (
        "the function at byte {at} calls itself, directly or through others, so the model never "
        "ends."
    ),
    "EVA314": (
        "at byte {at} it passes {policy.nodes} nodes, those of subgraphs and of every use of a "
        "function counted."
    ),
    "EVA315": (
        "the graph at byte {at} passes {policy.initializers} initializers, those of other graphs "
        "counted."
    ),
    "EVA316": (
        "the tensor at byte {at} has a dimension of {found}; the largest allowed is "
        "{policy.dimension}, and none is negative."
    ),
    "EVA317": (
        "the tensor at byte {at} declares {found} bytes and holds fewer, so memory would be taken "
        "for nothing."
    ),
    "EVA318": "the message at byte {at} lies {found} levels deep; onnxruntime reads 100.",
    "EVA319": "it is a file in onnxruntime's own format.",
    "EVA320": "at byte {at} it passes 2,000,000 fields, ten times what large models have.",
}


@dataclass(frozen=True, slots=True)
class Signature:
    """Element type and shape of one input or output; -1 is a free dimension."""

    element: int
    shape: tuple[int, ...]

    @property
    def element_name(self) -> str:
        """float32, say."""
        return _ELEMENTS.get(self.element, "another type")

    def __str__(self) -> str:
        """As a vendor would write it: float32 (N, 3, 64, 64)."""
        sizes = ", ".join("N" if size < 0 else str(size) for size in self.shape)
        return f"{self.element_name} ({sizes})"


@dataclass(frozen=True, slots=True)
class Check:
    """The runner's record, unpacked."""

    code: int
    inputs: int
    outputs: int
    input: Signature
    output: Signature
    cuda: bool
    found: int  # what was counted, for a limit that is passed
    at: int  # the byte of the file where


def limits_file(rules: OnnxRules) -> str:
    """The text of /input/admission.json."""
    return rules.model_dump_json(exclude=_HERE)


def read_check(raw: bytes) -> Check:
    """Unpack the record of `check`; any other bytes mean that loading went wrong."""
    if len(raw) != RECORD.size:
        return Check(8, 0, 0, Signature(0, ()), Signature(0, ()), cuda=False, found=0, at=0)
    values = RECORD.unpack(raw)
    return Check(
        code=values[0],
        inputs=values[1],
        outputs=values[2],
        input=Signature(values[3], values[5 : 5 + _rank(values[4], 8)]),
        output=Signature(values[13], values[15 : 15 + _rank(values[14], 4)]),
        cuda=values[19] == 1,
        found=max(0, values[20]),
        at=max(0, values[21]),
    )


def _rank(value: int, most: int) -> int:
    return max(0, min(value, most))


def require_accepted(
    check: Check, tile: tuple[int, ...], dtype: str, classes: int | None, rules: OnnxRules
) -> None:
    """Raise Refused with what was found and what is expected, unless the model fits.

    `tile` is the shape of one tile, (H, W) or (H, W, C), and `classes` None where a number is
    predicted for each.
    """
    if check.code == 0:
        return
    rule = f"EVA{301 + check.code}"
    sentences = _limits(check, rules) | _signatures(check, tile, dtype, classes)
    if rule not in sentences:
        rule = "EVA309"
    raise Refused(rule, sentences[rule])


def _limits(check: Check, rules: OnnxRules) -> dict[str, str]:
    sets = ", ".join(sorted({domain or "ai.onnx" for domain in rules.domains}))
    values = {"found": check.found, "at": check.at, "policy": rules, "sets": sets}
    return {rule: f"{said.format(**values)} {REMEDIES[rule]}" for rule, said in _LIMITS.items()}


def _signatures(
    check: Check, tile: tuple[int, ...], dtype: str, classes: int | None
) -> dict[str, str]:
    height, width, bands = (*tile, 1)[:3]
    also = " or uint16" if dtype == "uint16" else ""
    flat = f" or (N, {height}, {width})" if bands == 1 else ""
    shapes = f"(N, {bands}, {height}, {width}) or (N, {height}, {width}, {bands}){flat}"
    found = f"{_count(check.inputs)} inputs and {_count(check.outputs)} outputs"
    outputs = (
        "numbers (N, 1) or (N) in floats"
        if classes is None
        else f"logits or probabilities (N, {classes}) in floats, or class indices (N) in integers"
    )
    return {
        "EVA302": f"the file is not an ONNX model, or it is cut short. {REMEDIES['EVA302']}",
        "EVA303": f"the weights lie in a second file. {REMEDIES['EVA303']}",
        "EVA304": f"onnxruntime does not know an operator or the opset. {REMEDIES['EVA304']}",
        "EVA305": f"found {found}; expected one input and one output.",
        "EVA306": f"the input is {check.input}; expected uint8, float32{also} of {shapes}.",
        "EVA307": f"the output is {check.output}; expected {outputs}.",
        "EVA308": "an evaluator.* entry of its metadata cannot be used; see CONTRACT.md.",
        "EVA309": "onnxruntime cannot load the model or run it on one batch of zeros.",
    }


def _count(value: int) -> int:
    return max(0, min(value, 9999))

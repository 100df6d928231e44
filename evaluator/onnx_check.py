"""What our runner found in an ONNX file, as numbers, and the sentence each becomes.

The file is parsed inside the sandbox, by a container that sees no tile. What comes
back is a fixed record, so that nothing a model says reaches a message.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from evaluator.errors import Refused

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


_ONE_FILE = "Save the model as one: torch.onnx.export(..., external_data=False)."
_STANDARD = "Export with operators of ai.onnx and ai.onnx.ml, and an older opset."


@dataclass(frozen=True, slots=True)
class Signature:
    """Element type and shape of one input or output; -1 is a free dimension."""

    element: int
    shape: tuple[int, ...]

    def __str__(self) -> str:
        """As a vendor would write it: float32 (N, 3, 64, 64)."""
        sizes = ", ".join("N" if size < 0 else str(size) for size in self.shape)
        return f"{_ELEMENTS.get(self.element, 'another type')} ({sizes})"


@dataclass(frozen=True, slots=True)
class Check:
    """The runner's record, unpacked."""

    code: int
    inputs: int
    outputs: int
    input: Signature
    output: Signature
    cuda: bool


def read_check(raw: bytes) -> Check:
    """Unpack the record of `check`; any other bytes mean that loading went wrong."""
    if len(raw) != RECORD.size:
        return Check(8, 0, 0, Signature(0, ()), Signature(0, ()), cuda=False)
    values = RECORD.unpack(raw)
    return Check(
        code=values[0],
        inputs=values[1],
        outputs=values[2],
        input=Signature(values[3], values[5 : 5 + _rank(values[4], 8)]),
        output=Signature(values[13], values[15 : 15 + _rank(values[14], 4)]),
        cuda=values[19] == 1,
    )


def _rank(value: int, most: int) -> int:
    return max(0, min(value, most))


def require_accepted(check: Check, tile: tuple[int, ...], dtype: str, classes: int) -> None:
    """Raise Refused with what was found and what is expected, unless the model fits.

    `tile` is the shape of one tile, (H, W) or (H, W, C).
    """
    if check.code == 0:
        return
    height, width, bands = (*tile, 1)[:3]
    also = " or uint16" if dtype == "uint16" else ""
    flat = f" or (N, {height}, {width})" if bands == 1 else ""
    shapes = f"(N, {bands}, {height}, {width}) or (N, {height}, {width}, {bands}){flat}"
    found = f"{_count(check.inputs)} inputs and {_count(check.outputs)} outputs"
    outputs = f"logits or probabilities (N, {classes}) in floats, or class indices (N) in integers"
    rules = {
        1: ("EVA302", "the file is not an ONNX model, or it is cut short. Export it again."),
        2: ("EVA303", f"the weights lie in a second file. {_ONE_FILE}"),
        3: ("EVA304", f"onnxruntime does not know an operator or the opset. {_STANDARD}"),
        4: ("EVA305", f"found {found}; expected one input and one output."),
        5: ("EVA306", f"the input is {check.input}; expected uint8, float32{also} of {shapes}."),
        6: ("EVA307", f"the output is {check.output}; expected {outputs}."),
        7: ("EVA308", "an evaluator.* entry of its metadata cannot be used; see CONTRACT.md."),
    }
    other = ("EVA309", "onnxruntime cannot load the model or run it on one batch of zeros.")
    raise Refused(*rules.get(check.code, other))


def _count(value: int) -> int:
    return max(0, min(value, 9999))

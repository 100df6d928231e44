"""The operators that can be trained through: a registry, and what all of them share.

An operator is a function of a node and of its inputs as torch tensors, None for one that is left
out. Shapes, axes and indices are integers on the CPU, whatever the device of the images.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Operator = Callable[..., Tensor | tuple[Tensor | None, ...]]
KNOWN: dict[tuple[str, str], Operator] = {}  # (domain, name)
ML, MICROSOFT = "ai.onnx.ml", "com.microsoft"


class UnsupportedError(Exception):
    """A known operator with an attribute, a type or a shape that is not done here."""


@dataclass(frozen=True, slots=True)
class Node:
    """One call of an operator; `version` is that of its operator set."""

    index: int
    domain: str
    name: str
    version: int
    inputs: tuple[str, ...]  # "" where left out
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)  # graphs as lists of nodes

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - any ONNX attribute
        """An attribute, or its default."""
        return self.attributes.get(name, default)


def operator(*names: str, domain: str = "") -> Callable[[Operator], Operator]:
    """Enter a function under the names of the operators it computes."""

    def enter(function: Operator) -> Operator:
        KNOWN.update({(domain, name): function for name in names})
        return function

    return enter


def ints(tensor: Tensor) -> list[int]:
    """A vector of shapes, axes or indices as Python's numbers; a scalar is a vector of one."""
    return [int(number) for number in tensor.reshape(-1).tolist()]


def together(*tensors: Tensor | None) -> list[Any]:
    """The tensors on one device: on the GPU as soon as one of them is there."""
    there = next((t.device for t in tensors if t is not None and t.is_cuda), None)
    if there is None:
        return list(tensors)
    return [t if t is None else t.to(there) for t in tensors]


def positive(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    return axis + rank if axis < 0 else axis


def given_axes(node: Node, axes: Tensor | None) -> list[int] | None:
    """The axes of a node: an attribute in older versions, an input in newer ones."""
    if axes is not None:
        return ints(axes)
    listed: list[int] | None = node.get("axes")
    return listed


def spread(vector: Tensor, rank: int, axis: int = 1) -> Tensor:
    """A vector (C,) as it broadcasts along `axis` of a tensor of that rank."""
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)


DTYPES = {  # TensorProto.DataType
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    4: torch.uint16,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    12: torch.uint32,
    13: torch.uint64,
    16: torch.bfloat16,
}


def dtype_of(element: int) -> torch.dtype:
    """The torch type of an ONNX element type."""
    if element not in DTYPES:
        raise UnsupportedError(f"element type {element}")
    return DTYPES[element]

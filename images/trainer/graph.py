"""A vendor's ONNX graph as this program sees it: nodes in order, constants, and trainable weights.

What is a weight? The file does not say: parameters, buffers and numbers of the exporter are all
tensors in it. Here a weight is a float32 or float64 tensor of more than one number that stands in
one of the places in WEIGHT_PLACES, directly or through operators that only move it (MOVERS). So a
kernel, a bias, a scale, an embedding or a class token is trained; running statistics, bounds of a
Clip, exponents, factors of a Resize, divisors, epsilons and other scalars are not. A table that
is added and reaches -50 or below is an attention mask, and stays as it is. What this program puts
into a last layer is a weight, a single bias too. A tensor in several
places is one weight. A weight whose nodes do not lead to the output is none.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, TensorProto, numpy_helper

MOVERS = {
    "Cast",
    "Concat",
    "Expand",
    "Flatten",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
}
PAIR = (0, 1)
WEIGHT_PLACES: dict[str, tuple[int, ...]] = {  # operator -> its inputs that can be weights
    "Add": PAIR,
    "BatchNormalization": (1, 2),
    "BiasGelu": (1,),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Einsum": PAIR,
    "FastGelu": (1,),
    "FusedConv": (1, 2),
    "FusedGemm": (0, 1, 2),
    "FusedMatMul": PAIR,
    "Gather": (0,),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "MatMul": PAIR,
    "Mul": PAIR,
    "PRelu": (1,),
    "RMSNormalization": (1,),
    "SkipLayerNormalization": (2, 3, 4),
    "Sub": (0,),  # a shift of batch normalisation, as TensorFlow folds it
    "Sum": (0, 1, 2, 3),
}
SCALARS_TOO = {"Gemm", "Conv", "PRelu", "FusedGemm", "FusedConv"}  # a bias of one class, a slope
LAYERS = {"Conv", "ConvTranspose", "Einsum", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm"}
LAYERS |= {"Gather", "MatMul"}  # each begins a layer; what follows it belongs to it
MASK = -50.0
FRESH = "evaluator_head_"  # begins the names of tensors that head.py puts in
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE}


@dataclass(frozen=True, slots=True)
class Graph:
    """The model, which is changed in place, and views of it."""

    model: onnx.ModelProto  # without functions of its own: they are written out
    nodes: list[NodeProto]  # those that the output needs, in order
    tensors: dict[str, TensorProto]  # initializers and Constant nodes, the very ones of the model
    weights: list[str]  # names of `tensors`, in the order of their first use
    layers: list[int]  # for each weight the layer that it belongs to, from 0

    @property
    def input(self) -> str:
        """The name of the one input."""
        return next(
            taken.name for taken in self.model.graph.input if taken.name not in self.tensors
        )

    @property
    def output(self) -> str:
        """The name of the one output."""
        return str(self.model.graph.output[0].name)

    def value(self, name: str) -> NDArray[Any]:
        """A tensor of the file."""
        return numpy_helper.to_array(self.tensors[name])

    def replace(self, name: str, value: NDArray[Any]) -> None:
        """Write a tensor back, in the type and under the name it has."""
        held = self.tensors[name]
        fresh = numpy_helper.from_array(value.astype(numpy_helper.to_array(held).dtype), held.name)
        held.CopyFrom(fresh)

    def version(self, domain: str) -> int:
        """Of an operator set."""
        versions = {entry.domain or "ai.onnx": entry.version for entry in self.model.opset_import}
        return int(versions.get(domain or "ai.onnx", 1))

    def write(self, path: Path) -> None:
        """The whole model as one file."""
        path.write_bytes(self.model.SerializeToString())


def read_graph(path: Path) -> Graph:
    """Read a file that the runner's own walk has passed."""
    model = onnx.load(path, load_external_data=False)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    return view(model)


def view(model: onnx.ModelProto) -> Graph:
    """Sort what lies in a model."""
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    nodes = needed(graph)
    weights = find_weights(nodes, tensors)
    return Graph(model, nodes, tensors, list(weights), list(weights.values()))


def needed(graph: onnx.GraphProto) -> list[NodeProto]:
    """The nodes that the outputs depend on, in their order; Constant tensors are no nodes here."""
    wanted = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(read(node))
            if node.op_type != "Constant" or node.attribute[0].name != "value":
                kept.append(node)
    return kept[::-1]


def read(node: NodeProto) -> Iterator[str]:
    """All names that a node reads, those of its branches included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            for inner in attribute.g.node:
                yield from read(inner)
            yield from (output.name for output in attribute.g.output)


def find_weights(nodes: list[NodeProto], tensors: dict[str, TensorProto]) -> dict[str, int]:
    """The names of the weights and the layer of each, in the order of their first use."""
    readers: defaultdict[str, list[tuple[NodeProto, int]]] = defaultdict(list)
    for node in nodes:
        for place, name in enumerate(node.input):
            readers[name].append((node, place))
    found: dict[str, int] = {}
    layer = -1
    for node in nodes:
        fresh = [name for name in node.input if is_weight(name, tensors, readers)]
        if node.op_type in LAYERS and fresh:
            layer += 1
        for name in fresh:
            found.setdefault(name, max(layer, 0))
    return found


def is_weight(
    name: str,
    tensors: dict[str, TensorProto],
    readers: dict[str, list[tuple[NodeProto, int]]],
) -> bool:
    """Whether one of the tensor's readers, however far behind movers, takes it as a weight."""
    tensor = tensors.get(name)
    if tensor is None or tensor.data_type not in FLOATS:
        return False
    size = int(np.prod(tensor.dims))
    if size == 0:
        return False
    uses = [
        use
        for use in moved(name, readers)
        if use[1] in WEIGHT_PLACES.get(use[0].op_type, ())
        and (size > 1 or use[0].op_type in SCALARS_TOO)
    ]
    if name.startswith(FRESH):
        return True
    if uses and all(node.op_type in {"Add", "Sum"} for node, _ in uses):
        return bool(numpy_helper.to_array(tensor).min() > MASK)
    return bool(uses)


def moved(
    name: str, readers: dict[str, list[tuple[NodeProto, int]]]
) -> Iterator[tuple[NodeProto, int]]:
    """Readers of a tensor as (node, place), and those behind operators that only move it."""
    waiting, seen = [name], set()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for node, place in readers.get(current, ()):
            yield node, place
            if node.op_type in MOVERS and (place == 0 or node.op_type == "Concat"):
                waiting += node.output

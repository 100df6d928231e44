"""The last linear layer of a model: where it is, what goes in, and a new one in its place.

From the output backwards, past what changes no order of the scores (a softmax, a reshape), or of
numbers past what changes none (a reshape), to a Gemm, or a MatMul with or without an Add. Its
weights must be in the file.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from graph import FRESH, Graph, read
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper
from verdicts import UntrainableError, Verdict

SAME = {"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze"}
TAILS = SAME | {"LogSoftmax", "Sigmoid", "Softmax"}
MOVED = {"Cast", "Identity"}  # between a tensor of the file and the node that takes it
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Head:
    """Its scores (N, K) are the features (N, D) @ matrix[:-1] + matrix[-1]."""

    features: str
    scores: str  # the tensor that the layer makes
    node: NodeProto  # Gemm or MatMul
    add: NodeProto | None  # what adds the bias to a MatMul
    matrix: F64  # (D + 1, K); the last row are the biases
    bias: bool  # whether the layer can take one


def find_head(graph: Graph, *, numbers: bool = False) -> Head:
    """The head; UntrainableError with NO_HEAD where there is none that this program knows."""
    makers = {name: node for node in graph.nodes for name in node.output}
    name = graph.output
    node = makers.get(name)
    while node is not None and node.op_type in (SAME if numbers else TAILS):
        name = node.input[0]
        node = makers.get(name)
    if node is not None and node.op_type == "Gemm":
        return gemm_head(graph, node, makers)
    if node is not None and node.op_type == "Add":
        for this, other in ((0, 1), (1, 0)):
            inner = makers.get(node.input[this])
            bias = tensor(graph, node.input[other], makers)
            if inner is not None and inner.op_type == "MatMul" and bias is not None:
                return matmul_head(graph, inner, makers, node, bias)
    if node is not None and node.op_type == "MatMul":
        return matmul_head(graph, node, makers)
    raise no_head()


def no_head() -> UntrainableError:
    """The error for all reasons."""
    return UntrainableError(Verdict.NO_HEAD, "the graph ends in no linear layer")


def tensor(graph: Graph, name: str, makers: dict[str, NodeProto]) -> F64 | None:
    """A float tensor of the file, however it is passed on or turned; None for what is computed."""
    node = makers.get(name)
    if node is None:
        held = graph.tensors.get(name)
        if held is None or held.data_type not in {1, 10, 11, 16}:
            return None
        return graph.value(name).astype(np.float64)
    if node.op_type == "Transpose":
        inner = tensor(graph, node.input[0], makers)
        order = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        return None if inner is None else inner.transpose(order)
    return tensor(graph, node.input[0], makers) if node.op_type in MOVED else None


def gemm_head(graph: Graph, node: NodeProto, makers: dict[str, NodeProto]) -> Head:
    """A B + C with its factors."""
    said = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    weights = tensor(graph, node.input[1], makers)
    if weights is None or weights.ndim != 2 or said.get("transA", 0):
        raise no_head()
    weights = (weights.T if said.get("transB", 0) else weights) * said.get("alpha", 1.0)
    biases: F64 | None = np.zeros(weights.shape[1])
    if len(node.input) > 2 and node.input[2]:
        biases = tensor(graph, node.input[2], makers)
    return make_head(node, None, weights, biases, said.get("beta", 1.0))


def matmul_head(
    graph: Graph,
    node: NodeProto,
    makers: dict[str, NodeProto],
    add: NodeProto | None = None,
    biases: F64 | None = None,
) -> Head:
    """A B, and what is added to it."""
    weights = tensor(graph, node.input[1], makers)
    if weights is None or weights.ndim != 2:
        raise no_head()
    return make_head(node, add, weights, np.zeros(weights.shape[1]) if add is None else biases)


def make_head(
    node: NodeProto, add: NodeProto | None, weights: F64, biases: F64 | None, beta: float = 1.0
) -> Head:
    """Both in one matrix, where the biases fit."""
    if biases is None or biases.size not in {1, weights.shape[1]}:
        raise no_head()
    row = np.broadcast_to(biases.reshape(1, -1) * beta, (1, weights.shape[1]))
    able = add is not None or node.op_type == "Gemm"
    scores = (add or node).output[0]
    return Head(node.input[0], scores, node, add, np.vstack([weights, row]), able)


def feature_model(graph: Graph, head: Head) -> bytes:
    """The model with two outputs in place of its own: the features, and the layer's scores."""
    outputs = graph.model.graph.output
    own = list(outputs)
    del outputs[:]
    outputs.extend(helper.make_empty_tensor_value_info(n) for n in (head.features, head.scores))
    made = graph.model.SerializeToString()
    del outputs[:]
    outputs.extend(own)
    return made  # type: ignore[no-any-return]


def replace_head(graph: Graph, head: Head, matrix: F64) -> None:
    """Write new weights (D + 1, K) into the graph, as tensors that only this layer reads."""
    said = {a.name: a for a in head.node.attribute}
    weights = matrix[:-1].T if "transB" in said and said["transB"].i else matrix[:-1]
    element = onnx.TensorProto.FLOAT
    held = graph.tensors.get(head.node.input[1])
    if held is not None:
        element = held.data_type
    dtype = helper.tensor_dtype_to_np_dtype(element)
    put(graph, head.node, 1, weights.astype(dtype))
    for name in ("alpha", "beta"):
        if name in said:
            said[name].f = 1.0
    if head.add is not None:
        place = 1 if head.add.input[0] == head.node.output[0] else 0
        put(graph, head.add, place, matrix[-1].astype(dtype))
    elif head.bias:
        put(graph, head.node, 2, matrix[-1].astype(dtype))


def put(graph: Graph, node: NodeProto, place: int, value: NDArray[np.floating]) -> None:
    """Point an input of a node at a fresh tensor; the old one goes when nobody reads it."""
    model = graph.model.graph
    taken = {t.name for t in model.initializer} | {n for node in model.node for n in node.output}
    fresh = next(n for n in (f"{FRESH}{at}" for at in range(len(taken) + 1)) if n not in taken)
    model.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), fresh))
    if place < len(node.input):
        old, node.input[place] = node.input[place], fresh
        if not any(old in read(other) for other in model.node):
            at = next((at for at, t in enumerate(model.initializer) if t.name == old), None)
            if at is not None:
                del model.initializer[at]
                inputs = [taken for taken in model.input if taken.name != old]
                del model.input[:]
                model.input.extend(inputs)
    else:
        node.input.append(fresh)
    if graph.model.ir_version < 4:  # there every initializer is an input too
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        model.input.append(helper.make_tensor_value_info(fresh, kind, value.shape))

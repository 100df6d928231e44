"""ONNX files of many kinds for tiles of 16x16 and three classes: most are somebody's mistake.

`hand_made` are models that are made here, `third_party` test data that the `onnx` package brings;
each is a name and the file's bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDE = 16
THIRD_PARTY = (
    *("simple/test_sign_model", "simple/test_single_relu_model", "simple/test_shrink"),
    *("simple/test_gradient_of_add", "simple/test_strnorm_model_nostopwords_nochangecase"),
    *("simple/test_sequence_model1", "simple/test_expand_shape_model1"),
    *("pytorch-converted/test_Conv2d", "pytorch-converted/test_Linear"),
    *("pytorch-converted/test_BatchNorm2d_eval", "pytorch-converted/test_softmax_lastdim"),
    *("pytorch-operator/test_operator_flatten", "pytorch-operator/test_operator_mm"),
)


def third_party() -> Iterator[tuple[str, bytes]]:
    """Models that nobody made for us: none fits the tiles, and each says so in its way."""
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for name in THIRD_PARTY:
        yield name.rpartition("/")[2], (data / name / "model.onnx").read_bytes()


def hand_made() -> Iterator[tuple[str, bytes]]:
    """Good ones and neighbours of good ones."""
    for opset in (9, 12, 13, 17, 20, 21):
        yield f"opset-{opset}", linear(opset=opset).SerializeToString()
    yield "opset-6", linear(opset=6).SerializeToString()
    yield "opset-99", linear(opset=99).SerializeToString()
    yield "nchw", linear(shape=("N", 1, SIDE, SIDE)).SerializeToString()
    yield "nhwc", linear(shape=("N", SIDE, SIDE, 1)).SerializeToString()
    yield "flat", linear(shape=("N", SIDE * SIDE)).SerializeToString()
    yield "fixed-batch-1", linear(shape=(1, SIDE, SIDE)).SerializeToString()
    yield "fixed-batch-7", linear(shape=(7, SIDE, SIDE)).SerializeToString()
    yield "other-tile", linear(shape=("N", 8, 8)).SerializeToString()
    yield "three-bands", linear(shape=("N", 3, SIDE, SIDE)).SerializeToString()
    for name in ("UINT8", "UINT16", "DOUBLE", "FLOAT16", "INT64"):
        model = linear(element=getattr(TensorProto, name))
        yield f"input-{name.lower()}", model.SerializeToString()
    yield "four-classes", linear(classes=4).SerializeToString()
    yield "two-outputs", linear(outputs=2).SerializeToString()
    yield "class-indices", linear(argmax=True).SerializeToString()
    yield "unknown-operator", linear(operator="Imaginary").SerializeToString()
    yield "empty", b""
    yield "text", b"this is no model"
    yield "cut", linear().SerializeToString()[:-200]
    yield "zeros", bytes(4096)


def linear(
    *,
    opset: int = 17,
    shape: tuple[int | str, ...] = ("N", SIDE, SIDE),
    element: int = TensorProto.FLOAT,
    classes: int = 3,
    outputs: int = 1,
    argmax: bool = False,
    operator: str = "Identity",
) -> onnx.ModelProto:
    """Pixels times a matrix, one column for each class."""
    pixels = int(np.prod([size for size in shape[1:] if isinstance(size, int)]))
    weights = np.random.default_rng(0).normal(size=(pixels, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["tiles"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["rows"], axis=1),
        helper.make_node("MatMul", ["rows", "weights"], ["product"]),
        helper.make_node(operator, ["product"], ["scores"]),
    ]
    names, kind, width = ["scores"], TensorProto.FLOAT, [classes]
    if argmax:
        nodes.append(helper.make_node("ArgMax", ["scores"], ["index"], axis=1, keepdims=0))
        names, kind, width = ["index"], TensorProto.INT64, []
    for number in range(1, outputs):
        nodes.append(helper.make_node("Identity", ["scores"], [f"more{number}"]))
        names.append(f"more{number}")
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("tiles", element, shape)],
        [helper.make_tensor_value_info(name, kind, [shape[0], *width]) for name in names],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

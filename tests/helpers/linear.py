"""A linear model of the brightness of a tile's parts, as one ONNX file: trained anywhere else.

features(tiles, blocks)                        what it sees: means, and means of squares
exported(weights, bias, side, blocks)          the graph that computes both and its classes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray


def features(tiles: NDArray[np.uint8], blocks: int) -> NDArray[np.float32]:
    """(N, side, side) -> (N, 2 blocks blocks), of blocks x blocks parts of a tile."""
    pixels, part = tiles.astype(np.float32) / 255, tiles.shape[1] // blocks
    size = len(tiles), blocks, part, blocks, part
    means = [
        power.reshape(size).mean((2, 4)).reshape(len(tiles), -1) for power in (pixels, pixels**2)
    ]
    return np.concatenate(means, 1)


def exported(weights: NDArray[Any], bias: NDArray[Any], side: int, blocks: int) -> onnx.ModelProto:
    """Uint8 (N, side, side) -> logits (N, len(bias))."""
    part = side // blocks
    nodes = [
        helper.make_node("Cast", ["tiles"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "scale"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "channel"], ["pixels"]),
        helper.make_node("Mul", ["pixels", "pixels"], ["squares"]),
        helper.make_node("Concat", ["pixels", "squares"], ["both"], axis=1),
        helper.make_node(
            "AveragePool", ["both"], ["means"], kernel_shape=[part] * 2, strides=[part] * 2
        ),
        helper.make_node("Flatten", ["means"], ["features"]),
        helper.make_node("Gemm", ["features", "weights", "bias"], ["logits"], transB=1),
    ]
    constants: dict[str, Any] = {
        "scale": np.array(255, np.float32),
        "channel": np.array([1], np.int64),
        "weights": weights.astype(np.float32),
        "bias": bias.astype(np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(bias)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

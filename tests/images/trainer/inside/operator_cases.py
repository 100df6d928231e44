"""One small ONNX model for every operator, attribute and version that the trainer computes.

Plain data: the project's environment reads the names, the image runs the models. Every case is a
name and a model with one input `x`; all other inputs are initializers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

ML, MICROSOFT = "ai.onnx.ml", "com.microsoft"
F32 = np.float32
Inputs = list[Any]  # arrays, or None for one that is left out
RNG = np.random.default_rng(11)


def floats(*shape: int) -> np.ndarray:
    """Numbers around zero."""
    return RNG.standard_normal(shape).astype(F32)


def ints(*values: int) -> np.ndarray:
    """A vector of int64."""
    return np.array(values, np.int64)


def number(value: float) -> np.ndarray:
    """A float32 scalar."""
    return np.array(value, F32)


def one(
    operator: str,
    opset: int,
    inputs: Inputs,
    domain: str = "",
    outputs: int = 1,
    **attributes: Any,  # noqa: ANN401
) -> onnx.ModelProto:
    """A model of one node."""
    names = ["x", *(f"i{at}" if given is not None else "" for at, given in enumerate(inputs[1:]))]
    made = [f"y{at}" for at in range(outputs)]
    node = helper.make_node(operator, names, made, domain=domain, **attributes)
    held = [
        numpy_helper.from_array(given, name)
        for name, given in zip(names[1:], inputs[1:], strict=True)
        if given is not None
    ]
    taken = helper.make_tensor_value_info(
        "x", helper.np_dtype_to_tensor_dtype(inputs[0].dtype), inputs[0].shape
    )
    given = [helper.make_empty_tensor_value_info(name) for name in made]
    graph = helper.make_graph([node], operator, [taken], given, held)
    imports = [helper.make_opsetid("", opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, {ML: 1, MICROSOFT: 1}[domain]))
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


Case = tuple[onnx.ModelProto, np.ndarray]
CASES: dict[str, Case] = {}


def add(
    label: str,
    operator: str,
    opset: int,
    inputs: Inputs,
    domain: str = "",
    outputs: int = 1,
    **attributes: Any,  # noqa: ANN401 - any ONNX attribute
) -> None:
    """Enter a case under `operator-opset label`."""
    name = f"{operator}-{opset}{' ' if label else ''}{label}"
    assert name not in CASES, name
    CASES[name] = (one(operator, opset, inputs, domain, outputs, **attributes), inputs[0])


PICTURE = floats(2, 4, 7, 6)
ROWS = floats(3, 5)
WITHIN = (RNG.random((3, 5)) * 1.8 - 0.9).astype(F32)
ABOVE = (RNG.random((3, 5)) + 1.1).astype(F32)

for name in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity", "Neg", "Reciprocal", "Relu"):
    add("", name, 13, [ROWS])
for name in ("Round", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tan", "Tanh", "HardSwish"):
    add("", name, 14, [ROWS])
for name in ("Acos", "Asin", "Atanh", "Atan", "Asinh", "Sinh", "Cosh"):
    add("", name, 13, [WITHIN])
for name in ("Acosh", "Log", "Sqrt"):
    add("", name, 13, [ABOVE])
add("", "Mish", 18, [ROWS])
for approximate in ("none", "tanh"):
    add(approximate, "Gelu", 20, [ROWS], approximate=approximate)
for opset in (7, 13, 14):
    for name in ("Add", "Sub", "Mul", "Div"):
        add("row", name, opset, [ROWS, floats(5)])
        add("column", name, opset, [ROWS, floats(3, 1)])
for name in ("Less", "Greater", "Equal"):
    add("", name, 13, [ROWS, floats(5)])
for name in ("LessOrEqual", "GreaterOrEqual"):
    add("", name, 16, [ROWS, floats(5)])
add("integers", "Div", 14, [np.array([-7, 7, 8], np.int64), ints(2, -2, 3)])
for opset in (7, 12, 15):
    add("", "Pow", opset, [ABOVE, number(2.5)])
add("square", "Pow", 15, [ROWS, number(2)])
add("integer exponent", "Pow", 15, [ROWS, ints(3)])
TRUTH = RNG.random((3, 5)) > 0.5
add("", "Not", 7, [TRUTH])
for name in ("And", "Or", "Xor"):
    add("", name, 7, [TRUTH, RNG.random(5) > 0.5])
add("", "IsNaN", 13, [np.array([1, np.nan, np.inf], F32)])
add("", "IsInf", 10, [np.array([1, np.nan, np.inf, -np.inf], F32)])
add("positive", "IsInf", 10, [np.array([np.inf, -np.inf], F32)], detect_negative=0)
add("fmod", "Mod", 13, [ROWS, number(0.7)], fmod=1)
for opset in (8, 13):
    for name in ("Sum", "Max", "Min", "Mean"):
        add("three", name, opset, [ROWS, floats(3, 5), floats(5)])
add("", "Where", 16, [RNG.random((3, 5)) > 0.5, floats(3, 5), floats(5)])
add("attributes", "Clip", 7, [ROWS], min=-0.5, max=0.25)
add("relu6", "Clip", 10, [ROWS * 9], min=0.0, max=6.0)
for opset in (11, 13):
    add("both", "Clip", opset, [ROWS, number(-0.5), number(0.25)])
    add("no minimum", "Clip", opset, [ROWS, None, number(0.25)])
    add("no maximum", "Clip", opset, [ROWS, number(0.1)])
    add("neither", "Clip", opset, [ROWS])
add("integers", "Clip", 12, [np.arange(9), np.array(2), np.array(5)])
RELATIVES: dict[str, dict[str, Any]] = {
    "Elu": {"alpha": 0.7},
    "Celu": {"alpha": 0.7},
    "Selu": {"alpha": 1.5, "gamma": 1.2},
    "LeakyRelu": {"alpha": 0.2},
    "ThresholdedRelu": {"alpha": 0.3},
    "HardSigmoid": {"alpha": 0.15, "beta": 0.4},
    "Shrink": {"lambd": 0.4, "bias": 0.1},
}
for name, keys in RELATIVES.items():
    add("default", name, 12, [ROWS])
    add("given", name, 12, [ROWS], **keys)
for opset in (7, 9, 16):
    add("one slope", "PRelu", opset, [PICTURE, floats(1)])
    add("of channels", "PRelu", opset, [PICTURE, floats(4, 1, 1)])
for opset in (9, 13):
    add("to double", "Cast", opset, [ROWS], to=11)
    add("to int64", "Cast", opset, [ROWS * 9], to=7)
    add("to bool", "Cast", opset, [ROWS], to=9)
add("", "CastLike", 15, [ROWS, ints(1)])
add("", "Dropout", 7, [ROWS], ratio=0.3)
add("", "Dropout", 10, [ROWS], ratio=0.3)
add("", "Dropout", 13, [ROWS, number(0.3)])
add("off", "Dropout", 13, [ROWS, number(0.3), np.zeros((), bool)])

STATISTICS = [floats(4), floats(4), floats(4), (RNG.random(4) + 0.5).astype(F32)]
for opset in (7, 9, 14, 15):
    add("", "BatchNormalization", opset, [PICTURE, *STATISTICS], epsilon=0.01)
    add("rows", "BatchNormalization", opset, [floats(3, 4), *STATISTICS])
add("", "InstanceNormalization", 6 + 1, [PICTURE, floats(4), floats(4)], epsilon=0.01)
add("last", "LayerNormalization", 17, [ROWS, floats(5), floats(5)])
add("no bias", "LayerNormalization", 17, [ROWS, floats(5)], epsilon=0.01)
add("two axes", "LayerNormalization", 17, [PICTURE, floats(7, 6), floats(7, 6)], axis=2)
add("broadcast", "LayerNormalization", 17, [PICTURE, floats(6), floats(6)], axis=2)
add("statistics", "LayerNormalization", 17, [ROWS, floats(5), floats(5)], outputs=3)
add("groups", "GroupNormalization", 18, [PICTURE, floats(2), floats(2)], num_groups=2)
add("channels", "GroupNormalization", 21, [PICTURE, floats(4), floats(4)], num_groups=2)
add("", "RMSNormalization", 23, [ROWS, floats(5)], axis=-1)
add("", "LRN", 13, [PICTURE], size=3, alpha=0.2, beta=0.6, bias=1.5)
for p in (1, 2):
    add(f"{p}", "LpNormalization", 7, [ROWS], p=p, axis=1)
add("", "MeanVarianceNormalization", 13, [PICTURE])

for opset in (7, 11, 12, 13):
    for name in ("Softmax", "LogSoftmax", "Hardmax"):
        add("default", name, opset, [PICTURE])
        add("axis 2", name, opset, [PICTURE], axis=2)
        add("axis 1", name, opset, [ROWS], axis=1)
REDUCED = ("Mean", "Max", "Min", "Prod", "L1", "L2", "LogSumExp", "SumSquare", "Sum")
for kind in REDUCED:
    name = f"Reduce{kind}"
    add("attribute", name, 11, [PICTURE], axes=[1, -1])
    add("not kept", name, 11, [PICTURE], axes=[2, 3], keepdims=0)
    add("all", name, 11, [PICTURE])
    newer = 13 if kind == "Sum" else 18
    add("input", name, newer, [PICTURE, ints(2, 3)])
    add("not kept", name, newer, [PICTURE, ints(-1)], keepdims=0)
    add("none", name, newer, [PICTURE], noop_with_empty_axes=1)
add("", "ReduceLogSum", 13, [ABOVE], axes=[1])
add("integers", "ReduceSum", 13, [np.arange(6).reshape(2, 3), ints(1)])
add("integers", "ReduceMax", 13, [np.arange(6).reshape(2, 3)], axes=[1])
for name in ("ArgMax", "ArgMin"):
    add("", name, 13, [ROWS], axis=1)
    add("last", name, 13, [np.round(ROWS)], axis=1, keepdims=0, select_last_index=1)

for opset in (7, 9, 13):
    add("", "MatMul", opset, [ROWS, floats(5, 4)])
    add("batched", "MatMul", opset, [floats(2, 3, 5), floats(2, 5, 4)])
for opset in (7, 11, 13):
    add("", "Gemm", opset, [ROWS, floats(5, 4), floats(4)])
    add("turned", "Gemm", opset, [ROWS, floats(4, 5), floats(4)], transB=1)
    add("scaled", "Gemm", opset, [ROWS, floats(5, 4), floats(3, 1)], alpha=0.5, beta=2.0)
    add("first turned", "Gemm", opset, [ROWS, floats(3, 4), floats(1)], transA=1)
add("no bias", "Gemm", 11, [ROWS, floats(5, 4)])
add("one class", "Gemm", 13, [ROWS, floats(5, 1), floats(1)])
add("one product", "Einsum", 12, [floats(2, 3, 5), floats(2, 5, 4)], equation="bij, bjk -> bik")
add("heads", "Einsum", 12, [floats(2, 3, 5), floats(2, 4, 5)], equation="bid,bjd->bij")

KERNEL = floats(6, 4, 3, 3)
for opset in (7, 11):
    add("", "Conv", opset, [PICTURE, KERNEL])
    add("bias", "Conv", opset, [PICTURE, KERNEL, floats(6)], pads=[1, 1, 1, 1])
add("uneven", "Conv", 11, [PICTURE, KERNEL], pads=[0, 1, 2, 0], strides=[2, 1])
add("dilated", "Conv", 11, [PICTURE, KERNEL], dilations=[2, 2], pads=[2, 2, 2, 2])
add("groups", "Conv", 11, [PICTURE, floats(6, 2, 3, 3)], group=2)
add("depthwise", "Conv", 11, [PICTURE, floats(4, 1, 3, 3)], group=4)
for mode in ("SAME_UPPER", "SAME_LOWER", "VALID"):
    add(mode, "Conv", 11, [PICTURE, KERNEL], auto_pad=mode, strides=[2, 2])
    add(f"{mode} even", "Conv", 11, [PICTURE, floats(6, 4, 2, 2)], auto_pad=mode)
add("one dimension", "Conv", 11, [floats(2, 4, 9), floats(6, 4, 3)], pads=[1, 1])
add("three dimensions", "Conv", 11, [floats(1, 2, 5, 5, 5), floats(3, 2, 2, 2, 2)])
BACK = floats(4, 6, 3, 3)
add("", "ConvTranspose", 11, [PICTURE, BACK])
add("strides", "ConvTranspose", 11, [PICTURE, BACK, floats(6)], strides=[2, 2], pads=[1, 0, 1, 1])
add(
    "beyond", "ConvTranspose", 11, [PICTURE, BACK, floats(6)], strides=[2, 2], output_padding=[1, 1]
)
add("groups", "ConvTranspose", 11, [PICTURE, floats(4, 3, 2, 2)], group=2, strides=[2, 2])
add("shape", "ConvTranspose", 11, [PICTURE, BACK], strides=[2, 2], output_shape=[15, 13])
add("SAME_UPPER", "ConvTranspose", 11, [PICTURE, BACK], strides=[2, 2], auto_pad="SAME_UPPER")
add("SAME_LOWER", "ConvTranspose", 11, [PICTURE, BACK], strides=[2, 2], auto_pad="SAME_LOWER")

for opset in (7, 8, 10, 12):
    add("", "MaxPool", opset, [PICTURE], kernel_shape=[2, 2], strides=[2, 2])
    add("padded", "MaxPool", opset, [PICTURE], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
for opset in (7, 10, 11, 19):
    add("", "AveragePool", opset, [PICTURE], kernel_shape=[2, 3])
    add("padded", "AveragePool", opset, [PICTURE], kernel_shape=[3, 3], pads=[1, 0, 1, 1])
    add(
        "counted",
        "AveragePool",
        opset,
        [PICTURE],
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        count_include_pad=1,
    )
for name in ("MaxPool", "AveragePool"):
    add("ceil", name, 12, [PICTURE], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    for mode in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        add(mode, name, 12, [PICTURE], kernel_shape=[2, 2], strides=[2, 2], auto_pad=mode)
add("dilated", "MaxPool", 12, [PICTURE], kernel_shape=[2, 2], dilations=[2, 2])
add("dilated", "AveragePool", 19, [PICTURE], kernel_shape=[2, 2], dilations=[2, 2])
add(
    "ceil on the pad",
    "AveragePool",
    19,
    [PICTURE],
    kernel_shape=[3, 3],
    strides=[3, 3],
    pads=[1, 1, 1, 1],
    ceil_mode=1,
    count_include_pad=1,
)
add(
    "ceil on the pad",
    "AveragePool",
    11,
    [floats(1, 1, 5, 5)],
    kernel_shape=[2, 2],
    strides=[3, 3],
    pads=[0, 0, 1, 1],
    ceil_mode=1,
)
add("bytes", "MaxPool", 12, [RNG.integers(0, 255, (1, 1, 6, 6), np.uint8)], kernel_shape=[2, 2])
add("", "LpPool", 11, [PICTURE], kernel_shape=[2, 2], p=2)
for name in ("GlobalAveragePool", "GlobalMaxPool"):
    add("", name, 7, [PICTURE])
    add("one dimension", name, 7, [floats(2, 3, 5)])
add("", "GlobalLpPool", 7, [PICTURE], p=2)

add("", "Shape", 7, [PICTURE])
add("part", "Shape", 15, [PICTURE], start=1, end=-1)
add("", "Size", 13, [PICTURE])
for opset in (7, 13, 14):
    add("zero and rest", "Reshape", opset, [PICTURE, ints(0, -1)])
for opset in (7, 9, 11, 13):
    for axis in (0, 1, 2):
        add(f"{axis}", "Flatten", opset, [PICTURE], axis=axis)
add("last", "Flatten", 11, [PICTURE], axis=-1)
THIN = floats(2, 1, 3, 1)
add("attribute", "Squeeze", 7, [THIN], axes=[1, 3])
add("attribute", "Squeeze", 11, [THIN], axes=[-1])
add("all", "Squeeze", 11, [THIN])
add("input", "Squeeze", 13, [THIN, ints(1)])
add("attribute", "Unsqueeze", 7, [ROWS], axes=[0, 2])
add("attribute", "Unsqueeze", 11, [ROWS], axes=[-1])
add("input", "Unsqueeze", 13, [ROWS, ints(1, -1)])
add("", "Transpose", 13, [PICTURE], perm=[0, 2, 3, 1])
add("reversed", "Transpose", 13, [ROWS])
add("", "Concat", 13, [ROWS, floats(3, 2)], axis=1)
add("from behind", "Concat", 11, [ROWS, floats(3, 2)], axis=-1)
add("equal", "Split", 7, [floats(6, 2)], outputs=3)
add("attribute", "Split", 11, [floats(6, 2)], outputs=2, split=[4, 2])
add("input", "Split", 13, [floats(2, 6), ints(1, 5)], outputs=2, axis=1)
add("count", "Split", 18, [floats(7, 2)], outputs=3, num_outputs=3)
add("attributes", "Slice", 7, [PICTURE], starts=[1, 0], ends=[9, -1], axes=[1, 3])
for opset in (10, 11, 13):
    add("steps", "Slice", opset, [PICTURE, ints(0, -1), ints(2**31, -100), ints(2, 3), ints(2, -2)])
    add("no axes", "Slice", opset, [ROWS, ints(1), ints(3)])
add("one", "Gather", 13, [ROWS, np.array(-1)], axis=1)
add("rows", "Gather", 11, [ROWS, np.array([[0, 2], [1, -3]])])
add("", "GatherElements", 13, [ROWS, np.array([[0, -1], [2, 1], [4, 0]])], axis=1)
add("", "GatherND", 13, [ROWS, np.array([[0, 1], [2, -1]])])
add("", "ScatterND", 16, [ROWS, np.array([[0], [2]]), floats(2, 5)])
add("", "ScatterElements", 16, [ROWS, np.array([[0, 3], [1, -1], [2, 2]]), floats(3, 2)], axis=1)
add("", "Expand", 13, [floats(3, 1), ints(2, 1, 5)])
add("", "Tile", 13, [ROWS, ints(2, 3)])
add("", "Scatter", 9, [ROWS, np.array([[0, 3], [1, 4], [2, 2]]), floats(3, 2)], axis=1)
add("", "NonZero", 13, [np.array([[0, 1], [2, 0]], F32)])
add("", "Range", 11, [np.array(2), np.array(11), np.array(3)])
add("", "ConstantOfShape", 9, [ints(2, 3)])
add("value", "ConstantOfShape", 9, [ints(2)], value=numpy_helper.from_array(ints(7)))
add("", "Trilu", 14, [ROWS])
add("lower", "Trilu", 14, [ROWS, np.array(1)], upper=0)
add("", "EyeLike", 9, [ROWS], k=1)
add("", "TopK", 11, [ROWS, ints(2)], outputs=2)
add("smallest", "TopK", 11, [ROWS, ints(2)], outputs=2, axis=0, largest=0)
add("", "CumSum", 14, [ROWS, np.array(1)])
add("backwards", "CumSum", 14, [ROWS, np.array(1)], exclusive=1, reverse=1)
add("", "OneHot", 11, [np.array([1, 0, -1]), np.array(3), np.array([0.5, 2.0], F32)])
for mode in ("DCR", "CRD"):
    add(mode, "DepthToSpace", 13, [floats(1, 8, 2, 3)], blocksize=2, mode=mode)
add("", "SpaceToDepth", 13, [floats(1, 2, 4, 6)], blocksize=2)
add("attributes", "Pad", 7, [PICTURE], pads=[0, 0, 1, 2, 0, 0, 3, 0], value=1.5)
for opset in (11, 13, 18):
    for mode in ("constant", "reflect", "edge"):
        add(mode, "Pad", opset, [PICTURE, ints(0, 0, 1, 2, 0, 0, 3, 0)], mode=mode)
add("value", "Pad", 13, [ROWS, ints(0, 1, 2, -1), number(0.5)])
add("axes", "Pad", 18, [PICTURE, ints(1, 2), None, ints(3)])
add("wrap", "Pad", 19, [ROWS, ints(0, 2, 0, 1)], mode="wrap")
add("", "Upsample", 7, [PICTURE], scales=[1.0, 1.0, 2.0, 2.0])
add("linear", "Upsample", 9, [PICTURE, np.array([1, 1, 2, 2], F32)], mode="linear")
add("", "Resize", 10, [PICTURE, np.array([1, 1, 2, 2], F32)])
NONE = np.array([], F32)
for mode in ("nearest", "linear", "cubic"):
    for transform in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        keys = {"mode": mode, "coordinate_transformation_mode": transform}
        add(
            f"{mode} {transform} up",
            "Resize",
            13,
            [PICTURE, NONE, np.array([1, 1, 2, 1.5], F32)],
            **keys,
        )
        add(
            f"{mode} {transform} to", "Resize", 13, [PICTURE, None, None, ints(2, 4, 5, 11)], **keys
        )
add(
    "corners of a part",
    "Resize",
    13,
    [PICTURE, None, np.array([1, 1, 0.6, 0.6], F32)],
    mode="linear",
    coordinate_transformation_mode="align_corners",
)
for nearest in ("floor", "ceil", "round_prefer_ceil"):
    add(nearest, "Resize", 13, [PICTURE, None, np.array([1, 1, 2, 1.5], F32)], nearest_mode=nearest)
add(
    "outside",
    "Resize",
    13,
    [PICTURE, None, np.array([1, 1, 2, 2], F32)],
    mode="cubic",
    exclude_outside=1,
)
add("axes", "Resize", 18, [PICTURE, None, np.array([2, 2], F32)], axes=[2, 3], mode="linear")

for norm in ("MAX", "L1", "L2"):
    add(norm, "Normalizer", 17, [ABOVE], domain=ML, norm=norm)
add("", "Scaler", 17, [ROWS], domain=ML, offset=[0.5] * 5, scale=[2.0] * 5)
add("microsoft", "Gelu", 17, [ROWS], domain=MICROSOFT)
add("", "BiasGelu", 17, [ROWS, floats(5)], domain=MICROSOFT)
add("", "FastGelu", 17, [ROWS, floats(5)], domain=MICROSOFT)
add("", "QuickGelu", 17, [ROWS], domain=MICROSOFT, alpha=1.5)
add("", "FusedMatMul", 17, [ROWS, floats(4, 5)], domain=MICROSOFT, alpha=0.5, transB=1)
add("", "FusedGemm", 17, [ROWS, floats(5, 4), floats(4)], domain=MICROSOFT, activation="Relu")
add("", "FusedConv", 17, [PICTURE, KERNEL, floats(6)], domain=MICROSOFT, activation="Relu")
add(
    "",
    "SkipLayerNormalization",
    17,
    [floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8), floats(8)],
    domain=MICROSOFT,
)

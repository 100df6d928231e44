"""Operators that work on each number by itself, with numpy's broadcasting."""

from collections.abc import Callable
from functools import reduce

import torch
from operators import (
    MICROSOFT,
    ML,
    Node,
    UnsupportedError,
    dtype_of,
    operator,
    together,
)
from torch import Tensor
from torch.nn import functional

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "HardSwish": functional.hardswish,
    "Identity": lambda x: x,
    "IsNaN": torch.isnan,
    "Log": torch.log,
    "Mish": functional.mish,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,  # half to even, as ONNX has it
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "Softsign": functional.softsign,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "Sub": torch.sub,
    "Xor": torch.logical_xor,
}


def enter_unary(name: str, function: Callable[[Tensor], Tensor]) -> None:
    """An operator of one input and no attribute."""
    operator(name)(lambda _node, x: function(x))


def enter_binary(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """An operator of two inputs and no attribute."""
    operator(name)(lambda _node, a, b: function(*together(a, b)))


for known, computed in UNARY.items():
    enter_unary(known, computed)
for known, combined in BINARY.items():
    enter_binary(known, combined)


@operator("Div")
def div(_node: Node, a: Tensor, b: Tensor) -> Tensor:
    """Integers are divided towards zero."""
    a, b = together(a, b)
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


@operator("Mod")
def mod(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """The sign is the divisor's, or with fmod=1 the dividend's."""
    a, b = together(a, b)
    return torch.fmod(a, b) if node.get("fmod", 0) else torch.remainder(a, b)


@operator("Pow")
def power(_node: Node, a: Tensor, b: Tensor) -> Tensor:
    """The result has the base's type."""
    a, b = together(a, b)
    return torch.pow(a, b).to(a.dtype)


@operator("Sum")
def total(_node: Node, *inputs: Tensor) -> Tensor:
    """Of any number of tensors."""
    return reduce(torch.add, together(*inputs))


@operator("Mean")
def mean(_node: Node, *inputs: Tensor) -> Tensor:
    """Of any number of tensors."""
    return reduce(torch.add, together(*inputs)) / len(inputs)


@operator("Max")
def maximum(_node: Node, *inputs: Tensor) -> Tensor:
    """Of any number of tensors."""
    return reduce(torch.maximum, together(*inputs))


@operator("Min")
def minimum(_node: Node, *inputs: Tensor) -> Tensor:
    """Of any number of tensors."""
    return reduce(torch.minimum, together(*inputs))


@operator("Where")
def where(_node: Node, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Choose number by number."""
    condition, a, b = together(condition, a, b)
    return torch.where(condition, a, b)


@operator("Clip")
def clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """The bounds were attributes before version 11."""
    lowest = node.get("min") if low is None else low.item()
    highest = node.get("max") if high is None else high.item()
    if lowest is not None and highest is not None and lowest > highest:
        return torch.full_like(x, highest)
    return x if lowest is None and highest is None else torch.clamp(x, lowest, highest)


@operator("Elu")
def elu(node: Node, x: Tensor) -> Tensor:
    """Exponential below zero."""
    return functional.elu(x, node.get("alpha", 1.0))


@operator("Celu")
def celu(node: Node, x: Tensor) -> Tensor:
    """As Elu, with a continuous derivative."""
    return functional.celu(x, node.get("alpha", 1.0))


@operator("Selu")
def selu(node: Node, x: Tensor) -> Tensor:
    """As Elu, scaled."""
    alpha = node.get("alpha", 1.6732631921768188)
    return node.get("gamma", 1.0507010221481323) * functional.elu(x, alpha)


@operator("LeakyRelu")
def leaky_relu(node: Node, x: Tensor) -> Tensor:
    """A slope below zero."""
    return functional.leaky_relu(x, node.get("alpha", 0.01))


@operator("ThresholdedRelu")
def thresholded_relu(node: Node, x: Tensor) -> Tensor:
    """Zero up to a threshold."""
    return torch.where(x > node.get("alpha", 1.0), x, torch.zeros_like(x))


@operator("PRelu")
def prelu(_node: Node, x: Tensor, slope: Tensor) -> Tensor:
    """A learned slope below zero; it broadcasts to x from the right."""
    x, slope = together(x, slope)
    return torch.where(x < 0, slope * x, x)


@operator("Shrink")
def shrink(node: Node, x: Tensor) -> Tensor:
    """Towards zero by a bias, and zero within lambd."""
    edge, bias = node.get("lambd", 0.5), node.get("bias", 0.0)
    return torch.where(x < -edge, x + bias, torch.where(x > edge, x - bias, torch.zeros_like(x)))


@operator("HardSigmoid")
def hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    """A straight line between 0 and 1."""
    return torch.clamp(node.get("alpha", 0.2) * x + node.get("beta", 0.5), 0, 1)


@operator("Swish")
def swish(node: Node, x: Tensor) -> Tensor:
    """Multiply x by the sigmoid of alpha x."""
    return x * torch.sigmoid(node.get("alpha", 1.0) * x)


@operator("QuickGelu", domain=MICROSOFT)
def quick_gelu(node: Node, x: Tensor) -> Tensor:
    """As Swish."""
    return x * torch.sigmoid(node.get("alpha", 1.702) * x)


@operator("Gelu")
def gelu(node: Node, x: Tensor) -> Tensor:
    """By erf, or by its tanh approximation."""
    return functional.gelu(x, approximate=node.get("approximate", "none"))


@operator("Gelu", "BiasGelu", domain=MICROSOFT)
def bias_gelu(_node: Node, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """By erf, after a bias."""
    return functional.gelu(x if bias is None else x + bias)


@operator("FastGelu", domain=MICROSOFT)
def fast_gelu(_node: Node, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """By tanh, after a bias."""
    return functional.gelu(x if bias is None else x + bias, approximate="tanh")


@operator("IsInf")
def is_inf(node: Node, x: Tensor) -> Tensor:
    """Of either sign, or of one."""
    found = torch.zeros_like(x, dtype=torch.bool)
    if node.get("detect_positive", 1):
        found |= torch.isposinf(x)
    if node.get("detect_negative", 1):
        found |= torch.isneginf(x)
    return found


@operator("Cast")
def cast(node: Node, x: Tensor) -> Tensor:
    """To another element type."""
    return x.to(dtype_of(node.get("to")))


@operator("CastLike")
def cast_like(_node: Node, x: Tensor, like: Tensor) -> Tensor:
    """To the element type of another tensor."""
    return x.to(like.dtype)


@operator("Dropout")
def dropout(
    node: Node, x: Tensor, _ratio: Tensor | None = None, training: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Off, as in the exported model: what it lets through, and a mask of ones."""
    if training is not None and bool(training.item()):
        raise UnsupportedError("Dropout in training mode answers by chance")
    return x, torch.ones_like(x, dtype=torch.bool if node.version >= 10 else x.dtype)


@operator("Scaler", domain=ML)
def scaler(node: Node, x: Tensor) -> Tensor:
    """Subtract an offset, then multiply; one number for each feature, or one for all."""
    offset = torch.tensor(node.get("offset", [0.0]), device=x.device)
    scale = torch.tensor(node.get("scale", [1.0]), device=x.device)
    return (x.float() - offset) * scale


@operator("Normalizer", domain=ML)
def normalizer(node: Node, x: Tensor) -> Tensor:
    """Divide each row by its norm; a row of zeros stays as it is."""
    x = x.float()
    norms = {
        "MAX": lambda: x.amax(-1, keepdim=True),
        "L1": lambda: x.abs().sum(-1, keepdim=True),
        "L2": lambda: torch.linalg.vector_norm(x, dim=-1, keepdim=True),
    }
    norm = norms[node.get("norm", "MAX")]()
    return x / torch.where(norm == 0, torch.ones_like(norm), norm)


@operator("BatchNormalization")
def batch_normalization(  # noqa: PLR0913, PLR0917 - the operator's own inputs
    node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    """With the statistics of the file, which no training changes; scale and bias are weights."""
    if node.get("training_mode", 0) or len(node.outputs) > 1 or not node.get("spatial", 1):
        raise UnsupportedError("BatchNormalization in training mode, or not for each channel")
    if x.ndim == 1:
        raise UnsupportedError("BatchNormalization without channels")
    epsilon = node.get("epsilon", 1e-5)
    return functional.batch_norm(x, mean, variance, scale, bias, training=False, eps=epsilon)


@operator("EyeLike")
def eye_like(node: Node, x: Tensor) -> Tensor:
    """Ones on a diagonal."""
    rows, columns = x.shape
    given = node.get("dtype")
    dtype = x.dtype if given is None else dtype_of(given)
    shift = torch.arange(columns) - torch.arange(rows)[:, None]
    return (shift == node.get("k", 0)).to(dtype).to(x.device)

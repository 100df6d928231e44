"""Operators that reduce axes, and those that normalise along them."""

from collections.abc import Callable

import torch
from operators import MICROSOFT, Node, UnsupportedError, given_axes, operator, positive, spread
from torch import Tensor
from torch.nn import functional

Reduction = Callable[[Tensor, list[int], bool], Tensor]


def product(x: Tensor, axes: list[int], keep: bool) -> Tensor:  # noqa: FBT001 - a Reduction
    """Torch multiplies along one axis at a time."""
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, dim=axis, keepdim=keep)
    return x


def mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:  # noqa: FBT001 - a Reduction
    """Torch has no mean of integers."""
    if x.is_floating_point():
        return torch.mean(x, axes, keepdim=keep)
    return torch.mean(x.double(), axes, keepdim=keep).trunc().to(x.dtype)


REDUCTIONS: dict[str, Reduction] = {
    "ReduceL1": lambda x, axes, keep: torch.sum(torch.abs(x), axes, keepdim=keep, dtype=x.dtype),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(x, dim=axes, keepdim=keep),
    "ReduceLogSum": lambda x, axes, keep: torch.log(torch.sum(x, axes, keepdim=keep)),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep),
    "ReduceMax": lambda x, axes, keep: torch.amax(x, axes, keepdim=keep),
    "ReduceMean": mean,
    "ReduceMin": lambda x, axes, keep: torch.amin(x, axes, keepdim=keep),
    "ReduceProd": product,
    "ReduceSum": lambda x, axes, keep: torch.sum(x, axes, keepdim=keep, dtype=x.dtype),
    "ReduceSumSquare": lambda x, axes, keep: torch.sum(x * x, axes, keepdim=keep, dtype=x.dtype),
}


ALONE: dict[str, Callable[[Tensor], Tensor]] = {  # of every number by itself
    "ReduceL1": torch.abs,
    "ReduceL2": torch.abs,
    "ReduceLogSum": torch.log,
    "ReduceSumSquare": torch.square,
}


@operator(*REDUCTIONS)
def reduced(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Over the given axes; over all where none is given, unless noop_with_empty_axes."""
    listed = given_axes(node, axes) or []
    if not listed and node.get("noop_with_empty_axes", 0):
        return ALONE.get(node.name, torch.clone)(x)
    along = [positive(axis, x.ndim) for axis in listed] or list(range(x.ndim))
    return REDUCTIONS[node.name](x, along, bool(node.get("keepdims", 1))) if x.ndim else x


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node, x: Tensor) -> Tensor:
    """Along one axis; before version 13 along all from that axis on."""
    axis = node.get("axis", -1 if node.version >= 13 else 1)
    if node.version < 13:
        rows = x.flatten(positive(axis, x.ndim)) if x.ndim else x
        return along_axis(node.name, rows, -1).reshape(x.shape)
    return along_axis(node.name, x, axis)


def along_axis(name: str, x: Tensor, axis: int) -> Tensor:
    """The three operators themselves."""
    if name == "Softmax":
        return torch.softmax(x, axis)
    if name == "LogSoftmax":
        return torch.log_softmax(x, axis)
    ladder = spread(torch.arange(x.shape[axis], device=x.device), x.ndim, axis)
    return (ladder == x.argmax(axis, keepdim=True)).to(x.dtype)


@operator("LayerNormalization")
def layer_normalization(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None
) -> Tensor | tuple[Tensor, ...]:
    """Over all axes from the given one on; mean and inverse deviation where asked for."""
    axis = positive(node.get("axis", -1), x.ndim)
    epsilon = node.get("epsilon", 1e-5)
    shape = x.shape[axis:]
    if scale.shape == shape and (bias is None or bias.shape == shape):
        result = functional.layer_norm(x, shape, scale, bias, epsilon)
    else:
        result = functional.layer_norm(x, shape, None, None, epsilon) * scale
        result = result if bias is None else result + bias
    if len(node.outputs) == 1:
        return result
    along = list(range(axis, x.ndim))
    average = x.mean(along, keepdim=True)
    variance = (x - average).square().mean(along, keepdim=True)
    return result, average, torch.rsqrt(variance + epsilon)


@operator("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(  # noqa: PLR0913, PLR0917 - the operator's own inputs
    node: Node,
    x: Tensor,
    skip: Tensor,
    scale: Tensor,
    shift: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor | tuple[Tensor | None, ...]:
    """Of a sum, which is the fourth output."""
    added = x + skip if bias is None else x + skip + bias
    result = functional.layer_norm(added, scale.shape, scale, shift, node.get("epsilon", 1e-12))
    return result if len(node.outputs) == 1 else (result, None, None, added)


@operator("RMSNormalization")
def rms_normalization(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    """Divide by the root of the mean square, from the given axis on."""
    axis = positive(node.get("axis", -1), x.ndim)
    square = x.square().mean(list(range(axis, x.ndim)), keepdim=True)
    return x * torch.rsqrt(square + node.get("epsilon", 1e-5)) * scale


@operator("InstanceNormalization")
def instance_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Each channel of each image by itself."""
    along = list(range(2, x.ndim))
    average = x.mean(along, keepdim=True)
    variance = (x - average).square().mean(along, keepdim=True)
    result = (x - average) * torch.rsqrt(variance + node.get("epsilon", 1e-5))
    return result * spread(scale, x.ndim) + spread(bias, x.ndim)


@operator("GroupNormalization")
def group_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Groups of channels; before version 21 with one scale for each group."""
    groups = node.get("num_groups")
    if node.version < 21:
        each = x.shape[1] // groups
        scale, bias = scale.repeat_interleave(each), bias.repeat_interleave(each)
    return functional.group_norm(x, groups, scale, bias, node.get("epsilon", 1e-5))


@operator("LpNormalization")
def lp_normalization(node: Node, x: Tensor) -> Tensor:
    """Divide by the norm along an axis; zeros stay zeros."""
    norm = torch.linalg.vector_norm(x, node.get("p", 2), dim=node.get("axis", -1), keepdim=True)
    return x / torch.where(norm == 0, torch.ones_like(norm), norm)


@operator("MeanVarianceNormalization")
def mean_variance_normalization(node: Node, x: Tensor) -> Tensor:
    """Zero mean and variance one over the given axes."""
    along = node.get("axes", [0, 2, 3])
    centred = x - x.mean(along, keepdim=True)
    return centred / (centred.square().mean(along, keepdim=True).sqrt() + 1e-9)


@operator("LRN")
def local_response_normalization(node: Node, x: Tensor) -> Tensor:
    """Divide by the neighbouring channels' squares."""
    size = node.get("size")
    if x.ndim < 3:
        raise UnsupportedError("LRN without a picture")
    before = (size - 1) // 2
    squares = x.square().flatten(2).unsqueeze(1)  # (N, 1, C, P): channels as a height
    padded = functional.pad(squares, [0, 0, before, size - 1 - before])
    mean_square = functional.avg_pool2d(padded, (size, 1), 1).squeeze(1).reshape(x.shape)
    scale = node.get("bias", 1.0) + node.get("alpha", 1e-4) * mean_square
    return x / scale.pow(node.get("beta", 0.75))

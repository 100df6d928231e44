"""Pooling over windows, and over whole pictures."""

import torch
from linear import padding, reversed_pairs, volume, windows
from operators import Node, UnsupportedError, operator
from torch import Tensor
from torch.nn import functional

MAXIMA = {3: functional.max_pool1d, 4: functional.max_pool2d, 5: functional.max_pool3d}
AVERAGES = {3: functional.avg_pool1d, 4: functional.avg_pool2d, 5: functional.avg_pool3d}
CONVOLUTIONS = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}


@operator("MaxPool")
def max_pool(node: Node, x: Tensor) -> Tensor:
    """Padding never wins."""
    if len(node.outputs) > 1 and node.outputs[1]:
        raise UnsupportedError("MaxPool with indices")
    if not x.is_floating_point():
        return max_pool(node, x.float()).to(x.dtype)
    kernel = node.get("kernel_shape")
    strides, dilations = windows(node, kernel)
    pads, beyond = window_padding(node, x, kernel)
    ends = [*pads[: len(kernel)], *map(sum, zip(pads[len(kernel) :], beyond, strict=True))]
    if any(ends):
        x = functional.pad(x, reversed_pairs(ends), value=float("-inf"))
    return MAXIMA[x.ndim](x, kernel, strides, 0, dilations)


@operator("AveragePool")
def average_pool(node: Node, x: Tensor) -> Tensor:
    """Padding counts only with count_include_pad; what ceil_mode adds never does."""
    kernel = node.get("kernel_shape")
    pads, beyond = window_padding(node, x, kernel)
    if not any(pads) and not any(beyond):
        return summed(node, x, kernel) / volume(kernel)
    count = torch.ones_like(x[:1, :1])
    if node.get("count_include_pad", 0):
        count = functional.pad(count, reversed_pairs(pads), value=1.0)
        count = functional.pad(count, reversed_pairs([0] * len(kernel) + beyond))
    else:
        count = padded(count, pads, beyond)
    return summed(node, padded(x, pads, beyond), kernel) / summed(node, count, kernel)


@operator("LpPool")
def lp_pool(node: Node, x: Tensor) -> Tensor:
    """The norm of each window."""
    power, kernel = node.get("p", 2), node.get("kernel_shape")
    pads, beyond = window_padding(node, x, kernel)
    return summed(node, padded(x.abs().pow(power), pads, beyond), kernel).pow(1 / power)


@operator("GlobalAveragePool")
def global_average_pool(_node: Node, x: Tensor) -> Tensor:
    """(N, C, ...) -> (N, C, 1, ...)."""
    return x.mean(list(range(2, x.ndim)), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(_node: Node, x: Tensor) -> Tensor:
    """(N, C, ...) -> (N, C, 1, ...)."""
    return x.amax(list(range(2, x.ndim)), keepdim=True)


@operator("GlobalLpPool")
def global_lp_pool(node: Node, x: Tensor) -> Tensor:
    """(N, C, ...) -> (N, C, 1, ...)."""
    along = list(range(2, x.ndim))
    return torch.linalg.vector_norm(x, node.get("p", 2), dim=along, keepdim=True)


def window_padding(node: Node, x: Tensor, kernel: list[int]) -> tuple[list[int], list[int]]:
    """The pads, and what must follow at each end so that ceil_mode's last window is whole."""
    if x.ndim not in MAXIMA:
        raise UnsupportedError("pooling in more than three dimensions")
    strides, dilations = windows(node, kernel)
    pads = padding(node, x.shape[2:], kernel, strides, dilations)
    beyond = []
    for at, side in enumerate(x.shape[2:]):
        reach = (kernel[at] - 1) * dilations[at] + 1
        first, last = pads[at], pads[at + len(kernel)]
        room = side + first + last - reach
        count = (-(-room // strides[at]) if node.get("ceil_mode", 0) else room // strides[at]) + 1
        if (count - 1) * strides[at] >= side + first:  # a window that starts past the picture
            count -= 1
        beyond.append(max(0, (count - 1) * strides[at] + reach - (side + first + last)))
    return pads, beyond


def padded(x: Tensor, pads: list[int], beyond: list[int]) -> Tensor:
    """Zeros around."""
    half = len(beyond)
    ends = [*pads[:half], *map(sum, zip(pads[half:], beyond, strict=True))]
    return functional.pad(x, reversed_pairs(ends))


def summed(node: Node, x: Tensor, kernel: list[int]) -> Tensor:
    """The sum of each window."""
    strides, dilations = windows(node, kernel)
    if max(dilations) == 1:
        return AVERAGES[x.ndim](x, kernel, strides) * volume(kernel)
    each = x.reshape(-1, 1, *x.shape[2:])
    ones = torch.ones(1, 1, *kernel, dtype=x.dtype, device=x.device)
    sums = CONVOLUTIONS[x.ndim](each, ones, None, strides, 0, dilations)
    return sums.reshape(*x.shape[:2], *sums.shape[2:])

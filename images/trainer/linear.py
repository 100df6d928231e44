"""Products of matrices, and convolutions."""

from math import prod

import torch
from operators import MICROSOFT, Node, UnsupportedError, operator
from torch import Tensor
from torch.nn import functional

CONVOLUTIONS = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}
TRANSPOSED = {
    3: functional.conv_transpose1d,
    4: functional.conv_transpose2d,
    5: functional.conv_transpose3d,
}


@operator("MatMul")
def matmul(_node: Node, a: Tensor, b: Tensor) -> Tensor:
    """As numpy's."""
    return torch.matmul(a, b)


@operator("FusedMatMul", domain=MICROSOFT)
def fused_matmul(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """With transposed factors and a scale."""
    if node.get("transBatchA", 0) or node.get("transBatchB", 0):
        raise UnsupportedError("FusedMatMul of moved batches")
    a = a.transpose(-1, -2) if node.get("transA", 0) else a
    b = b.transpose(-1, -2) if node.get("transB", 0) else b
    return torch.matmul(a, b) * node.get("alpha", 1.0)


@operator("Gemm")
def gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """Alpha A B + beta C, where C broadcasts and may be absent."""
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    a = a.T if node.get("transA", 0) else a
    if alpha == 1 and beta == 1 and (c is None or c.ndim == 1) and (c is None or len(c) > 1):
        return functional.linear(a, b if node.get("transB", 0) else b.T, c)
    result = alpha * torch.matmul(a, b.T if node.get("transB", 0) else b)
    return result if c is None else result + beta * c


@operator("FusedGemm", domain=MICROSOFT)
def fused_gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """A Gemm and what follows it."""
    return activated(node, gemm(node, a, b, c))


@operator("Einsum")
def einsum(node: Node, *inputs: Tensor) -> Tensor:
    """Einstein's sum."""
    return torch.einsum(node.get("equation").replace(" ", ""), *inputs)


@operator("Conv")
def conv(node: Node, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """In one to three dimensions."""
    if x.ndim not in CONVOLUTIONS:
        raise UnsupportedError("a convolution of more than three dimensions")
    strides, dilations = windows(node, kernel.shape[2:])
    pads = padding(node, x.shape[2:], kernel.shape[2:], strides, dilations)
    half = len(pads) // 2
    if pads[:half] == pads[half:] and min(pads) >= 0:
        around: list[int] = pads[:half]
    else:
        x, around = functional.pad(x, reversed_pairs(pads)), [0] * half
    group = node.get("group", 1)
    return CONVOLUTIONS[x.ndim](x, kernel, bias, strides, around, dilations, group)


@operator("FusedConv", domain=MICROSOFT)
def fused_conv(
    node: Node, x: Tensor, kernel: Tensor, bias: Tensor | None = None, added: Tensor | None = None
) -> Tensor:
    """A convolution, an addition and what follows them."""
    result = conv(node, x, kernel, bias)
    return activated(node, result if added is None else result + added)


@operator("ConvTranspose")
def conv_transpose(node: Node, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """The whole of it without padding, then cropped: so pads may differ on the two sides."""
    if x.ndim not in TRANSPOSED:
        raise UnsupportedError("a convolution of more than three dimensions")
    strides, dilations = windows(node, kernel.shape[2:])
    extra = node.get("output_padding") or [0] * len(strides)
    group = node.get("group", 1)
    zeros = [0] * len(strides)
    whole = TRANSPOSED[x.ndim](x, kernel, bias, strides, zeros, zeros, group, dilations)
    sides = [side + more for side, more in zip(whole.shape[2:], extra, strict=True)]
    pads = transposed_padding(node, sides, x.shape[2:], strides)
    half = len(strides)
    cut = [-pad for pad in pads]
    # What output_padding adds lies beyond the last window: the bias alone, or nothing.
    cut[half:] = [pad + more for pad, more in zip(cut[half:], extra, strict=True)]
    if max(cut) <= 0 or bias is None:
        return functional.pad(whole, reversed_pairs(cut))
    ones = [1] * half
    return functional.pad(whole - bias.reshape(-1, *ones), reversed_pairs(cut)) + bias.reshape(
        -1, *ones
    )


def transposed_padding(
    node: Node, sides: list[int], taken: torch.Size, strides: list[int]
) -> list[int]:
    """What is cropped off each side, all begins and then all ends."""
    mode = node.get("auto_pad", "NOTSET")
    wanted = node.get("output_shape")
    if wanted is None and mode in {"SAME_UPPER", "SAME_LOWER"}:
        wanted = [side * stride for side, stride in zip(taken, strides, strict=True)]
    if wanted is None:
        given: list[int] = node.get("pads") or [0] * 2 * len(sides)
        return given
    total = [side - want for side, want in zip(sides, wanted[-len(sides) :], strict=True)]
    small = [max(0, each) // 2 for each in total]
    large = [max(0, each) - less for each, less in zip(total, small, strict=True)]
    begins, ends = (small, large) if mode == "SAME_UPPER" else (large, small)
    # A side that is asked to be larger than the whole grows at its end.
    return begins + [last + min(0, each) for last, each in zip(ends, total, strict=True)]


def windows(node: Node, kernel: torch.Size | list[int]) -> tuple[list[int], list[int]]:
    """Strides and dilations, 1 by default."""
    ones = [1] * len(kernel)
    return node.get("strides") or ones, node.get("dilations") or ones


def padding(
    node: Node,
    sides: torch.Size,
    kernel: torch.Size | list[int],
    strides: list[int],
    dilations: list[int],
) -> list[int]:
    """All begins, then all ends."""
    mode = node.get("auto_pad", "NOTSET")
    if mode == "VALID":
        return [0] * 2 * len(sides)
    if mode == "NOTSET":
        given: list[int] = node.get("pads") or [0] * 2 * len(sides)
        return given
    total = [
        max(0, (-(-side // stride) - 1) * stride + (size - 1) * dilation + 1 - side)
        for side, size, stride, dilation in zip(sides, kernel, strides, dilations, strict=True)
    ]
    small = [each // 2 for each in total]
    large = [each - less for each, less in zip(total, small, strict=True)]
    return small + large if mode == "SAME_UPPER" else large + small


def reversed_pairs(pads: list[int]) -> list[int]:
    """ONNX's begins and ends as torch wants them: pairs, the last dimension first."""
    half = len(pads) // 2
    return [pads[at + side * half] for at in reversed(range(half)) for side in (0, 1)]


def activated(node: Node, x: Tensor) -> Tensor:
    """Onnxruntime's fused operators name what follows them."""
    plain = {"": lambda y: y, "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh}
    name = node.get("activation", "")
    numbers = node.get("activation_params") or [node.get("activation_alpha", 0.01)]
    if name in plain:
        return plain[name](x)
    if name == "LeakyRelu":
        return functional.leaky_relu(x, numbers[0])
    if name == "Clip":
        return torch.clamp(x, *numbers)
    if name == "HardSigmoid":
        return torch.clamp(numbers[0] * x + numbers[1], 0, 1)
    raise UnsupportedError("an activation that is not known")


def volume(kernel: list[int]) -> int:
    """Numbers in one window."""
    return prod(kernel)

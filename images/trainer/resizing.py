"""Resize and Upsample: along each axis, a matrix that says which numbers make which."""

import numpy as np
import torch
from numpy.typing import NDArray
from operators import Node, UnsupportedError, ints, operator, positive
from torch import Tensor

F32 = np.float32


@operator("Upsample")
def upsample(node: Node, x: Tensor, scales: Tensor | None = None) -> Tensor:
    """What Resize was before version 10."""
    factors = node.get("scales") if scales is None else scales.tolist()
    sides = [int(side * factor) for side, factor in zip(x.shape, factors, strict=True)]
    return along_axes(node, x, sides, factors, "asymmetric", "floor")


@operator("Resize")
def resize(
    node: Node,
    x: Tensor,
    roi_or_scales: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    """By factors, or to sizes."""
    if node.version < 11:
        assert roi_or_scales is not None  # noqa: S101 - the operator's own signature
        factors = roi_or_scales.tolist()
        sides = [int(side * factor) for side, factor in zip(x.shape, factors, strict=True)]
        return along_axes(node, x, sides, factors, "asymmetric", "floor")
    if node.get("antialias", 0) or node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UnsupportedError("Resize with antialias or a kept aspect ratio")
    along = [positive(axis, x.ndim) for axis in node.get("axes") or range(x.ndim)]
    sides, factors = list(x.shape), [1.0] * x.ndim
    if scales is not None and scales.numel():
        for axis, factor in zip(along, scales.tolist(), strict=True):
            factors[axis], sides[axis] = factor, int(x.shape[axis] * factor)
    else:
        assert sizes is not None  # noqa: S101 - the operator's own signature
        for axis, side in zip(along, ints(sizes), strict=True):
            factors[axis], sides[axis] = side / x.shape[axis], side
    mode = node.get("coordinate_transformation_mode", "half_pixel")
    return along_axes(node, x, sides, factors, mode, node.get("nearest_mode", "round_prefer_floor"))


def along_axes(  # noqa: PLR0913, PLR0917 - what makes a resize
    node: Node, x: Tensor, sides: list[int], factors: list[float], transform: str, nearest: str
) -> Tensor:
    """Each axis by itself: every mode is separable."""
    mode = node.get("mode", "nearest")
    for axis, (side, factor) in enumerate(zip(sides, factors, strict=True)):
        taken = x.shape[axis]
        if side == taken and factor == 1:
            continue
        where = coordinates(side, taken, factor, transform)
        if mode == "nearest":
            places = torch.from_numpy(rounded(where, nearest).clip(0, taken - 1)).to(x.device)
            x = x.index_select(axis, places)
            continue
        mixing = (
            linear(where, taken) if mode in {"linear", "bilinear"} else cubic(node, where, taken)
        )
        matrix = torch.from_numpy(mixing).to(x.device, x.dtype)
        x = torch.matmul(x.movedim(axis, -1), matrix.T).movedim(-1, axis)
    return x


def coordinates(side: int, taken: int, factor: float, transform: str) -> NDArray[np.float32]:
    """(side,) float32 places in the input, of each number of the output."""
    at, scale = np.arange(side, dtype=F32), F32(factor)
    if transform == "asymmetric":
        return at / scale
    if transform == "align_corners":
        return at * F32(taken - 1) / F32(side - 1) if side > 1 else at * 0
    if transform == "pytorch_half_pixel" and side == 1:
        return at * 0
    if transform == "half_pixel_symmetric":
        offset = F32(taken / 2 * (1 - side / (factor * taken)))
        return offset + (at + F32(0.5)) / scale - F32(0.5)
    if transform in {"half_pixel", "pytorch_half_pixel"}:
        return (at + F32(0.5)) / scale - F32(0.5)
    raise UnsupportedError("a coordinate transformation that is not known")


def rounded(where: NDArray[np.float32], nearest: str) -> NDArray[np.int64]:
    """Whole places."""
    half = F32(0.5)
    ways = {
        "round_prefer_floor": lambda: np.ceil(where - half),
        "round_prefer_ceil": lambda: np.floor(where + half),
        "floor": lambda: np.floor(where),
        "ceil": lambda: np.ceil(where),
    }
    return ways[nearest]().astype(np.int64)


def linear(where: NDArray[np.float32], taken: int) -> NDArray[np.float32]:
    """(outputs, inputs) weights of two neighbours."""
    matrix = np.zeros((len(where), taken), F32)
    rows, low = np.arange(len(where)), np.floor(where).astype(np.int64)
    part = where - low
    np.add.at(matrix, (rows, low.clip(0, taken - 1)), 1 - part)
    np.add.at(matrix, (rows, (low + 1).clip(0, taken - 1)), part)
    return matrix


def cubic(node: Node, where: NDArray[np.float32], taken: int) -> NDArray[np.float32]:
    """(outputs, inputs) weights of four neighbours."""
    a = node.get("cubic_coeff_a", -0.75)
    matrix = np.zeros((len(where), taken), np.float64)
    rows, low = np.arange(len(where)), np.floor(where).astype(np.int64)
    for shift in (-1, 0, 1, 2):
        away = np.abs(where.astype(np.float64) - (low + shift))
        near = ((a + 2) * away - (a + 3)) * away**2 + 1
        far = ((a * away - 5 * a) * away + 8 * a) * away - 4 * a
        weight = np.where(away <= 1, near, far)
        if node.get("exclude_outside", 0):
            weight = np.where((low + shift >= 0) & (low + shift < taken), weight, 0)
        np.add.at(matrix, (rows, (low + shift).clip(0, taken - 1)), weight)
    if node.get("exclude_outside", 0):
        matrix /= matrix.sum(1, keepdims=True)
    return matrix.astype(F32)

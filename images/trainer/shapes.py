"""Operators that move numbers and compute none."""

import torch
from operators import (
    Node,
    UnsupportedError,
    given_axes,
    ints,
    operator,
    positive,
    together,
)
from torch import Tensor
from torch.nn import functional


@operator("Shape")
def shape(node: Node, x: Tensor) -> Tensor:
    """Integers on the CPU, as every shape is."""
    return torch.tensor(x.shape[slice(node.get("start", 0), node.get("end"))], dtype=torch.int64)


@operator("Size")
def size(_node: Node, x: Tensor) -> Tensor:
    """How many numbers a tensor has."""
    return torch.tensor(x.numel(), dtype=torch.int64)


@operator("Reshape")
def reshape(node: Node, x: Tensor, wanted: Tensor) -> Tensor:
    """A 0 keeps the dimension as it is, unless allowzero."""
    sides = ints(wanted)
    if not node.get("allowzero", 0):
        sides = [x.shape[at] if side == 0 else side for at, side in enumerate(sides)]
    return x.reshape(sides)


@operator("Flatten")
def flatten(node: Node, x: Tensor) -> Tensor:
    """Two dimensions: those before the axis, and the rest."""
    axis = positive(node.get("axis", 1), x.ndim)
    rows = 1
    for side in x.shape[:axis]:
        rows *= side
    return x.reshape(rows, -1) if x.numel() else x.reshape(rows, 0)


@operator("Squeeze")
def squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Drop dimensions of 1."""
    listed = given_axes(node, axes)
    return x.squeeze() if listed is None else x.squeeze(listed)


@operator("Unsqueeze")
def unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Insert dimensions of 1; the axes are those of the result."""
    listed = given_axes(node, axes) or []
    for axis in sorted(positive(axis, x.ndim + len(listed)) for axis in listed):
        x = x.unsqueeze(axis)
    return x


@operator("Transpose")
def transpose(node: Node, x: Tensor) -> Tensor:
    """Permute the dimensions, reverse them by default."""
    return x.permute(node.get("perm", list(range(x.ndim))[::-1]))


@operator("Concat")
def concat(node: Node, *inputs: Tensor) -> Tensor:
    """Join along an axis."""
    return torch.cat(together(*inputs), dim=node.get("axis"))


@operator("Split")
def split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    """Into parts of given sizes, or as equal as they come."""
    axis = node.get("axis", 0)
    parts = node.get("split") if sizes is None else ints(sizes)
    if parts is None:
        count = node.get("num_outputs", len(node.outputs))
        return torch.split(x, -(-x.shape[axis] // count), dim=axis)
    return torch.split(x, parts, dim=axis)


@operator("Slice")
def slice_(  # noqa: PLR0913, PLR0917 - the operator's own inputs
    node: Node,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    """Python's slices, axis by axis; all of it were attributes before version 10."""
    first = node.get("starts") if starts is None else ints(starts)
    last = node.get("ends") if ends is None else ints(ends)
    along = given_axes(node, axes) or list(range(len(first)))
    by = [1] * len(first) if steps is None else ints(steps)
    for axis, start, end, step in zip(along, first, last, by, strict=True):
        begin, stop, stride = slice(start, end, step).indices(x.shape[axis])
        if stride > 0:
            whole = [slice(None)] * x.ndim
            whole[axis] = slice(begin, max(begin, stop), stride)
            x = x[tuple(whole)]
        else:
            x = x.index_select(axis, torch.arange(begin, stop, stride, device=x.device))
    return x


@operator("Gather")
def gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    """Pick along an axis; the result has the indices' dimensions in its place."""
    axis = positive(node.get("axis", 0), x.ndim)
    flat = indices.reshape(-1).to(x.device, torch.int64)
    flat = torch.where(flat < 0, flat + x.shape[axis], flat)
    picked = x.index_select(axis, flat)
    return picked.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


@operator("GatherElements")
def gather_elements(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    """Pick number by number."""
    axis = positive(node.get("axis", 0), x.ndim)
    indices = indices.to(x.device, torch.int64)
    return x.gather(axis, torch.where(indices < 0, indices + x.shape[axis], indices))


@operator("GatherND")
def gather_nd(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    """Each row of indices names a place of x."""
    if node.get("batch_dims", 0):
        raise UnsupportedError("GatherND with batch_dims")
    return x[tuple(indices.to(x.device, torch.int64).movedim(-1, 0))]


@operator("ScatterND")
def scatter_nd(node: Node, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    """Replace what each row of indices names."""
    if node.get("reduction", "none") not in {"none", "add"}:
        raise UnsupportedError("ScatterND with a reduction")
    x, indices, updates = together(x, indices, updates)
    places = tuple(indices.to(torch.int64).movedim(-1, 0))
    accumulate = node.get("reduction", "none") == "add"
    return x.index_put(places, updates.to(x.dtype), accumulate=accumulate)


@operator("Scatter", "ScatterElements")
def scatter_elements(node: Node, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    """Replace number by number along an axis."""
    if node.get("reduction", "none") not in {"none", "add"}:
        raise UnsupportedError("ScatterElements with a reduction")
    axis = positive(node.get("axis", 0), x.ndim)
    x, indices, updates = together(x, indices, updates)
    indices = torch.where(indices < 0, indices + x.shape[axis], indices).to(torch.int64)
    if node.get("reduction", "none") == "add":
        return x.scatter_add(axis, indices, updates.to(x.dtype))
    return x.scatter(axis, indices, updates.to(x.dtype))


@operator("Expand")
def expand(_node: Node, x: Tensor, wanted: Tensor) -> Tensor:
    """Broadcast both ways."""
    return x.expand(torch.broadcast_shapes(x.shape, ints(wanted)))


@operator("Tile")
def tile(_node: Node, x: Tensor, repeats: Tensor) -> Tensor:
    """Repeat along each axis."""
    return x.repeat(ints(repeats))


@operator("ConstantOfShape")
def constant_of_shape(node: Node, wanted: Tensor) -> Tensor:
    """One number throughout, a float 0 by default."""
    value = node.get("value", torch.zeros(1))
    return value.reshape(()).expand(ints(wanted)).clone()


@operator("Range")
def range_(_node: Node, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Like Python's."""
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


@operator("Pad")
def pad(
    node: Node,
    x: Tensor,
    pads: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    """With a number, the edge, its mirror image, or the other side; negative pads crop."""
    amounts = node.get("pads") if pads is None else ints(pads)
    along = list(range(x.ndim)) if axes is None else ints(axes)
    before, after = amounts[: len(along)], amounts[len(along) :]
    mode = node.get("mode", "constant")
    if mode != "constant":
        for axis, first, last in zip(along, before, after, strict=True):
            if first or last:
                places = torch.arange(-first, x.shape[axis] + last)
                x = x.index_select(axis, mirrored(places, x.shape[axis], mode).to(x.device))
        return x
    widths = [[0, 0] for _ in range(x.ndim)]
    for axis, first, last in zip(along, before, after, strict=True):
        widths[axis] = [first, last]
    number = node.get("value", 0.0) if value is None else value.item()
    return functional.pad(x, [width for pair in widths[::-1] for width in pair], value=number)


def mirrored(places: Tensor, side: int, mode: str) -> Tensor:
    """Indices (K,) beyond 0..side-1 brought back into it."""
    if mode == "edge":
        return places.clamp(0, side - 1)
    if mode == "wrap":
        return places % side
    if mode != "reflect":
        raise UnsupportedError("a padding that is not known")
    period = max(1, 2 * (side - 1))
    folded = places % period
    return torch.minimum(folded, period - folded)


@operator("DepthToSpace")
def depth_to_space(node: Node, x: Tensor) -> Tensor:
    """(N, b*b*C, H, W) -> (N, C, H*b, W*b)."""
    block = node.get("blocksize")
    n, c, h, w = x.shape
    if node.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x, block)
    parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // block**2, h * block, w * block)


@operator("SpaceToDepth")
def space_to_depth(node: Node, x: Tensor) -> Tensor:
    """(N, C, H*b, W*b) -> (N, b*b*C, H, W)."""
    if node.get("mode", "DCR") != "DCR":
        raise UnsupportedError("SpaceToDepth in another order")
    block = node.get("blocksize")
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * block**2, h // block, w // block)


@operator("OneHot")
def one_hot(node: Node, indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    """The `on` number where the index points, `off` elsewhere."""
    count = int(depth.item())
    axis = positive(node.get("axis", -1), indices.ndim + 1)
    off, on = values
    hot = indices.to(torch.int64).unsqueeze(axis) % count
    ladder = torch.arange(count, device=hot.device)
    ladder = ladder.reshape([-1 if at == axis else 1 for at in range(hot.ndim)])
    inside = ((indices >= -count) & (indices < count)).unsqueeze(axis)
    return torch.where((hot == ladder) & inside, on.to(hot.device), off.to(hot.device))


@operator("Trilu")
def trilu(node: Node, x: Tensor, k: Tensor | None = None) -> Tensor:
    """The upper or the lower triangle."""
    diagonal = 0 if k is None else int(k.item())
    return torch.triu(x, diagonal) if node.get("upper", 1) else torch.tril(x, diagonal)


@operator("NonZero")
def non_zero(_node: Node, x: Tensor) -> Tensor:
    """Where numbers are not zero, (rank, count)."""
    return torch.nonzero(x).T.contiguous()


@operator("TopK")
def top_k(node: Node, x: Tensor, k: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The largest numbers along an axis, and where they are."""
    count = node.get("k") if k is None else int(k.item())
    axis = node.get("axis", -1)
    values, indices = torch.sort(x, dim=axis, descending=bool(node.get("largest", 1)), stable=True)
    return values.narrow(axis, 0, count), indices.narrow(axis, 0, count)


@operator("ArgMax", "ArgMin")
def arg_extreme(node: Node, x: Tensor) -> Tensor:
    """The first place of the largest or smallest number, or the last."""
    axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
    find = torch.argmax if node.name == "ArgMax" else torch.argmin
    if not node.get("select_last_index", 0):
        return find(x, dim=axis, keepdim=keep)
    return x.shape[axis] - 1 - find(x.flip(axis), dim=axis, keepdim=keep)


@operator("CumSum")
def cum_sum(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    """Running sums, forward or backward, with or without the number itself."""
    along = int(axis.item())
    turned = x.flip(along) if node.get("reverse", 0) else x
    sums = turned.cumsum(along, dtype=x.dtype)
    if node.get("exclusive", 0):
        sums = sums - turned
    return sums.flip(along) if node.get("reverse", 0) else sums

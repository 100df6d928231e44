"""The `evaluator.*` keys of a model's metadata_props: how pixel values become its input."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREFIX = "evaluator."
NUMBERS = ("scale", "mean", "std")
KNOWN = (*NUMBERS, "channels")


class MetadataError(Exception):
    """A key or a value that the contract does not have."""


def read_metadata(session: Any) -> dict[str, str]:  # noqa: ANN401 - a session, or a test's stand-in
    """The model's own `evaluator.*` entries, without the prefix; other tools' keys are theirs."""
    try:
        entries = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise MetadataError("its metadata is not UTF-8 text") from error
    found = {
        key.removeprefix(PREFIX): value for key, value in entries.items() if key.startswith(PREFIX)
    }
    unknown = sorted(found.keys() - set(KNOWN))
    if unknown:
        raise MetadataError(f"unknown metadata keys {unknown}: this runner knows {KNOWN}")
    if found.get("channels", "repeat") != "repeat":
        raise MetadataError("evaluator.channels can only be repeat")
    return found


def affine(
    metadata: dict[str, str], layout: str, shape: tuple[int, ...], *, is_float: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """(factor, offset) such that input = value * factor + offset; None for the values as they are.

    (value * scale - mean) / std, computed as value * (scale / std) - mean / std in
    float32. Both arrays broadcast over (n, *shape).
    """
    if not any(key in metadata for key in NUMBERS):
        return None
    if not is_float:
        raise MetadataError("an integer input gets the values as they are: no scale, mean or std")
    channels = {"NCHW": shape[0], "NHWC": shape[-1], "NHW": 1}[layout]
    scale = numbers(metadata.get("scale", "1"), 1)
    mean = numbers(metadata.get("mean", "0"), channels)
    std = numbers(metadata.get("std", "1"), channels)
    if not std.all():
        raise MetadataError("evaluator.std has a zero")
    along = {"NCHW": (-1, 1, 1), "NHWC": (-1,), "NHW": (-1, 1)}[layout]
    factor = np.asarray(scale / std, np.float32).reshape(along)
    offset = np.asarray(-mean / std, np.float32).reshape(along)
    if not (np.isfinite(factor).all() and np.isfinite(offset).all()):
        raise MetadataError("scale, mean and std go beyond float32")
    return factor, offset


def numbers(text: str, count: int) -> NDArray[np.float64]:
    """One number, or `count` of them between commas."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise MetadataError(f"{text[:40]!r} is not a list of numbers") from error
    if len(values) not in {1, count} or not all(map(math.isfinite, values)):
        raise MetadataError(f"{text[:40]!r} is not one finite number, nor one for each channel")
    return np.array(values)

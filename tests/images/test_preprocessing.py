"""The `evaluator.*` metadata: numbers in, one factor and one offset out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import ModuleType

SHAPES = {"NCHW": (3, 8, 8), "NHWC": (8, 8, 3), "NHW": (8, 8)}
channel_numbers = st.lists(st.floats(0.01, 100), min_size=3, max_size=3)


@given(
    layout=st.sampled_from(["NCHW", "NHWC"]),
    scale=st.floats(0.001, 10),
    mean=channel_numbers,
    std=channel_numbers,
)
def test_factor_and_offset_are_the_contracts_formula(
    preprocessing: ModuleType, layout: str, scale: float, mean: list[float], std: list[float]
) -> None:
    """Value * factor + offset is (value * scale - mean) / std, to float32's precision."""
    metadata = {
        "scale": repr(scale),
        "mean": ",".join(map(repr, mean)),
        "std": ",".join(map(repr, std)),
    }
    shape = SHAPES[layout]
    factor, offset = preprocessing.affine(metadata, layout, shape, is_float=True)
    along = (3, 1, 1) if layout == "NCHW" else (3,)
    values = np.arange(192.0).reshape(shape)
    wanted = (values * scale - np.reshape(mean, along)) / np.reshape(std, along)
    largest = np.abs(values * scale).max() + max(mean)
    assert np.allclose(values * factor + offset, wanted, rtol=0, atol=largest / min(std) * 1e-6)


def test_without_numbers_the_values_stay_as_they_are(preprocessing: ModuleType) -> None:
    """No key, no arithmetic: not even a multiplication by one."""
    assert preprocessing.affine({}, "NCHW", (1, 8, 8), is_float=True) is None


@pytest.mark.parametrize(
    "metadata",
    [
        {"scale": "1,2,3"},
        {"mean": "1,2"},
        {"std": "0"},
        {"std": "1,0,1"},
        {"scale": "inf"},
        {"mean": "nan"},
        {"scale": ""},
        {"scale": "1e300"},
        {"std": "1e-300"},
    ],
)
def test_unusable_numbers_are_refused(preprocessing: ModuleType, metadata: dict[str, str]) -> None:
    """A wrong count, a zero deviation, and what float32 cannot hold break no model silently."""
    with np.errstate(over="ignore"), pytest.raises(preprocessing.MetadataError):
        preprocessing.affine(metadata, "NCHW", (3, 8, 8), is_float=True)


def test_an_integer_input_has_no_arithmetic(preprocessing: ModuleType) -> None:
    """A scale on a uint8 input would be lost in the cast, so it is refused."""
    with pytest.raises(preprocessing.MetadataError, match="as they are"):
        preprocessing.affine({"scale": "2"}, "NCHW", (1, 8, 8), is_float=False)
    assert preprocessing.affine({"scale": "2"}, "NCHW", (1, 8, 8), is_float=True) is not None

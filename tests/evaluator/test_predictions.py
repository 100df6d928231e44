"""Any bytes become predictions or one of two statuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import SubmissionError
from evaluator.predictions import read_predictions


def refusal(raw: bytes, count: int, classes: int) -> SubmissionError:
    """Return the error that reading raises."""
    with pytest.raises(SubmissionError) as caught:
        read_predictions(raw, count, classes)
    return caught.value


def test_one_byte_a_tile_is_read_in_order() -> None:
    """Byte i is the class of tile i."""
    predictions = read_predictions(b"\x02\x00\x01", 3, 3)

    assert predictions.tolist() == [2, 0, 1]
    assert predictions.dtype == np.uint8


def test_nothing_written_is_output_missing() -> None:
    """An empty file is told apart from a wrong one."""
    assert refusal(b"", 3, 3).status == "OUTPUT_MISSING"


@pytest.mark.parametrize("raw", [b"\0", b"\0\0", b"\0\0\0\0"], ids=["one", "short", "long"])
def test_wrong_length_is_output_invalid(raw: bytes) -> None:
    """One byte too few or too many is invalid, whatever the bytes."""
    assert refusal(raw, 3, 3).status == "OUTPUT_INVALID"


@pytest.mark.parametrize("byte", [3, 9, 255])
def test_index_of_no_class_is_output_invalid(byte: int) -> None:
    """The first index past the classes is already invalid."""
    assert refusal(bytes([0, byte, 1]), 3, 3).status == "OUTPUT_INVALID"


def test_refusal_says_the_same_whatever_was_written() -> None:
    """The message may reach the vendor, so no byte of the output shapes it."""
    assert str(refusal(b"\0\0", 3, 3)) == str(refusal(b"\7" * 9, 3, 3))
    assert str(refusal(b"\0\0\3", 3, 3)) == str(refusal(b"\xff\xff\xff", 3, 3))


@given(
    raw=st.binary(max_size=40),
    count=st.integers(1, 40),
    classes=st.integers(2, 255),
)
def test_any_bytes_are_predictions_or_a_status(raw: bytes, count: int, classes: int) -> None:
    """Nothing but a value in range or SubmissionError ever comes out."""
    if len(raw) == count and max(raw) < classes:
        assert read_predictions(raw, count, classes).tobytes() == raw
    else:
        assert refusal(raw, count, classes).status in {"OUTPUT_MISSING", "OUTPUT_INVALID"}

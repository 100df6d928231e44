"""Sums of errors against adding Python integers one after the other."""

from __future__ import annotations

from math import ldexp

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evaluator.error_sums import sums_of_errors
from evaluator.scoring import CHUNK

Row = tuple[int, float, float]

LARGEST = float(np.finfo(np.float32).max)
SMALLEST = ldexp(1, -149)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


def one_by_one(rows: list[Row], classes: int) -> dict[str, list[int]]:
    """The same sums, of integers that hold every float32 exactly."""
    sums = {
        name: [0] * classes
        for name in ("tiles", "signed", "absolute", "squared", "targets", "targets_squared")
    }
    for label, target, prediction in rows:
        wanted, error = (int(ldexp(value, 149)) for value in (target, prediction))
        error -= wanted
        for name, value in zip(
            sums, (1, error, abs(error), error * error, wanted, wanted * wanted), strict=True
        ):
            sums[name][label] += value
    return sums


def at_once(rows: list[Row], classes: int) -> dict[str, list[int]]:
    """What is tested, of rows."""
    labels, targets, predictions = zip(*rows, strict=True)
    return sums_of_errors(
        np.array(labels, np.uint8),
        np.array(targets, np.float32),
        np.array(predictions, np.float32),
        classes,
    )


@given(st.lists(st.tuples(st.integers(0, 2), numbers, numbers), min_size=1, max_size=40))
@example([(0, LARGEST, -LARGEST), (0, SMALLEST, -0.0), (1, -SMALLEST, 1.0), (1, 2**-126, 2**-127)])
def test_sums_are_those_of_adding_one_by_one(rows: list[Row]) -> None:
    """Whatever the numbers: from the smallest float32 to the largest, beside each other."""
    assert at_once(rows, 3) == one_by_one(rows, 3)


def test_many_numbers_lose_no_bit() -> None:
    """More than one chunk, of numbers whose bits are all set."""
    rows = [(at % 2, LARGEST, -LARGEST if at % 3 else SMALLEST) for at in range(2 * CHUNK + 7)]

    assert at_once(rows, 2) == one_by_one(rows, 2)


def test_a_class_without_a_tile_has_none() -> None:
    """Its sums are 0, and who measures refuses it."""
    sums = at_once([(0, 1.0, 2.0)], 2)

    assert [sums[name][1] for name in sums] == [0] * 6


def test_arrays_of_different_lengths_are_refused() -> None:
    """Also where one is of a whole number of chunks."""
    labels, numbers_ = np.zeros(CHUNK, np.uint8), np.zeros(CHUNK + 1, np.float32)

    with pytest.raises(ValueError, match="too many values"):
        sums_of_errors(labels, numbers_, numbers_, 1)

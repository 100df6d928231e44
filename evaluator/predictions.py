"""Read what a submission wrote: the one place where a vendor's bytes are parsed.

The sandbox hands over the bytes of the pre-made file, at most one more than expected.
There is no format to parse: byte i is the class of tile i, or four bytes are its number.
"""

import numpy as np
from numpy.typing import NDArray

from evaluator.errors import SubmissionError
from evaluator.job import NUMBER_BYTES


def read_predictions(raw: bytes, count: int, classes: int) -> NDArray[np.uint8]:
    """Return the predicted class of each tile, shape (count,), uint8, each below `classes`.

    Raises SubmissionError with status OUTPUT_MISSING where nothing was written, and
    OUTPUT_INVALID where there is not exactly one byte a tile or a byte names no class. How
    many bytes there were, and which was wrong, stays out of the message: both were chosen by
    a program that saw the tiles.
    """
    if not raw:
        raise SubmissionError(
            "OUTPUT_MISSING",
            "The submission wrote no predictions. Write one byte a tile to /output/predictions.",
        )
    if len(raw) != count:
        raise SubmissionError(
            "OUTPUT_INVALID",
            "The predictions do not have one byte a tile. Write each tile's class as one uint8, "
            "in the order of tiles.npy, and nothing else.",
        )
    predictions = np.frombuffer(raw, dtype=np.uint8)
    if int(predictions.max()) >= classes:
        raise SubmissionError(
            "OUTPUT_INVALID",
            "A prediction names no class. Write the index of a class in manifest.json's `classes`.",
        )
    return predictions


def read_numbers(raw: bytes, count: int) -> NDArray[np.float32]:
    """Return the predicted number of each tile, shape (count,), finite float32.

    Raises SubmissionError with status OUTPUT_MISSING where nothing was written, and
    OUTPUT_INVALID where there are not exactly four bytes a tile or a number is none. The message
    says no more than that of `read_predictions`.
    """
    if not raw:
        raise SubmissionError(
            "OUTPUT_MISSING",
            "The submission wrote no predictions. Write four bytes a tile to /output/predictions.",
        )
    if len(raw) != NUMBER_BYTES * count:
        raise SubmissionError(
            "OUTPUT_INVALID",
            "The predictions do not have four bytes a tile. Write each tile's number as one "
            "little-endian float32, in the order of tiles.npy, and nothing else.",
        )
    predictions = np.frombuffer(raw, dtype="<f4")
    if not np.isfinite(predictions).all():
        raise SubmissionError(
            "OUTPUT_INVALID",
            "A prediction is no finite number. Write a float32 for each tile, never NaN or "
            "infinity.",
        )
    return predictions.astype(np.float32, copy=False)  # a copy where bytes are the other way round

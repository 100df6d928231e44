"""The files of a dataset are hashed before each run, beside what else has to happen before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.dataset.copies import own_copy
from evaluator.dataset.sealed import check_seal, open_dataset
from evaluator.meanwhile import meanwhile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.dataset.sealed import Dataset


@dataclass(frozen=True, slots=True)
class Hashing:
    """A dataset, and its hashing under way: `wait` ends with it, and raises what `check_seal` does.

    It reads in a thread that leaves Python's other threads alone.
    """

    dataset: Dataset
    wait: Callable[[], None]


def hashing(data: Path, copy: Path) -> Hashing:
    """Begin to hash today's version of `data`, as `copy` has it; the caller holds the slot.

    No other run has these files by then: what it left of them in memory is dropped first.
    """
    dataset = open_dataset(own_copy(data, copy))
    return Hashing(dataset, meanwhile(lambda: check_seal(dataset)))

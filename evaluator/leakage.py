"""Count how many bits one run's record can carry out.

A record that can take M values tells its reader at most log2 M bits, whatever the submission
did and whatever the bits are about (tiles, labels, the host). Bits are given in tenths,
rounded up, so that a sum of them never understates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import prod

from evaluator.regression import ErrorGrid, records
from evaluator.scoring import Grid, Holdout
from evaluator.status import STATUSES


@dataclass(frozen=True, slots=True)
class Account:
    """Bits that results have carried so far, over all vendors and versions, and their budget."""

    released: float
    budget: int


def phase_bits(holdout: Holdout, grid: Grid | ErrorGrid, charges: int) -> float:
    """Return log2((M + s - 1) c): M scored records of a phase, s statuses, c values of its charge.

    M is the product of min(n, steps) + 1 over the independent figures: accuracy, each class's
    recall, and accuracy on the rare classes (everything else is a function of these). Where
    class sizes are not published, n is the whole holdout: the bound is then above the truth,
    but it says nothing of the sizes and anyone can recompute it. Where numbers are predicted,
    `regression.records` counts M.

    Which rules refused a submission adds nothing: they were decided before it met a tile. Nor do
    policies, devices and the proof of the wall: those were decided before it was received.
    """
    if isinstance(grid, ErrorGrid):
        scored = records(grid, len(holdout.classes))
    else:
        scored = _scored(holdout, grid)
    return bits((scored + len(STATUSES) - 1) * charges)


def _scored(holdout: Holdout, grid: Grid) -> int:
    sizes = holdout.class_sizes or (holdout.tiles,) * len(holdout.classes)
    rare = min(holdout.tiles, sum(sizes[index] for index in holdout.rare_indexes))
    return (
        _values(holdout.tiles, grid.accuracy)
        * prod(_values(tiles, grid.recall) for tiles in sizes)
        * _values(rare, grid.rare_accuracy)
    )


def release_bits(longest: int, slot: int) -> float:
    """Return the bits in the slot of release: a run may last until a later one on purpose.

    `longest` is the longest that a submission can make a run take and `slot` the length of a
    release slot, both in seconds. Runs follow one another, so a run may start at any moment of
    the slot in which the one before it ended, and then takes time of ours as well: it ends in one
    of ceil(longest / slot) + 2 slots. A refused submission counts them too, since its slot says
    when the run before it ended: a row of refused ones would time that run to the second.
    """
    return bits(-(-longest // slot) + 2)


def release_time(ended: float, slot: int) -> str:
    """Return the end of the release slot in which `ended` lies, as RFC 3339 in UTC.

    `ended` is in seconds since 1970, `slot` in seconds; slots are counted from 1970 too, so a
    day's slot ends at midnight UTC.
    """
    return datetime.fromtimestamp((ended // slot + 1) * slot, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bits(values: int) -> float:
    """Return log2(values), rounded up to a tenth by integer arithmetic."""
    return (values**10 - 1).bit_length() / 10


def total(*parts: float) -> float:
    """Return the sum of bits given in tenths, exact in tenths."""
    return sum(map(tenths, parts)) / 10


def tenths(bits: float) -> int:
    """Return how many tenths of a bit these are."""
    return round(10 * bits)


def tile_bits(shape: Sequence[int], itemsize: int) -> int:
    """Return the bits of one uncompressed tile of `shape`, of `itemsize` bytes a value."""
    return 8 * itemsize * prod(shape)


def _values(tiles: int, steps: int) -> int:
    return min(tiles, steps) + 1

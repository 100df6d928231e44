"""Exact sums of the errors of millions of float32 numbers, without a Python integer for each.

A finite float32 is m * 2^(e - 149) with whole numbers |m| < 2^24 and 0 <= e < 254, and a product of
two is one of the same kind: |m| < 2^48, its exponents added. So numpy adds up the m of each e, in
two halves of 24 bits that float64 holds exactly, and Python's integers put the few hundred sums
together: what comes out is the same as of adding one number after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.scoring import in_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXPONENTS = 512
"""More than there are, of one number or of a product."""

HALF = 24
"""Bits of a half: those of 65,536 numbers add up to less than 2^53 in one float64."""


class SumsOf:
    """One sum for each group, of summands m * 2^e: fewer than 2^38 of them."""

    def __init__(self, groups: int) -> None:
        self._halves = np.zeros((2, groups * EXPONENTS), np.int64)

    def add(
        self, groups: NDArray[np.int64], parts: tuple[NDArray[np.int64], NDArray[np.int64]]
    ) -> None:
        """Add a chunk of summands, `parts` being their m and e, each to the sum of its group."""
        mantissas, exponents = parts
        bins = groups * EXPONENTS + exponents
        halves = (mantissas & ((1 << HALF) - 1), mantissas >> HALF)
        for at, half in enumerate(halves):
            self._halves[at] += np.bincount(bins, half, self._halves.shape[1]).astype(np.int64)

    def exact(self) -> list[int]:
        """Return the sums, as many as there are groups."""
        low, high = self._halves
        sums = [0] * (len(low) // EXPONENTS)
        for at in np.flatnonzero(low | high).tolist():
            group, exponent = divmod(at, EXPONENTS)
            sums[group] += (int(low[at]) + (int(high[at]) << HALF)) << exponent
        return sums


def sums_of_errors(
    labels: NDArray[np.uint8],
    targets: NDArray[np.float32],
    predictions: NDArray[np.float32],
    classes: int,
) -> dict[str, list[int]]:
    """Return exact sums for each class, of predictions p and targets t, and how many there are.

    `signed` of p - t, `absolute` of |p - t|, `targets` of t, in units of 2^-149; `squared` of
    (p - t)^2, `targets_squared` of t^2, in those of 2^-298.
    """
    tiles = np.zeros(2 * classes, np.int64)
    p, t, pp, pt, tt = (SumsOf(2 * classes) for _ in range(5))
    for labels_, targets_, predictions_ in in_chunks(labels, targets, predictions):
        # A class is two groups, of too small predictions and of the others: no sign is lost.
        groups = labels_.astype(np.int64) * 2 + (predictions_ >= targets_)
        tiles += np.bincount(groups, minlength=len(tiles))
        (m, e), (n, f) = _parts(predictions_), _parts(targets_)
        p.add(groups, (m, e))
        t.add(groups, (n, f))
        pp.add(groups, (m * m, e + e))
        pt.add(groups, (m * n, e + f))
        tt.add(groups, (n * n, f + f))
    too_small, others = slice(0, None, 2), slice(1, None, 2)
    errors = _minus(p.exact(), t.exact())
    squares = [a - 2 * b + c for a, b, c in zip(pp.exact(), pt.exact(), tt.exact(), strict=True)]
    return {
        "tiles": _plus(tiles[too_small].tolist(), tiles[others].tolist()),
        "signed": _plus(errors[too_small], errors[others]),
        "absolute": _minus(errors[others], errors[too_small]),
        "squared": _plus(squares[too_small], squares[others]),
        "targets": _plus(t.exact()[too_small], t.exact()[others]),
        "targets_squared": _plus(tt.exact()[too_small], tt.exact()[others]),
    }


def _parts(values: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The m and e of finite numbers; an exponent of 0 is that of 1 without its leading bit."""
    bits = values.view(np.uint32).astype(np.int64)
    exponents = bits >> 23 & 0xFF
    mantissas = bits & 0x7FFFFF | (exponents > 0).astype(np.int64) << 23
    return np.where(np.signbit(values), -mantissas, mantissas), np.maximum(exponents, 1) - 1


def _plus(first: list[int], second: list[int]) -> list[int]:
    return [a + b for a, b in zip(first, second, strict=True)]


def _minus(first: list[int], second: list[int]) -> list[int]:
    return [a - b for a, b in zip(first, second, strict=True)]

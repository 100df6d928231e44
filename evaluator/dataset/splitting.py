"""Which tiles become the holdout: every class in proportion, and no group divided.

Where tiles have targets, so is every stratum of a class: a part of it by its targets.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from evaluator.errors import OwnerError

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

Stratum = tuple[str, int]
"""A class, and the part of it by targets; 0 where tiles have none."""


def check_holdout(holdout: float) -> None:
    """Raise OwnerError unless --holdout is a whole number from 1, or a share between 0 and 1."""
    if not (holdout >= 1 if isinstance(holdout, int) else 0 < holdout < 1):
        raise OwnerError(
            f"A holdout of {holdout} is neither a number of tiles, such as 5000, nor a share, "
            "such as 0.2."
        )


def holdout_size(holdout: float, tiles: int) -> int:
    """Turn --holdout into a number of tiles; a share is rounded half up.

    Raises OwnerError if that is none, or more than there are.
    """
    check_holdout(holdout)
    share = Fraction(str(holdout)) * (1 if isinstance(holdout, int) else tiles)
    size = int(share + Fraction(1, 2))
    if not 1 <= size <= tiles:
        raise OwnerError(
            f"A holdout of {holdout} cannot be taken from {tiles} tiles. Choose another, or "
            "import more tiles."
        )
    return size


def apportion(sizes: Sequence[int], seats: int, *, both_sides: bool) -> list[int]:
    """Divide `seats` among classes in proportion to their sizes, by largest remainder.

    Ties go to the earlier class. With `both_sides` each class gets at least one seat and
    keeps at least one tile, even where its share of the seats is less.
    Source: the Hamilton method; the bounds take from, or give to, the class farthest from
    its exact share. Raises OwnerError if the bounds leave no way.
    """
    least = [1 if both_sides else 0 for _ in sizes]
    most = [size - 1 if both_sides else size for size in sizes]
    if not sum(least) <= seats <= sum(most) or any(map(int.__gt__, least, most)):
        raise OwnerError(
            f"A holdout of {seats} tiles cannot be split over {len(sizes)} classes so that each "
            f"has a tile on both sides: choose between {sum(least)} and {sum(most)} tiles."
        )
    total = sum(sizes)
    exact = [Fraction(size * seats, total) for size in sizes]
    given = [
        min(max(int(share), low), high) for share, low, high in zip(exact, least, most, strict=True)
    ]
    classes = range(len(sizes))
    while sum(given) < seats:
        lacking = max(
            (c for c in classes if given[c] < most[c]), key=lambda c: (exact[c] - given[c], -c)
        )
        given[lacking] += 1
    while sum(given) > seats:
        ahead = max(
            (c for c in classes if given[c] > least[c]), key=lambda c: (given[c] - exact[c], c)
        )
        given[ahead] -= 1
    return given


def split(  # noqa: PLR0913, PLR0917 - what is known of the tiles, each a row of its own
    labels: Sequence[str],
    groups: Sequence[bytes | None],
    seats: int,
    shuffle: random.Random,
    known: Mapping[bytes, bool] | None = None,
    strata: Sequence[int] | None = None,
) -> list[bool]:
    """Say for each tile whether it goes into the holdout.

    Without groups the holdout has exactly `seats` tiles, each class its apportioned share, and of
    that each stratum of the class (`strata`, one number for each tile) its own.
    Groups are placed whole, the largest first, each where it brings the classes closer to
    their shares (squared distance relative to the share), so that single tiles even out what
    groups left. Which tiles of a class are taken, and which of equal groups, is up to `shuffle`.

    `known` says which groups an earlier version has in its holdout (True) or training set, and
    is given when the tiles join that version: its groups stay on their side, and a class need
    not be on both sides. Otherwise OwnerError is raised if one cannot be.
    """
    fixed = known or {}
    if seats == len(labels):
        return [True if group is None else fixed.get(group, True) for group in groups]
    one: dict[Stratum, Stratum] = {}  # one object for each stratum, and not for each tile
    found = zip(labels, strata or repeat(0, len(labels)), strict=True)
    keys = [one.setdefault(key, key) for key in found]
    state = _State(_shares(keys, seats, both_sides=known is None), Counter(keys))
    pieces, singles = _pieces(keys, groups, fixed, shuffle)
    for piece in pieces:
        side = None if piece.group is None else fixed.get(piece.group)
        if state.cost(piece, 1) < 0 if side is None else side:
            state.move(piece, 1)
    for key, rows in singles.items():
        state.fill(key, rows)
    if known is None:
        for name in sorted(set(labels)):
            _bring_to_both_sides(state, pieces, singles, name)
    return [bool(side) for side in state.holdout]


def shuffled(rows: Sequence[int], shuffle: random.Random) -> array[int]:
    """Return the rows in random order: each gets 64 random bits, and they are sorted by these."""
    keys = np.frombuffer(shuffle.randbytes(8 * len(rows)), np.uint64)
    order = np.argsort(keys, kind="stable")
    return array("Q", np.asarray(rows, np.uint64)[order].tobytes())


def _shares(keys: Sequence[Stratum], seats: int, *, both_sides: bool) -> dict[Stratum, int]:
    """Divide `seats` among classes, and then each class's among its strata."""
    sizes = Counter(keys)
    classes = Counter(name for name, _ in keys)
    names = sorted(classes)
    given = apportion([classes[name] for name in names], seats, both_sides=both_sides)
    shares: dict[Stratum, int] = {}
    for name, share in zip(names, given, strict=True):
        mine = sorted(key for key in sizes if key[0] == name)
        parts = apportion([sizes[key] for key in mine], share, both_sides=False)
        shares |= dict(zip(mine, parts, strict=True))
    return shares


@dataclass(frozen=True, slots=True)
class _Piece:
    """Tiles that stay together: a group. What holds of no other is a piece too, of one tile."""

    group: bytes | None
    rows: list[int]
    sizes: Counter[Stratum]

    def of_classes(self) -> Counter[str]:
        """Return its tiles of each class."""
        found = Counter[str]()
        for (name, _), count in self.sizes.items():
            found[name] += count
        return found


def _pieces(
    keys: Sequence[Stratum],
    groups: Sequence[bytes | None],
    fixed: Mapping[bytes, bool],
    shuffle: random.Random,
) -> tuple[list[_Piece], dict[Stratum, array[int]]]:
    """Gather groups, largest first and in random order among equals, and single tiles by stratum.

    A group of one tile is a single tile, unless its side is known.
    """
    together: dict[bytes, list[int]] = {}
    alone: dict[Stratum, array[int]] = {}
    for row, group in enumerate(groups):
        if group is None:
            alone.setdefault(keys[row], array("Q")).append(row)
        else:
            together.setdefault(group, []).append(row)
    pieces = []
    for group, rows in together.items():
        if len(rows) == 1 and group not in fixed:
            alone.setdefault(keys[rows[0]], array("Q")).append(rows[0])
        else:
            pieces.append(_Piece(group, rows, Counter(keys[row] for row in rows)))
    shuffle.shuffle(pieces)
    pieces.sort(key=lambda piece: -len(piece.rows))
    return pieces, {key: shuffled(rows, shuffle) for key, rows in alone.items()}


class _State:
    """The holdout while pieces move: `sign` is 1 for into it, -1 for out of it."""

    def __init__(self, shares: Mapping[Stratum, int], sizes: Counter[Stratum]) -> None:
        self.shares = shares
        self.sizes = sizes
        self.have = Counter[Stratum]()
        self.holdout = bytearray(sizes.total())  # of each tile whether it is held out

    def cost(self, piece: _Piece, sign: int) -> float:
        """Return how much farther from the shares a move brings the classes."""
        return sum(
            count
            * (count + 2 * sign * (self.have[c] - self.shares[c]))
            / (self.shares[c] or 1) ** 2
            for c, count in piece.sizes.items()
        )

    def move(self, piece: _Piece, sign: int) -> None:
        for c, count in piece.sizes.items():
            self.have[c] += sign * count
        for row in piece.rows:
            self.holdout[row] = sign > 0

    def fill(self, key: Stratum, rows: Sequence[int]) -> None:
        """Hold single tiles out until their stratum has its share, or there are no more."""
        for row in rows[: max(0, self.shares[key] - self.have[key])]:
            self.have[key] += 1
            self.holdout[row] = True

    def keeps_both_sides(self, piece: _Piece, sign: int) -> bool:
        """Say whether each class of a piece would have tiles on both sides after a move."""
        return all(
            0 < self.count(self.have, name) + sign * count < self.count(self.sizes, name)
            for name, count in piece.of_classes().items()
        )

    @staticmethod
    def count(tiles: Counter[Stratum], name: str) -> int:
        """Add up a class's strata."""
        return sum(count for key, count in tiles.items() if key[0] == name)


def _bring_to_both_sides(
    state: _State, pieces: list[_Piece], singles: Mapping[Stratum, Sequence[int]], name: str
) -> None:
    """Move the piece that costs least if a class lies wholly on one side."""
    have = state.count(state.have, name)
    if 0 < have < state.count(state.sizes, name):
        return
    sign = -1 if have else 1
    mine = ((key, row) for key, rows in singles.items() if key[0] == name for row in rows)
    alone = [_Piece(None, [row], Counter([key])) for key, row in mine]
    movable = [
        p for p in pieces + alone if name in p.of_classes() and state.keeps_both_sides(p, sign)
    ]
    if not movable:
        raise OwnerError(
            f"The groups of class {name} cannot be divided: training and holdout each need a "
            "whole group of it. Import more groups of this class, or smaller ones."
        )
    state.move(min(movable, key=lambda piece: state.cost(piece, sign)), sign)

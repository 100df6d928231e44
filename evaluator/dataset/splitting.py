"""Which tiles become the holdout: every class in proportion, and no group divided."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from evaluator.errors import OwnerError


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


def split(
    labels: Sequence[str],
    groups: Sequence[bytes | None],
    seats: int,
    shuffle: random.Random,
    known: Mapping[bytes, bool] | None = None,
) -> list[bool]:
    """Say for each tile whether it goes into the holdout.

    Without groups the holdout has exactly `seats` tiles, each class its apportioned share.
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
    sizes = Counter(labels)
    classes = sorted(sizes)
    given = apportion([sizes[c] for c in classes], seats, both_sides=known is None)
    state = _State(dict(zip(classes, given, strict=True)), sizes)
    pieces = _pieces(labels, groups, shuffle)
    for piece in pieces:
        side = None if piece.group is None else fixed.get(piece.group)
        if state.cost(piece, 1) < 0 if side is None else side:
            state.move(piece, 1)
    if known is None:
        for name in classes:
            _bring_to_both_sides(state, pieces, name)
    return [row in state.holdout for row in range(len(labels))]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Tiles that stay together: a group, or one tile of no group."""

    group: bytes | None
    rows: list[int]
    sizes: Counter[str]


def _pieces(
    labels: Sequence[str], groups: Sequence[bytes | None], shuffle: random.Random
) -> list[_Piece]:
    """Gather the pieces, known and unknown, largest first and in random order among equals."""
    together: dict[bytes | int, list[int]] = {}
    for row, group in enumerate(groups):
        together.setdefault(row if group is None else group, []).append(row)
    pieces = [
        _Piece(groups[rows[0]], rows, Counter(labels[row] for row in rows))
        for rows in together.values()
    ]
    shuffle.shuffle(pieces)
    return sorted(pieces, key=lambda piece: -len(piece.rows))


class _State:
    """The holdout while pieces move: `sign` is 1 for into it, -1 for out of it."""

    def __init__(self, targets: Mapping[str, int], sizes: Counter[str]) -> None:
        self.targets = targets
        self.sizes = sizes
        self.have = Counter[str]()
        self.holdout: set[int] = set()

    def cost(self, piece: _Piece, sign: int) -> float:
        """Return how much farther from the shares a move brings the classes."""
        return sum(
            count
            * (count + 2 * sign * (self.have[c] - self.targets[c]))
            / (self.targets[c] or 1) ** 2
            for c, count in piece.sizes.items()
        )

    def move(self, piece: _Piece, sign: int) -> None:
        for c, count in piece.sizes.items():
            self.have[c] += sign * count
        (self.holdout.update if sign > 0 else self.holdout.difference_update)(piece.rows)

    def keeps_both_sides(self, piece: _Piece, sign: int) -> bool:
        """Say whether each class of a piece would have tiles on both sides after a move."""
        return all(
            0 < self.have[c] + sign * count < self.sizes[c] for c, count in piece.sizes.items()
        )


def _bring_to_both_sides(state: _State, pieces: list[_Piece], name: str) -> None:
    """Move the piece that costs least if a class lies wholly on one side."""
    if 0 < state.have[name] < state.sizes[name]:
        return
    sign = -1 if state.have[name] else 1
    movable = [p for p in pieces if name in p.sizes and state.keeps_both_sides(p, sign)]
    if not movable:
        raise OwnerError(
            f"The groups of class {name} cannot be divided: training and holdout each need a "
            "whole group of it. Import more groups of this class, or smaller ones."
        )
    state.move(min(movable, key=lambda piece: state.cost(piece, sign)), sign)

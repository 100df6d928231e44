"""Deciding what a version will hold: sides, order, rare classes."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluator.dataset.problems import ImportProblems, Problem
from evaluator.dataset.splitting import holdout_size, shuffled, split
from evaluator.dataset.targets import strata
from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evaluator.dataset.pool import Pool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a version will hold: for each side, rows of the pool in the order of tiles.npy.

    `training` is empty if every tile is held out. `asked` is the size of the holdout before
    whole groups changed it (with a version added to: of the new tiles). `copies` training tiles
    were dropped for being in the holdout too; `duplicates` are copies within a side.
    """

    classes: tuple[str, ...]
    rare: tuple[str, ...]
    holdout: Sequence[int]
    training: Sequence[int]
    asked: int
    copies: int
    duplicates: int


def make_plan(
    pool: Pool,
    classes: tuple[str, ...],
    rare: int | tuple[str, ...],
    holdout: float,
    *,
    skip_bad: bool,
) -> Plan:
    """Split the pool's tiles that have no side yet, and shuffle both sides.

    Raises ImportProblems if the same pixels come on both sides, unless `skip_bad` drops the
    training copy, and OwnerError if a class is not on both sides, `rare` names no class, or the
    targets of the holdout are all equal.
    """
    shuffle = random.SystemRandom()  # the order is a secret: nobody may predict it from a seed
    asked, sides = _sides(pool, holdout, shuffle)
    held = array("Q", (row for row, side in enumerate(sides) if side))
    kept = array("Q", (row for row, side in enumerate(sides) if not side))
    training = _without_copies(pool, held, kept, skip_bad=skip_bad)
    _check_classes(classes, class_counts(pool, held, classes), "holdout")
    counts = class_counts(pool, training if kept else held, classes)
    _check_classes(classes, counts, "training set")
    _check_targets({pool.targets[row] for row in held})
    return Plan(
        classes=classes,
        rare=rare_classes(rare, classes, counts),
        holdout=shuffled(held, shuffle),
        training=shuffled(training, shuffle),
        asked=asked,
        copies=len(kept) - len(training),
        duplicates=_duplicates(pool, held) + _duplicates(pool, training),
    )


def class_counts(pool: Pool, rows: Iterable[int], classes: Sequence[str]) -> tuple[int, ...]:
    """Count these rows of the pool per class, in the order of `classes`."""
    found = Counter(pool.labels[row] for row in rows)
    return tuple(found[name] for name in classes)


def check_rare(rare: int | tuple[str, ...], classes: Sequence[str]) -> None:
    """Raise OwnerError if `rare` is no number from 1 and no list of (these) classes."""
    if isinstance(rare, int):
        names = {str(rare)}
        wrong = rare < 1
    else:
        names = set(rare)
        wrong = not rare or len(names) < len(rare) or bool(classes and names - set(classes))
    if wrong:
        raise OwnerError(
            f"The rare classes ({', '.join(sorted(names)) or 'none'}) must be a number from 1, or "
            "names of classes of this dataset. Correct the setting."
        )


def rare_classes(
    rare: int | tuple[str, ...], classes: tuple[str, ...], counts: Sequence[int]
) -> tuple[str, ...]:
    """Return the rare classes: those named, or the `rare` least frequent, rarest first.

    Ties go to the earlier class; at most all classes but one are rare, unless there is one alone.
    """
    check_rare(rare, classes)
    if not isinstance(rare, int):
        return rare
    order = sorted(range(len(classes)), key=lambda index: counts[index])
    return tuple(classes[index] for index in order[: max(1, min(rare, len(classes) - 1))])


def _sides(pool: Pool, holdout: float, shuffle: random.Random) -> tuple[int, list[bool]]:
    """Return the size asked for, and the side of every tile."""
    new = array("Q", (row for row, side in enumerate(pool.holdout) if side is None))
    sides = zip(pool.groups, pool.holdout, strict=True)
    known = {group: side for group, side in sides if group and side is not None}
    asked = holdout_size(holdout, len(new))
    labels = [pool.labels[row] for row in new]
    chosen = split(
        labels,
        [pool.groups[row] for row in new],
        asked,
        shuffle,
        known if len(new) < len(pool) else None,
        strata(labels, [pool.targets[row] for row in new]),
    )
    found = [bool(side) for side in pool.holdout]
    for row, side in zip(new, chosen, strict=True):
        found[row] = side
    return asked, found


def _without_copies(
    pool: Pool, held: Sequence[int], kept: Sequence[int], *, skip_bad: bool
) -> array[int]:
    """Return the training rows whose pixels are not in the holdout."""
    first = pool.digests.first
    pixels = bytearray(len(pool))
    for row in held:
        pixels[first[row]] = True
    training = array("Q", (row for row in kept if not pixels[first[row]]))
    copies = len(kept) - len(training)
    if copies and not skip_bad:
        text = (
            f"{copies} training tiles have exactly the pixels of a holdout tile; with --skip-bad "
            "they are dropped from the training set"
        )
        raise ImportProblems([Problem("same pixels on both sides", text, copies)])
    return training


def _check_classes(classes: Sequence[str], counts: Sequence[int], side: str) -> None:
    missing = [name for name, count in zip(classes, counts, strict=True) if not count]
    if missing:
        raise OwnerError(
            f"The {side} would have no tile of: {', '.join(missing)}. Choose another holdout, or "
            "import more tiles."
        )


def _check_targets(targets: set[float | None]) -> None:
    """R2 compares errors with the spread of the targets, which must then have one."""
    if None not in targets and len(targets) < 2:
        raise OwnerError(
            "All tiles of the holdout would have the same target, so no R2 could be computed. "
            "Choose a larger holdout, or import tiles whose targets differ."
        )


def _duplicates(pool: Pool, rows: Sequence[int]) -> int:
    first = np.frombuffer(pool.digests.first, np.uint32)
    return len(rows) - len(np.unique(first[np.asarray(rows, np.uint64)]))

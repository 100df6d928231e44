"""Looking at every tile once: the good ones into the pool, every problem on a list."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evaluator.dataset.pool import Pool
from evaluator.dataset.problems import Problem, shown
from evaluator.dataset.scratch import Stored
from evaluator.dataset.sealed import MAX_CLASSES
from evaluator.dataset.targets import TargetRule, float32
from evaluator.dataset.tiles import Kept

# As in evaluator.toml: names that are safe in a table, a file and a signed result.
_CLASS_NAME = re.compile(r"\w[\w .-]{0,63}")


@dataclass(frozen=True, slots=True)
class Expected:
    """What tiles must be like.

    `classes` may be empty: then every class found is right. `size` is (height, width), or None
    for that of the first tile, which also sets dtype and bands. `group_id` turns the name of a
    group into what may be kept of it. `targets` is there where tiles have numbers to predict.
    """

    classes: tuple[str, ...]
    size: tuple[int, int] | None
    group_id: Callable[[str], bytes]
    targets: TargetRule | None = None


def survey(found: Iterable[Kept | Problem], pool: Pool, expected: Expected) -> list[Problem]:
    """Put every good tile into the pool, and return what is wrong with the others."""
    problems: list[Problem] = []
    unusable = Counter[str]()
    for tile in found:
        if isinstance(tile, Problem):
            problems.append(tile)
        elif not _is_class(tile.label, expected):
            unusable[tile.label] += 1
        else:
            problem = _take(tile, pool, expected)
            problems += [problem] if problem else []
    return problems + [_unusable(label, count, expected) for label, count in unusable.items()]


def class_problems(pool: Pool, classes: Sequence[str], least: int = 2) -> list[Problem]:
    """Return what is wrong with the classes as a whole; leaving tiles out mends none of it.

    There must be `least` classes: where numbers are predicted, one is enough.
    """
    sizes = Counter(pool.labels)
    if not sizes:
        return [Problem("no tiles", "the source holds none that can be used", None)]
    problems = [
        Problem("class too small", f"{name} has {sizes[name]} usable tiles; it needs 2", None)
        for name in classes
        if sizes[name] < 2
    ]
    if not least <= len(classes) <= MAX_CLASSES:
        text = f"there are {len(classes)}; there must be {least} to {MAX_CLASSES}"
        problems.append(Problem("number of classes", text, None))
    return problems


def repeats(pool: Pool) -> list[Problem]:
    """Return a word on repeated pixels, for a reader who has other problems to mend anyway."""
    count = sum(number != first for number, first in enumerate(pool.digests.first))
    if not count:
        return []
    text = f"{count} tiles are copies; a copy that the split puts on the other side is refused"
    return [Problem("same pixels twice", text)]


def _is_class(label: str, expected: Expected) -> bool:
    if expected.classes:
        return label in expected.classes
    return _CLASS_NAME.fullmatch(label) is not None


def _unusable(label: str, tiles: int, expected: Expected) -> Problem:
    wanted = "is not a class of this dataset"
    if not expected.classes:
        wanted = "must be letters, digits, spaces, dots and dashes, at most 64"
    return Problem("unknown class", f"{shown(label)} ({tiles} tiles) {wanted}", tiles)


def _take(tile: Kept, pool: Pool, expected: Expected) -> Problem | None:
    """Put one tile into the pool, or say what is wrong with it."""
    problem, target = _unlike(tile.where, tile.pixels, pool, expected), None
    if expected.targets and not problem:
        problem = expected.targets.problem(tile.where, tile.target)
        target = None if tile.target is None else float32(tile.target)
    if problem:
        return problem
    group = None if tile.group is None else expected.group_id(tile.group)
    other = pool.add(tile.pixels, tile.label, group, target=target)
    if other is None:
        return None
    return Problem("two labels", f"{tile.where}: the same pixels are a {other} as well")


def _unlike(where: str, pixels: Stored, pool: Pool, expected: Expected) -> Problem | None:
    """Say how a tile differs from what was asked for, or from the first tile."""
    first = pool.shape if len(pool) else pixels.shape
    size, bands = expected.size or first[:2], first[2:]
    if pixels.shape[:2] != size:
        text = f"{_by(pixels.shape[:2])} pixels, not {_by(size)}"
        return Problem("wrong size", f"{where}: {text}")
    if pixels.shape[2:] != bands:
        text = f"{_bands(pixels.shape[2:])}, where the first tile has {_bands(bands)}"
        return Problem("wrong bands", f"{where}: {text}")
    if len(pool) and pixels.dtype != pool.dtype:
        text = f"{pixels.dtype}, where the first tile is {pool.dtype}"
        return Problem("wrong dtype", f"{where}: {text}")
    return None


def _by(size: tuple[int, ...]) -> str:
    """Write (height, width) as people write sizes, width first."""
    return f"{size[1]}x{size[0]}"


def _bands(shape: tuple[int, ...]) -> str:
    return f"{shape[0] if shape else 1} band{'s' if shape and shape[0] > 1 else ''}"

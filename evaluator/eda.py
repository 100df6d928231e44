"""What may be published about the data: aggregates of the seal, and no figure of a small group.

    eda = eda_of(dataset, suppress_below=10, class_sizes=False)

It reads seal.json and no tile. Never in it: a minimum or a maximum, for each is the value of one
pixel of one tile; a class with fewer training tiles than `suppress_below`; holdout class sizes.

How large the classes are is said of the training tiles. The split is stratified, so that their
exact counts all but tell those of the holdout: an owner who keeps these back (`class_sizes =
false`) publishes shares, so coarse that a step is `suppress_below` tiles of either side at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.dataset.sealed import read_seal
from evaluator.errors import OwnerError
from evaluator.scoring import rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evaluator.dataset.sealed import Band, Dataset, Moments, Seal

LEAST = 4
"""The least threshold that is used. "Fewer than 2 tiles" is exactly one, since no class has none;
with 3, every table of three classes tried, even "no distribution" sometimes told the smallest.
"""

_STEPS = (1, 2, 5, 10, 20)
"""Grids of published shares, in per cent."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: its tiles, or its share in whole per cent; neither where it is `hidden`."""

    name: str
    rare: bool
    hidden: bool
    tiles: int | None
    percent: int | None


@dataclass(frozen=True, slots=True)
class BandRow:
    """One band: mean and standard deviation, and both normalised to 0..1 (four decimals)."""

    mean: float
    std: float
    level: float
    spread: float


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One class, band by band: normalised means and standard deviations of its tiles' pixels."""

    name: str
    levels: tuple[float, ...]
    spreads: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Eda:
    """What is published of a version of the data set.

    `counted` is the side whose class sizes `classes` has, `total` its tiles. `step` is the grid of
    shares in per cent, None where counts are exact. `absent` says why `classes` is empty, and is
    empty itself where it is not. `bands` are over all tiles of both sides, and so is `spectra`,
    which has the classes that are not hidden; it is empty where the seal has no statistics of
    classes (data imported by an earlier version of this program).
    """

    version: int
    shape: tuple[int, ...]
    dtype: str
    holdout: int
    training: int
    suppress_below: int
    counted: str
    total: int
    step: int | None
    classes: tuple[ClassRow, ...]
    absent: str
    bands: tuple[BandRow, ...]
    spectra: tuple[Spectrum, ...]


def eda_of(dataset: Dataset, suppress_below: int, *, class_sizes: bool) -> Eda:
    """Return what may be published of a sealed dataset.

    `suppress_below` is the number of tiles from which a class may be told of, 2 or more; less than
    LEAST is taken for LEAST. `class_sizes` says whether results name the holdout's class sizes.
    Raises OwnerError for a threshold below 2, and where the seal cannot be read.
    """
    if suppress_below < 2:
        raise OwnerError(
            "A threshold below 2 suppresses nothing. Set publish.suppress_below to 2 or more in "
            "evaluator.toml; 10 is usual."
        )
    below = max(suppress_below, LEAST)
    seal = read_seal(dataset.folder)
    classes, step, absent = _distribution(seal, below, class_sizes=class_sizes)
    low, high = _range(seal)
    counts = seal.training or seal.holdout
    return Eda(
        version=seal.version,
        shape=seal.shape,
        dtype=seal.dtype,
        holdout=sum(seal.holdout),
        training=sum(seal.training or ()),
        suppress_below=below,
        counted="training" if seal.training else "holdout",
        total=sum(counts),
        step=step,
        classes=classes,
        absent=absent,
        bands=tuple(
            BandRow(_digits(band.mean), _digits(band.std), *_normal(band, low, high))
            for band in seal.bands
        ),
        spectra=tuple(_spectra(seal, classes, low, high)),
    )


def _distribution(
    seal: Seal, below: int, *, class_sizes: bool
) -> tuple[tuple[ClassRow, ...], int | None, str]:
    """The classes, the grid of their shares, or why there are none."""
    counts = seal.training or seal.holdout
    step = None
    if not class_sizes:
        if seal.training is None:
            return (), None, "All tiles are held out, and how many of each class is not published."
        smaller = min(sum(seal.holdout), sum(seal.training))
        step = next((each for each in _STEPS if each * smaller >= 100 * below), None)
        if step is None:
            return (), None, "There are too few tiles for shares that tell of no single ones."
    rare = [name in seal.rare for name in seal.classes]
    shown = suppressed(counts, rare, below)
    if shown is None:
        return (), None, f"Too many classes have fewer than {below} tiles."
    return (
        tuple(
            ClassRow(
                name=name,
                rare=is_rare,
                hidden=tiles is None,
                tiles=tiles if step is None else None,
                percent=None if tiles is None or step is None else _percent(tiles, counts, step),
            )
            for name, is_rare, tiles in zip(seal.classes, rare, shown, strict=True)
        ),
        step,
        "",
    )


def _percent(tiles: int, counts: Sequence[int], step: int) -> int:
    return step * rounded(tiles * 100, step * sum(counts))


def suppressed(
    counts: Sequence[int], rare: Sequence[bool], below: int
) -> tuple[int | None, ...] | None:
    """Return the counts with every small one hidden, or None where nothing can be shown safely.

    Everybody knows the sum: results say how many tiles there are. So with the counts below `below`
    the smallest of the others is hidden, and all the rest are shown. A reader may know more: that
    every class has a tile, this rule, and, since results list the rare classes from the rarest up,
    an order. He still finds two values at least for each hidden count if there are two ways to fill
    the hidden places that agree with all of that and differ in every place. The ways tried are a
    row of numbers for the small classes in that order, all that are not rare at its end, and the
    row one higher. Where they do not fit, there is no distribution at all.
    """
    order = sorted(range(len(counts)), key=lambda each: counts[each])
    small = [each for each in order if counts[each] < below]
    if not small:
        return tuple(counts)
    hidden, visible = order[: len(small) + 1], order[len(small) + 1 :]
    if not visible:
        return None
    together = sum(counts[each] for each in hidden)
    # The other hidden one stays less than every visible one, and at least `below`.
    least = together - min(counts[each] for each in visible) + 1
    most = together - below
    lower = sum(rare[each] for each in small)
    higher = len(small) - lower
    # The row is `first`, first + 1, ... for the rare ones, then first + lower for all others.
    steps = lower * (lower - 1) // 2 + higher * lower
    first = max(1, -(-(least - steps) // len(small)))
    last = first + (lower if higher else lower - 1)
    fits = last + 1 < below and len(small) * (first + 1) + steps <= most
    if not fits:
        return None
    return tuple(None if each in hidden else tiles for each, tiles in enumerate(counts))


def _spectra(
    seal: Seal, classes: Iterable[ClassRow], low: float, high: float
) -> Iterable[Spectrum]:
    for row, bands in zip(classes, seal.class_bands or (), strict=False):
        if not row.hidden:
            normal = [_normal(band, low, high) for band in bands]
            levels, spreads = zip(*normal, strict=True)
            yield Spectrum(row.name, levels, spreads)


def _range(seal: Seal) -> tuple[float, float]:
    """What is 0 and what is 1 of normalised values: 0 and 255 of uint8.

    Elsewhere no sensor fills the range, and 1 is three standard deviations above the mean of the
    band where that is highest; 0 is 0, or of float32 the like below. The lowest and the highest
    pixel would serve too, but whoever has a mean both as it is and normalised could compute them.
    """
    if seal.dtype == "uint8":
        return 0.0, 255.0
    low = min(band.mean - 3 * band.std for band in seal.bands)
    high = max(band.mean + 3 * band.std for band in seal.bands)
    low = low if seal.dtype == "float32" else 0.0
    return low, high if high > low else low + 1


def _normal(band: Band | Moments, low: float, high: float) -> tuple[float, float]:
    return round((band.mean - low) / (high - low), 4), round(band.std / (high - low), 4)


def _digits(value: float) -> float:
    """Four significant digits: as fine as a spectrum is read, and no exact sum of pixels."""
    return float(f"{value:.4g}")

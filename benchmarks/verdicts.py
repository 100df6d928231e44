"""Ratios of what was measured, and whether they are what they should be."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.measure import median

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Found = dict[str, Any]

FAST = 0.75  # a ratio below it is said in times as fast, too
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: what was measured, what was allowed, and how much of that was used."""

    job: str
    ways: str
    measured: str
    allowed: str
    share: float

    @property
    def title(self) -> str:
        """The job, and what was held against what."""
        return f"{self.job}: {self.ways}" if self.ways else self.job

    @property
    def reached(self) -> bool:
        """Whether it is no more than what was allowed."""
        return self.share <= 1

    @property
    def word(self) -> str:
        """For a table; what was not reached stands out."""
        return "reached" if self.reached else "**NOT reached**"


def verdicts(found: Sequence[Found]) -> Iterator[Verdict]:
    """Yield the targets of a part, in order."""
    for each in found:
        if each["kind"] == "limit":
            yield _limit(each)
        for target in each["targets"] if each["kind"] == "comparison" else ():
            yield _target(each, target)


def pairs(comparison: Found, way: str, against: str) -> list[float]:
    """Return the ratio within each round."""
    ways = comparison["ways"]
    both = zip(ways[way], ways[against], strict=True)
    return [mine["seconds"] / other["seconds"] for mine, other in both]


def ratio_of(comparison: Found, way: str, against: str) -> float:
    """Return the ratio of the medians."""
    ways = comparison["ways"]
    return median(ways[way]) / median(ways[against])


def _target(comparison: Found, target: Mapping[str, Any]) -> Verdict:
    """Of a `Target`: a ratio, a number of seconds, or both."""
    way, against, plus = target["way"], target["against"], target["plus"]
    mine, other = median(comparison["ways"][way]), median(comparison["ways"][against])
    allowed = target["ratio"] * other + plus
    if not target["ratio"]:
        return Verdict(comparison["title"], way, seconds(mine), seconds(plus), mine / plus)
    if not plus:
        least = target["ratio"]
        said = f"{least:.3g}" + (f" ({1 / least:.3g} times as fast)" if least < FAST else "")
        words = (times(mine / other), said)
    else:
        factor = "" if target["ratio"] == 1 else f"{target['ratio']:g} times "
        more = f"{factor}{seconds(other)} and {seconds(plus)} more"
        words = (seconds(mine), f"{seconds(allowed)}: {more}")
    return Verdict(comparison["title"], f"{way} against {against}", *words, mine / allowed)


def _limit(found: Found) -> Verdict:
    value, most, unit = found["value"], found["most"], found["unit"]
    said, allowed = (
        seconds(each) if unit == "s" else f"{each:,.4g} {unit}" for each in (value, most)
    )
    return Verdict(found["title"], "", said, allowed, value / most)


def spread(values: Sequence[float]) -> str:
    """Return the least and the most of some ratios."""
    return f"{ratio(min(values))} to {ratio(max(values))}"


def ratio(value: float) -> str:
    """Return a ratio with as many digits as targets are told apart by."""
    return f"{value:.3f}" if value >= 0.1 else f"{value:#.2g}"


def times(value: float) -> str:
    """Return a ratio, and of a small one how many times as fast that is."""
    return ratio(value) + (f" ({1 / value:.3g} times as fast)" if value < FAST else "")


def seconds(value: float) -> str:
    """Return a time with three digits that matter."""
    size, unit = next(pair for pair in UNITS if value >= pair[0] or pair[0] == UNITS[-1][0])
    scaled = value / size
    places = 0 if scaled >= 100 else 1 if scaled >= 10 else 2
    return f"{scaled:,.{places}f} {unit}"


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)

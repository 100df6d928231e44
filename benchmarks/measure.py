"""Taking times in turn: A B C A B C, so that a busy minute of the machine hits every way alike.

A part of the benchmarks (benchmarks/PART.py) has one function, `measure(bench)`, which hands its
findings to a `Bench`. Nothing is asserted of a time anywhere.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LAUNCH = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one way: wall and CPU seconds, and the largest resident set in bytes (0: unknown).

    Both of the process and its children; what a container uses is not among them.
    """

    seconds: float
    cpu: float = 0.0
    peak: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """`way` takes at most `ratio` times the median of `against`, and `plus` seconds."""

    way: str
    against: str
    ratio: float
    plus: float = 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ways to do one job. `name` is a slug; ratios in tables and plots are to `against`."""

    name: str
    title: str
    ways: Mapping[str, Callable[[], Sample]]
    against: str
    targets: Sequence[Target] = ()


@dataclass(slots=True)
class Bench:
    """Where a part measures, and what came of it.

    `work` is an empty folder on the disk to be measured, `tiles` a tar of class folders of real
    JPEG tiles (None: parts make tiles), `python` an interpreter with torch, timm, onnxscript and
    scikit-learn (None: parts that need it say so and are left out). With `smoke` everything is as
    small as it can be, and one round is taken: it shows that the code runs, not what it costs.
    """

    work: Path
    tiles: Path | None = None
    python: str | None = None
    smoke: bool = False
    rounds: int = 5
    runtimes: tuple[str, ...] = ("runc",)
    found: list[dict[str, Any]] = field(default_factory=list)

    def say(self, words: str) -> None:
        """One line for who waits."""
        print(words, file=sys.stderr, flush=True)  # noqa: T201 - a command line's progress

    def compare(
        self, comparison: Comparison, rounds: int | None = None, *, warm: bool = False
    ) -> None:
        """Take every way in turn, after one turn that does not count unless all is `warm`."""
        rounds = 1 if self.smoke else rounds or self.rounds
        self.say(f"{comparison.title} ({rounds} rounds)")
        taken: dict[str, list[Sample]] = {way: [] for way in comparison.ways}
        turns = rounds if warm or self.smoke else rounds + 1
        for left in reversed(range(turns)):
            for way, run in comparison.ways.items():
                sample = run()
                if left < rounds:
                    taken[way].append(sample)
        self.found.append(
            {
                "kind": "comparison",
                "name": comparison.name,
                "title": comparison.title,
                "against": comparison.against,
                "ways": {way: [asdict(each) for each in taken[way]] for way in taken},
                "targets": [asdict(target) for target in comparison.targets],
            }
        )

    def breakdown(self, name: str, title: str, stages: Mapping[str, Sequence[float]]) -> None:
        """The seconds of each stage of a job, one for each round, in order."""
        kept = {stage: [*seconds] for stage, seconds in stages.items()}
        self.found.append({"kind": "breakdown", "name": name, "title": title, "stages": kept})

    def curve(
        self, name: str, title: str, x: str, y: str, points: Mapping[float, Mapping[str, float]]
    ) -> None:
        """How costs grow: {x: {line: y}}, drawn with both axes logarithmic."""
        kept = [{"x": at, "values": dict(values)} for at, values in points.items()]
        self.found.append(
            {"kind": "curve", "name": name, "title": title, "x": x, "y": y, "points": kept}
        )

    def limit(self, title: str, value: float, most: float, unit: str) -> None:
        """One figure with a target of its own, and no other way to compare it with: memory."""
        kept = {"title": title, "value": value, "most": most, "unit": unit}
        self.found.append({"kind": "limit", **kept})

    def table(
        self, name: str, title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Figures that are no comparison of times: sizes of images, memory, instructions."""
        kept = [[*row] for row in rows]
        self.found.append(
            {"kind": "table", "name": name, "title": title, "head": [*head], "rows": kept}
        )


def timed(action: Callable[[], object]) -> Sample:
    """Take the time of a call in this process."""
    cpu, begun = time.process_time(), time.perf_counter()
    action()
    return Sample(time.perf_counter() - begun, time.process_time() - cpu)


def command(
    arguments: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> Sample:
    """Run a command to its end, which is ours too; RuntimeError with what it said if it fails."""
    figures, theirs = os.pipe()
    launch = [sys.executable, "-I", "-S", str(LAUNCH), str(theirs), *map(str, arguments)]
    process = subprocess.Popen(
        launch,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        pass_fds=[theirs],
        process_group=0,
    )
    os.close(theirs)
    try:
        said, _ = process.communicate()
    except BaseException:  # Ctrl-C: what the command has to put away it still does
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
        raise
    finally:
        with os.fdopen(figures, "rb") as pipe:
            found = json.loads(pipe.read() or b'{"code": "no start"}')
    if found["code"]:
        raise RuntimeError(f"{arguments} ended with {found['code']}: {said[-2000:]!r}")
    return Sample(*found["taken"])


def median(samples: Sequence[Mapping[str, float]], key: str = "seconds") -> float:
    """The median of one figure of some samples."""
    return statistics.median(sample[key] for sample in samples)

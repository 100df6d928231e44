"""Where the fixed cost of `evaluator run` goes: its stages, for what does nothing.

An ONNX model that is linear in the mean of a tile, and the Perl example as an image that was handed
in before, on 50 tiles: whatever time they take is the product's and the engine's, and is the same
for any model and number of tiles but for hashing, model load and inference. Each run is the command
in a fresh process, with the functions of each stage timed from outside (benchmarks/stages.py lists
them). A stage has its own time without that of stages inside, so that they add up to the time of
the whole command as its caller sees it.

"model load" is from the start of the container to what our runner says of the model: Python,
onnxruntime, the model and its check. "inference" is from then on to the program's end; of an image
it is all that its program does. "python and its imports" is longer than in a run by itself: what is
timed from outside is imported beforehand, numpy among it, which a run imports while the container
starts. The table of the command line's part has a run by itself.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import TYPE_CHECKING

import sandbox
from benchmarks.measure import command
from benchmarks.stages import BEGAN
from benchmarks.workspace import (
    SMALL,
    empty_model,
    forget_images,
    python,
    run_line,
    runtimes,
    settled,
    warm_workspaces,
)
from evaluator.images import build_example

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Bench

END = "end of Python"


def measure(bench: Bench) -> None:
    """Take both submissions under every runtime in turn, after one turn that does not count."""
    names = runtimes(bench)
    if not names:
        return
    farms = warm_workspaces(bench, SMALL, names)
    submissions = {"empty ONNX model": empty_model(bench.work), "Perl example": perl_archive(bench)}
    rounds = 1 if bench.smoke else bench.rounds
    bench.say(f"stages of a run ({rounds} rounds)")
    taken: dict[tuple[str, str], list[Traced]] = {}
    try:
        for _ in range(rounds if bench.smoke else rounds + 1):
            for (runtime, farm), (name, path) in product(farms.items(), submissions.items()):
                taken.setdefault((name, runtime), []).append(traced(bench, path, farm))
    finally:
        for farm in farms.values():
            forget_images(farm)
    for (name, runtime), runs in taken.items():
        _report(bench, name, runtime, runs[-rounds:])


def _report(bench: Bench, name: str, runtime: str, runs: list[Traced]) -> None:
    title = f"`evaluator run` of the {name} on {SMALL} tiles, {runtime}"
    slug = f"overhead-{name.partition(' ')[0].lower()}-{runtime}"
    bench.breakdown(slug, title, _stages([run.stages for run in runs]))
    beside = _stages([run.meanwhile for run in runs])
    rows = [[stage, f"{1000 * median(seconds):.1f}"] for stage, seconds in beside.items()]
    if rows:
        bench.table(f"{slug}-meanwhile", title, ["in another thread meanwhile", "ms, median"], rows)


def _stages(rounds: list[dict[str, float]]) -> dict[str, list[float]]:
    """The seconds of every stage in each round."""
    every = dict.fromkeys(stage for stages in rounds for stage in stages)
    return {stage: [stages.get(stage, 0.0) for stages in rounds] for stage in every}


@dataclass(frozen=True, slots=True)
class Traced:
    """The seconds of each stage of one run, and of those that other threads took meanwhile."""

    stages: dict[str, float]
    meanwhile: dict[str, float]


def traced(bench: Bench, submission: Path, farm: Path) -> Traced:
    """Run the command once; stages in the order in which they ended first."""
    target = bench.work / "stages.json"
    run = run_line(submission, farm)
    begun = time.monotonic()
    command(
        python("-m", "benchmarks.stages", target, *run[3:]),
        {**settled(bench), BEGAN: str(begun)},
    )
    passed = time.monotonic() - begun
    found = Traced(**json.loads(target.read_text()))
    found.stages[END] = passed - sum(found.stages.values())
    return found


def perl_archive(bench: Bench) -> Path:
    """The Perl example as `docker save` writes it."""
    path = bench.work / "perl.tar"
    if not path.exists():
        with path.open("wb") as file:
            file.writelines(sandbox.save_image(build_example("perl", bench.say)))
    return path

"""`evaluator run` against what a user would do instead, on the same 5,000 tiles and models.

Every way is a whole command that starts from a model file and ends with an accuracy:

bare            a Python process: onnxruntime, the holdout's tiles.npy, numpy; no wall at all. Its
                batch and threads are the fastest of a search in the same run.
docker run      by hand: our runner image, files bound read-only, no network, a read-only root, the
                limits of a run, then one line of numpy on the host for the score.
codabench-like  the flow of a competition platform, see benchmarks/codabench_like.py.
libraries       the least that a program on the product's libraries can do: their imports, hashing,
                one container, the score; see benchmarks/floor.py. No target was set for it: it is
                the floor of what follows.
evaluator       the product: copy and log the submission, hash the dataset, check the model, run it
                behind the wall, score, sign, write the ledger. Warm: images are built, and the wall
                of this host was tried before.

All with a container stand under runc, those that say runsc under gVisor. All read the
same files, which are in the page cache before; the product drops its own from it when it hashes
them, and reads them again.

What `evaluator run` adds to "docker run" is for the most part Python's imports (the command line,
above; what a run adds, below): the engine's client, the models of settings and statements, and the
rest. It is why the targets of fast models are not reached by a command of its own; `evaluator work`
imports once for many runs, and a run of it costs little more than "docker run" (many submissions).
The wall itself costs nothing here: the engine starts a container as fast with all its options as
with none. To start it before the submission is admitted and logged would hide 0.2 s of that start
behind the imports; it is not done, so that nothing runs of which the log does not tell.
Against the Codabench-like flow "docker run" alone, without any of what the product adds, is no more
than three to four times as fast on these tiles: the rest of that target cannot be reached.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import codabench_like
from benchmarks.measure import Comparison, Sample, Target, command
from benchmarks.models import TINY, ensure
from benchmarks.workspace import (
    HOLDOUT,
    SMALL,
    empty_model,
    python,
    run_line,
    runtimes,
    settled,
    warm_workspaces,
)
from evaluator.admission_policy import load_admission_policy
from evaluator.images import build_onnx_runner
from evaluator.onnx_check import limits_file
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.measure import Bench

TINY_MOST = {"docker run": 1.25, "codabench-like": 0.25}  # how much of their time, of the tiny CNN
SCORE = (
    "import sys, numpy as n; print((n.fromfile(sys.argv[1], 'u1') == n.load(sys.argv[2])).mean())"
)
WALL = "--rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges "
WALL += "--user 65534:65534 --memory 8g --pids-limit 256 --tmpfs /tmp:noexec"


@dataclass(frozen=True, slots=True)
class Measured:
    """A model, the most that `evaluator` may take of the bare time, and how often it is measured.

    `rounds` 0 are the bench's own, after a turn that does not count: the slow ones go without it,
    since by then every way has been taken. `others` are ways beside bare and evaluator.
    """

    name: str
    runc: float
    runsc: float
    rounds: int = 0
    others: tuple[str, ...] = ("docker run",)


MODELS = (
    Measured(TINY, 1.45, 2.0, others=("docker run", "libraries", "codabench-like")),
    Measured("efficientnet-b0", 1.12, 1.30, others=("docker run", "codabench-like")),
    Measured("resnet50", 1.03, 1.08, rounds=3),
    Measured("vit-b16", 1.03, 1.03, rounds=3, others=()),  # 75 seconds a run
)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where all ways run: workspaces by runtime, and the holdout that is the same in all."""

    bench: Bench
    farms: dict[str, Path]
    image: str
    limits: Path  # of a model, as the runner reads them

    @property
    def holdout(self) -> Path:
        """The sealed tiles and labels of the first workspace."""
        return next(iter(self.farms.values())) / "data" / "1" / "holdout"

    @property
    def tiles(self) -> Path:
        """An array."""
        return self.holdout / "tiles" / "tiles.npy"

    @property
    def labels(self) -> Path:
        """An array."""
        return self.holdout / "labels" / "labels.npy"

    @property
    def predictions(self) -> Path:
        """What a way other than the product writes."""
        return self.bench.work / "predictions"


def measure(bench: Bench) -> None:
    """Compare the ways for each model."""
    names = runtimes(bench)
    if not names:
        return
    if bench.smoke:
        measured = {Measured("empty", 1.45, 2.0, others=MODELS[0].others): empty_model(bench.work)}
    elif bench.python:
        files = ensure(bench.python, bench.work / "models")
        measured = {each: files[each.name] for each in MODELS}
    else:
        bench.say("left out: the models need an interpreter with torch and timm")
        return
    tiles = SMALL if bench.smoke else HOLDOUT
    ground = ground_of(bench, warm_workspaces(bench, tiles, names, real=not bench.smoke))
    speeds = {each: _searched(ground, model) for each, model in measured.items()}
    bench.table(
        "bare-settings",
        "Tiles a second of bare onnxruntime, by batch and threads",
        ["model", *(f"{batch}, {threads}" for batch, threads, _ in next(iter(speeds.values())))],
        [[each.name, *(round(speed) for *_, speed in speeds[each])] for each in measured],
    )
    for each, model in measured.items():
        comparison = _comparison(ground, each, model, speeds[each], tiles)
        bench.compare(comparison, each.rounds or None, warm=each.rounds > 0)


def ground_of(bench: Bench, farms: dict[str, Path]) -> Ground:
    """The files that a run by hand needs, beside those of the workspaces."""
    rules = load_admission_policy(Workspace(next(iter(farms.values()))).admission_policy)
    limits = bench.work / "admission.json"
    limits.write_text(limits_file(rules.onnx))
    limits.chmod(0o444)
    return Ground(bench, farms, build_onnx_runner(bench.say), limits)


def _searched(ground: Ground, model: Path) -> list[tuple[int, int, float]]:
    """(batch, threads, tiles a second) of bare onnxruntime."""
    ground.bench.say(f"looking for the best batch and threads of {model.stem}")
    seconds = 0.01 if ground.bench.smoke else 0.5
    line = python("-m", "benchmarks.bare", model, ground.tiles, seconds)
    environment = {**os.environ, **settled(ground.bench)}
    found = subprocess.run(line, env=environment, check=True, capture_output=True).stdout
    return [tuple(each) for each in json.loads(found)]


def _comparison(
    ground: Ground,
    measured: Measured,
    model: Path,
    speeds: list[tuple[int, int, float]],
    tiles: int,
) -> Comparison:
    """All ways that this model has on this host, and what is asked of the product."""
    batch, threads, _ = max(speeds, key=lambda each: each[2])
    ways: dict[str, Callable[[], Sample]] = {"bare": partial(_bare, ground, model, batch, threads)}
    if "docker run" in measured.others and shutil.which("docker"):
        ways["docker run"] = partial(by_hand, ground, model)
        if "runsc" in ground.farms and measured.name == TINY:
            ways["docker run, runsc"] = partial(by_hand, ground, model, "runsc")
    if "libraries" in measured.others:
        ways["libraries"] = partial(_libraries, ground, model)
    if "codabench-like" in measured.others and codabench_like.possible():
        ways["codabench-like"] = partial(_codabench, ground, _bundles(ground, model))
    targets = []
    for runtime, farm in ground.farms.items():
        way = "evaluator" if runtime == "runc" else f"evaluator, {runtime}"
        ways[way] = partial(command, run_line(model, farm), settled(ground.bench))
        ratio = measured.runc if runtime == "runc" else measured.runsc
        targets.append(Target(way, "bare", ratio))
    if measured.name == TINY and "runc" in ground.farms:
        targets.append(Target("evaluator", "bare", 1.0, 0.45))
        targets += [
            Target("evaluator", way, most) for way, most in TINY_MOST.items() if way in ways
        ]
    title = f"`evaluator run` of {measured.name} on {tiles:,} tiles"
    return Comparison(f"run-{measured.name}", title, ways, "bare", targets)


def _bare(ground: Ground, model: Path, batch: int, threads: int) -> Sample:
    """No wall at all."""
    arrays = (ground.tiles, ground.labels, ground.predictions)
    line = python("-m", "benchmarks.bare", model, *arrays, batch, threads)
    return command(line, settled(ground.bench))


def by_hand(ground: Ground, model: Path, runtime: str = "runc") -> Sample:
    """The wall as far as a command line of docker's has it, and the score on the host."""
    _empty(ground.predictions)
    cpus = min(2, os.cpu_count() or 1)
    binds = {
        model: "/submission/model.onnx:ro",
        ground.limits: "/input/admission.json:ro",
        ground.tiles: "/input/tiles.npy:ro",
        ground.tiles.with_name("manifest.json"): "/input/manifest.json:ro",
        ground.predictions: "/output/predictions",
    }
    options = [*WALL.split(), f"--runtime={runtime}", f"--cpus={cpus}"]
    options += [f"--env=EVALUATOR_THREADS={cpus}"]
    for source, target in binds.items():
        options += ["-v", f"{source}:{target}"]
    ran = command(["docker", "run", *options, ground.image, "predict"])
    line = python("-c", SCORE, ground.predictions, ground.labels)
    scored = command(line, settled(ground.bench))
    return Sample(ran.seconds + scored.seconds, ran.cpu + scored.cpu, max(ran.peak, scored.peak))


def _libraries(ground: Ground, model: Path) -> Sample:
    """A program on the product's libraries."""
    _empty(ground.predictions)
    files = (model, ground.limits, ground.holdout.parent, ground.predictions)
    return command(python("-m", "benchmarks.floor", ground.image, *files), settled(ground.bench))


def _empty(predictions: Path) -> None:
    """A file that the container's uid may write."""
    predictions.write_bytes(b"")
    predictions.chmod(0o666)


def _bundles(ground: Ground, model: Path) -> Path:
    """What is uploaded of this model and these tiles."""
    folder = ground.bench.work / f"bundles-{model.stem}"
    if not folder.exists():
        tiles, labels = np.load(ground.tiles), np.load(ground.labels)
        codabench_like.write_bundles(folder, tiles, labels, model)
    return folder


def _codabench(ground: Ground, bundles: Path) -> Sample:
    """Its worker, in a process of its own; what it leaves is removed afterwards."""
    folder = ground.bench.work / "codabench"
    worker = ("worker", bundles, folder, ground.image, "runc")
    try:
        line = python("-m", "benchmarks.codabench_like", *worker)
        return command(line, settled(ground.bench))
    finally:
        shutil.rmtree(folder)

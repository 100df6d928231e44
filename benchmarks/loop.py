"""The runner's own loop against bare onnxruntime at its best batch and threads, in one process.

The model is loaded by then on both sides, so what is compared is the loop alone: tiles from a
mapped file into the model's input, the model, and its scores into classes. The runner's code is
what is in its image, and onnxruntime is the same build. The bare loop is the shortest that does the
job; its batch (32, 64 or 128) and threads are looked for in the same run, beforehand.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Comparison, Target, timed
from benchmarks.models import TINY, ensure
from benchmarks.workspace import CLASSES, ROOT, SIDE, empty_model
from evaluator.admission_policy import load_admission_policy
from evaluator.onnx_check import limits_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.measure import Bench

    Loop = Callable[[], object]

TILES = {TINY: 5000, "efficientnet-b0": 1000, "resnet50": 200}
LOOKED = 1.0  # seconds for each setting, twice


def measure(bench: Bench) -> None:
    """Compare the two loops for each model."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if bench.smoke or bench.python is None:
        bench.say("the models need an interpreter with torch and timm: one of no size instead")
        compare(bench, "empty", empty_model(bench.work), 640)
        return
    for name, path in ensure(bench.python, bench.work / "models", tuple(TILES)).items():
        compare(bench, name, path, TILES[name])


def compare(bench: Bench, name: str, model: Path, count: int) -> None:
    """Both loops over the same tiles."""
    from benchmarks import bare  # noqa: PLC0415 - it imports onnxruntime, which has to be told first

    tiles = noise(bench.work, count)
    found = bare.search(str(model), tiles, 0.01 if bench.smoke else LOOKED)
    batch, threads, _ = max(found, key=lambda each: each[2])
    ways: dict[str, Loop] = {
        "runner": runner_loop(bench.work, model, tiles),
        "bare": partial(bare.predict, bare.load(str(model), threads), tiles, batch),
    }
    bench.compare(
        Comparison(
            name=f"loop-{name}",
            title=f"{count} tiles through {name} (bare: batch {batch}, threads {threads})",
            ways={way: partial(timed, loop) for way, loop in ways.items()},
            against="bare",
            targets=[Target("runner", "bare", 1.0)],
        )
    )


def noise(work: Path, count: int) -> Any:  # noqa: ANN401 - a mapped array
    """(count, 64, 64) grey tiles: what a tile shows does not change what it costs."""
    import numpy as np  # noqa: PLC0415

    path = work / f"noise-{count}.npy"
    random = np.random.default_rng(7)
    np.save(path, random.integers(0, 256, (count, SIDE, SIDE), np.uint8))
    return np.load(path, mmap_mode="r")


def runner_loop(work: Path, model: Path, tiles: Any) -> Loop:  # noqa: ANN401 - as noise returns it
    """What `predict` does between loading the model and writing the answers."""
    sys.path.insert(0, str(ROOT / "images" / "onnx"))
    runner = import_module("runner")
    policy = load_admission_policy(ROOT / "policies" / "admission.toml")
    (work / "admission.json").write_text(limits_file(policy.onnx))
    shape = {"shape": [SIDE, SIDE], "bands": 1, "dtype": "uint8"}
    manifest = {**shape, "classes": [f"class {index}" for index in range(CLASSES)]}
    classifier = runner.fit(runner.load(model, runner.read_limits(work), "cpu"), manifest)
    return partial(runner.predictions, classifier, tiles.reshape(-1, SIDE, SIDE, 1))

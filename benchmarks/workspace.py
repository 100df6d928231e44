"""What the parts about `evaluator run` need first: a workspace for each runtime, and small models.

All of it is made by the commands, as an owner would make it, but for what a benchmark needs: quotas
and budgets that hundreds of runs fit in, and the name of the runtime.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import sandbox
from benchmarks.measure import command
from evaluator.admission_policy import load_admission_policy
from evaluator.kept_images import kept_images
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.measure import Bench

ROOT = Path(__file__).parents[1]
VENDOR = "acme"
HOLDOUT, SMALL = 5000, 50  # tiles held out
TRAINING = 16_600  # beside 5,000 made ones: as many as the real tiles leave
SIDE, CLASSES = 64, 9
ROOM = {
    "submissions": 1_000_000,
    "submissions_per_day": 1_000_000,
    "petaflops": "1_000_000.0",
    "leakage_budget_bits": 2**40,
}


def settled(bench: Bench) -> dict[str, str]:
    """Variables of every Python process that is measured: what is installed has its bytecode.

    It is kept beside the work, whatever this environment says of it.
    """
    bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(bench.work / "bytecode")}
    return {**bytecode, "PYTHONPATH": str(ROOT), "ORT_DISABLE_TELEMETRY": "1"}


def python(*arguments: object) -> list[str]:
    """A command line of this Python, in a process of its own."""
    return [sys.executable, *map(str, arguments)]


def evaluator(*arguments: object) -> list[str]:
    """The command line of the product."""
    return python("-m", "evaluator", *arguments)


def run_line(submission: Path, workspace: Path) -> list[str]:
    """One run, as submitted alone."""
    options = ("--vendor", VENDOR, "--phase", "baseline", "--json", "--workspace", workspace)
    return evaluator("run", submission, *options)


def runtimes(bench: Bench) -> tuple[str, ...]:
    """Those that were asked for and that the engine knows; none, said why, without an engine."""
    try:
        known = sandbox.connect().info()["Runtimes"]
    except sandbox.SandboxError as error:
        bench.say(f"left out: {error}")
        return ()
    for missing in [name for name in bench.runtimes if name not in known]:
        bench.say(f"left out under {missing}, which the engine does not know")
    return tuple(name for name in bench.runtimes if name in known)


def warm_workspaces(
    bench: Bench, holdout: int, names: tuple[str, ...], *, real: bool = False
) -> dict[str, Path]:
    """{runtime: workspace} with `holdout` tiles held out, each of which has had a run.

    So images are built, the host is calibrated, its wall tried and what came of that remembered.
    Those that an earlier part has made are used again.
    """
    farms = {name: bench.work / f"farm-{holdout}-{name}" for name in names}
    model = empty_model(bench.work)
    first = next(iter(farms.values()))
    if not first.exists():
        source = bench.tiles if real and bench.tiles else made_tiles(bench.work, holdout)
        make_workspace(bench, first, source, holdout)
    for name, farm in farms.items():
        if not farm.exists():
            shutil.copytree(first, farm)
        policy = farm / "policies" / "sandbox.toml"
        policy.write_text(re.sub("(?m)^runtime = .*", f'runtime = "{name}"', policy.read_text()))
        command(run_line(model, farm), settled(bench))
    return farms


def forget_images(farm: Path) -> None:
    """Have the engine drop the images that were handed in here and kept."""
    workspace = Workspace(farm)
    policy = load_admission_policy(workspace.admission_policy)
    kept = kept_images(workspace.known_images(), workspace.scratch, policy)
    sandbox.remove_admitted(kept.owner, ())


def make_workspace(
    bench: Bench, farm: Path, source: Path, holdout: int, changes: Mapping[str, object] = ROOM
) -> None:
    """A workspace with the tiles of `source` imported and its vendor entered.

    `changes` are keys of evaluator.toml, in the words of that file.
    """
    environment = settled(bench)
    command(evaluator("init", farm, "--class-sizes"), environment)
    rules = farm / "evaluator.toml"
    text = rules.read_text()
    for key, value in changes.items():
        text = re.sub(f"(?m)^{key} = .*", f"{key} = {value}", text)
    rules.write_text(text)
    command(evaluator("vendors", "add", VENDOR, "--workspace", farm), environment)
    options = ("--grayscale", "--holdout", holdout, "--workspace", farm)
    command(evaluator("data", "import", source, *options), environment)


def made_tiles(work: Path, holdout: int) -> Path:
    """A folder of noise: tiles.npy and labels.npy. What a model sees does not change its cost."""
    import numpy as np  # noqa: PLC0415

    folder = work / f"tiles-{holdout}"
    if not folder.exists():
        folder.mkdir()
        count = holdout + (TRAINING if holdout == HOLDOUT else holdout)
        random = np.random.default_rng(7)
        np.save(folder / "tiles.npy", random.integers(0, 255, (count, SIDE, SIDE), np.uint8))
        np.save(folder / "labels.npy", np.arange(count, dtype=np.int64) % CLASSES)
    return folder


def empty_model(work: Path) -> Path:
    """An ONNX model that is next to nothing: nine scores, linear in the mean of a tile."""
    import numpy as np  # noqa: PLC0415
    from onnx import TensorProto, helper, numpy_helper, save  # noqa: PLC0415

    path = work / "empty.onnx"
    if path.exists():
        return path
    weights = np.linspace(-1, 1, CLASSES, dtype=np.float32)[None]
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["tiles"], ["means"]),
            helper.make_node("Flatten", ["means"], ["column"]),
            helper.make_node("MatMul", ["column", "weights"], ["scores"]),
        ],
        "empty",
        [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(weights, "weights")],
    )
    opset = helper.make_opsetid("", 18)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=9), str(path))
    return path

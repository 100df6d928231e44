"""Fine-tuning in the sandbox against the same loop written by hand in torch, without any wall.

Both start from the same weights and do the same steps: batches, augmentation, cross entropy,
clipped gradients, AdamW, channels last, and bfloat16 where the processor multiplies it. By hand the
network is torch's own module; in the sandbox it is a graph that is read from an ONNX file. Compared
is the loop itself, from the end of its first step to the end of the last validation, as both count
it; and apart from that the whole command, which in the sandbox also reads, checks and saves an ONNX
file that the loop by hand has not. The container has the options of the wall.

One of these options costs something by itself: threads that wait for each other sleep at once
(OMP_WAIT_POLICY=PASSIVE), since one that spins without end would be charged to its vendor. "bare,
asleep" is the loop by hand with that alone. Our trainer lets them spin for a short while first
(images/trainer/threads.py), and keeps the memory that a step has freed (memory.py).
"""

from __future__ import annotations

import json
import struct
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Comparison, Sample, Target
from benchmarks.models import TINY, ensure
from benchmarks.workspace import CLASSES, ROOT, SIDE
from evaluator.admission_policy import load_admission_policy
from evaluator.images import build_onnx_trainer
from evaluator.onnx_check import limits_file
from evaluator.recipe import Recipe

if TYPE_CHECKING:
    from benchmarks.measure import Bench

TILES = {TINY: 5000, "vit-tiny": 320}
FRAME = struct.Struct("<8q")  # images/trainer/frames.py; the last number is milliseconds
BY_HAND = Path(__file__).with_name("train_by_hand.py")
# As sandbox/wall.py has them, where the command line knows them.
WALL = ["--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
WALL += ["--user=65534:65534", "--cpus=2", "--memory=8g", "--pids-limit=256", "--tmpfs=/tmp:noexec"]
WALL += ["--env=EVALUATOR_THREADS=2", "--env=OMP_NUM_THREADS=2", "--env=OMP_WAIT_POLICY=PASSIVE"]
WALL += ["--env=HOME=/tmp", "--env=USER=sandbox"]


def measure(bench: Bench) -> None:
    """Compare the two for each network."""
    if bench.python is None:
        bench.say("left out: the loop by hand needs an interpreter with torch and timm")
        return
    image = build_onnx_trainer(bench.say)
    names = (TINY,) if bench.smoke else tuple(TILES)
    for name, model in ensure(bench.python, bench.work / "models", names).items():
        compare(bench, name, model, image, 200 if bench.smoke else TILES[name])


def compare(bench: Bench, name: str, model: Path, image: str, count: int) -> None:
    """The loops, and then the whole commands of the same turns."""
    folder = bench.work / f"training-{name}"
    inputs = prepare(folder, count)
    by_hand = [str(bench.python), str(BY_HAND), name, str(inputs)]
    commands = {
        "evaluator": sandboxed(folder, inputs, model, image),
        "bare, asleep": ["env", "OMP_WAIT_POLICY=PASSIVE", *by_hand],
        "bare": by_hand,
    }
    whole: dict[str, list[Sample]] = {way: [] for way in commands}
    ways = {
        way: partial(turn, line, whole[way], frames=way == "evaluator")
        for way, line in commands.items()
    }
    bench.compare(
        Comparison(
            name=f"training-loop-{name}",
            title=f"One epoch of {count} tiles through {name}",
            ways=ways,
            against="bare",
            targets=[Target("evaluator", "bare", 1.05)],
        )
    )
    again = {way: partial(next, iter(samples)) for way, samples in whole.items()}
    title = f"One epoch of {count} tiles through {name}, the whole command"
    bench.compare(Comparison(f"training-command-{name}", title, again, against="bare"))


def turn(line: list[str], whole: list[Sample], *, frames: bool) -> Sample:
    """Run a command; the seconds of its loop, while those of all of it go to `whole`."""
    begun = time.perf_counter()
    done = subprocess.run(line, check=False, capture_output=True)
    whole.append(Sample(time.perf_counter() - begun))
    if done.returncode:
        raise RuntimeError(f"{line} ended with {done.returncode}: {done.stderr[-2000:]!r}")
    if not frames:
        return Sample(json.loads(done.stdout))
    elapsed = [frame[-1] for frame in FRAME.iter_unpack(done.stderr)]
    return Sample((elapsed[-1] - elapsed[0]) / 1000)


def prepare(folder: Path, count: int) -> Path:
    """What a training finds in /input; the tiles are noise with a brighter part for each class."""
    import numpy as np  # noqa: PLC0415

    inputs = folder / "input"
    inputs.mkdir(parents=True, exist_ok=True)
    labels = np.arange(count, dtype=np.uint8) % CLASSES
    tiles = np.random.default_rng(7).integers(0, 200, (count, SIDE, SIDE), np.uint8)
    for label in range(CLASSES):
        tiles[labels == label, 7 * label : 7 * label + 7] += 50
    np.save(inputs / "tiles.npy", tiles)
    np.save(inputs / "labels.npy", labels)
    manifest = {
        "contract": 1,
        "tiles": count,
        "shape": [SIDE, SIDE],
        "dtype": "uint8",
        "bands": 1,
        "classes": [f"class {index}" for index in range(CLASSES)],
        "output_dtype": "uint8",
    }
    (inputs / "manifest.json").write_text(json.dumps(manifest))
    policy = load_admission_policy(ROOT / "policies" / "admission.toml")
    (inputs / "admission.json").write_text(limits_file(policy.onnx))
    precision = "bfloat16" if "avx512_bf16" in Path("/proc/cpuinfo").read_text() else "float32"
    recipe = {"mode": "full", "epochs": 1, "precision": precision}
    (inputs / "hyperparameters.json").write_bytes(Recipe.model_validate(recipe).canonical())
    return inputs


def sandboxed(folder: Path, inputs: Path, model: Path, image: str) -> list[str]:
    """A container that trains, and leaves its model in a folder of the host."""
    left = folder / "left"
    left.mkdir(exist_ok=True)
    left.chmod(0o777)
    places = {inputs: "/input:ro", model: "/submission/model.onnx:ro", left: "/opt/ml/model"}
    volumes = [f"--volume={source}:{target}" for source, target in places.items()]
    return ["docker", "run", "--rm", *WALL, *volumes, image, "train"]

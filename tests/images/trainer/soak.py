"""Fine-tuning on real tiles in the trainer's image, and the large networks: figures, not a test.

    python tests/images/trainer/soak.py TILES.tar FOLDER --torch PYTHON [--large]

from the repository's root as PYTHONPATH, with the project's own Python; PYTHON is one with torch,
timm, onnxscript and Pillow. On two cores it takes about a quarter of an hour, with --large five
minutes more. It makes the weak model (weak_model.py), has the image train its head, and all of it,
and all of it once more by a loop written by hand (inside/by_hand.py), and prints what each reaches
on the holdout. With --large ResNet-50, ViT-B/16 and EfficientNet-B0 by both exporters are loaded,
matched and trained for a few steps each (inside/check_exports.py). What is in FOLDER already is not
made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from evaluator.images import build_onnx_trainer
from evaluator.onnx_check import limits_file
from evaluator.recipe import Recipe
from tests.images.trainer.conftest import HERE, POLICY, container, scores

LARGE = ("resnet50", "vit_base_patch16_224", "efficientnet_b0")


def say(words: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def prepared(folder: Path, recipe: Recipe) -> list[str]:
    """The mounts of a training under a recipe."""
    inputs = folder / "train"
    (inputs / "admission.json").write_text(limits_file(POLICY.onnx))
    (inputs / "hyperparameters.json").write_bytes(recipe.canonical())
    model = f"--volume={folder / 'model.onnx'}:/submission/model.onnx:ro"
    return [
        f"--volume={inputs}:/input:ro",
        model,
        "--cpus=2",
        "--memory=8g",
        "--env=OMP_WAIT_POLICY=PASSIVE",
    ]


def trained(image: str, folder: Path, recipe: Recipe) -> tuple[bytes, float]:
    """What the image leaves, and the seconds it took."""
    left, output = folder / "left", folder / "predictions"
    left.mkdir(exist_ok=True)
    left.chmod(0o777)
    output.write_bytes(b"")
    output.chmod(0o666)
    mounts = prepared(folder, recipe)
    check = [*container(image, *mounts, f"--volume={output}:/output/predictions"), "check"]
    subprocess.run(check, check=True, capture_output=True)
    record = np.fromfile(output, "<i8")
    say(f"  check: {record[:12].tolist()}")
    started = time.monotonic()
    command = [*container(image, *mounts, f"--volume={left}:/opt/ml/model"), "train"]
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.monotonic() - started
    model = (left / "model.onnx").read_bytes()
    (left / "model.onnx").unlink()
    return model, seconds


def by_hand(image: str, folder: Path, recipe: Recipe) -> np.ndarray:
    """The hand-written loop's scores of the holdout."""
    mounts = [*prepared(folder, recipe), f"--volume={HERE / 'inside'}:/inside:ro"]
    mounts += [f"--volume={folder / 'holdout'}:/scored:ro", "--entrypoint=/usr/bin/python3.11"]
    command = [*container(image, *mounts), "/inside/by_hand.py"]
    done = subprocess.run(command, check=True, capture_output=True)
    return np.array(json.loads(done.stdout))


def real_tiles(image: str, folder: Path, precision: str) -> None:
    """Baseline, head, all weights, and all weights by hand."""
    tiles, labels = (np.load(folder / f"holdout/{name}.npy") for name in ("tiles", "labels"))

    def accuracy(made: np.ndarray) -> float:
        return round(float((made.argmax(1) == labels).mean()) * 100, 2)

    say(f"baseline {accuracy(scores((folder / 'model.onnx').read_bytes(), tiles))}")
    model, seconds = trained(image, folder, Recipe())
    say(f"no recipe (head) {accuracy(scores(model, tiles))}, {seconds:.0f} s")
    full = Recipe.model_validate({"mode": "full", "precision": precision})
    model, seconds = trained(image, folder, full)
    ours = scores(model, tiles)
    say(f"full {accuracy(ours)}, {seconds:.0f} s")
    theirs = by_hand(image, folder, full)
    same = float((ours.argmax(1) == theirs.argmax(1)).mean())
    say(f"full by hand {accuracy(theirs)}; {same:.2%} of the predictions are the same")


def large_networks(image: str, folder: Path, python: str) -> None:
    """Each by both exporters."""
    exports = folder / "exports"
    exports.mkdir(exist_ok=True)
    for name in LARGE:
        if not (exports / f"{name}.script.onnx").exists():
            script = [python, str(HERE / "make_exports.py"), "--large", name, str(exports)]
            subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
    mounts = [*prepared(folder, Recipe()), f"--volume={HERE / 'inside'}:/inside:ro"]
    mounts += [f"--volume={exports}:/exports:ro", "--entrypoint=/usr/bin/python3.11"]
    command = [*container(image, *mounts), "/inside/check_exports.py"]
    done = subprocess.run(command, check=True, capture_output=True)
    for name, found in json.loads(done.stdout).items():
        say(f"{name} {found}")


def main() -> None:
    """Read the command line; print figures as they come."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--torch", required=True, metavar="PYTHON")
    parser.add_argument("--precision", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    image = build_onnx_trainer(say)
    folder = options.folder.resolve()
    if not (folder / "model.onnx").exists():
        script = [options.torch, HERE / "weak_model.py", options.tiles, folder]
        subprocess.run(script, check=True)
    real_tiles(image, folder, options.precision)
    if options.large:
        large_networks(image, folder, options.torch)


if __name__ == "__main__":
    main()

"""The example submissions, built and run: they keep the contract they are meant to show."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluator.images import EXAMPLES, build_example

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.docker
LABELS = np.repeat(np.arange(3, dtype=np.uint8), 40)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """120 tiles of three classes, each class of its own brightness: 60, 120 and 180."""
    folder = tmp_path / "input"
    folder.mkdir()
    noise = np.random.default_rng(5).integers(-30, 30, (120, 16, 16))
    tiles = (60 + 60 * LABELS[:, None, None] + noise).astype(np.uint8)
    manifest = {
        "contract": 1,
        "tiles": 120,
        "shape": [16, 16],
        "dtype": "uint8",
        "bands": 1,
        "classes": ["dark", "middle", "bright"],
        "output_dtype": "uint8",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "hyperparameters.json").write_text('{"epochs": 20, "learning_rate": 0.01}')
    np.save(folder / "tiles.npy", tiles)
    np.save(folder / "labels.npy", LABELS)
    return folder


def run(image: str, verb: str, inputs: Path, *mounts: str) -> subprocess.CompletedProcess[str]:
    """Run one verb as any user without a name, on a read-only root, without a network."""
    command = ["docker", "run", "--rm", "--network=none", "--read-only", "--user=12345"]
    command += ["--cap-drop=ALL", "--tmpfs=/tmp:noexec", "--env=HOME=/tmp"]
    command += ["--env=USER=sandbox", f"--volume={inputs}:/input:ro"]
    command += [f"--volume={mount}" for mount in mounts]
    return subprocess.run(
        [*command, image, verb], check=False, capture_output=True, text=True, timeout=120
    )


def predict(image: str, dataset: Path, model: Path | None = None) -> NDArray[np.uint8]:
    """Return the predictions, with what training left where it is given."""
    output = dataset.parent / "predictions"
    output.write_bytes(b"")
    output.chmod(0o666)
    mounts = [f"{output}:/output/predictions"]
    mounts += [f"{model}:/opt/ml/model:ro"] if model else []
    result = run(image, "predict", dataset, *mounts)
    assert result.returncode == 0, result.stderr
    return np.fromfile(output, np.uint8)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_predicts_one_class_for_each_tile(name: str, dataset: Path) -> None:
    """As shipped, it fills the output with N indices, each of a class that exists."""
    predicted = predict(build_example(name, print), dataset)
    assert predicted.shape == LABELS.shape
    assert predicted.max() < 3


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_learns_from_the_training_tiles(name: str, dataset: Path) -> None:
    """What `train` leaves changes what `predict` then says, for the better."""
    image = build_example(name, print)
    model = dataset.parent / "model"
    model.mkdir()
    model.chmod(0o777)
    result = run(image, "train", dataset, f"{model}:/opt/ml/model")
    assert result.returncode == 0, result.stderr
    before = (predict(image, dataset) == LABELS).mean()
    after = (predict(image, dataset, model) == LABELS).mean()
    assert after > max(before, 0.95)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_refuses_a_verb_it_does_not_know(name: str, dataset: Path) -> None:
    """An unknown verb ends with another status than 0 and says how to use it."""
    result = run(build_example(name, print), "deploy", dataset)
    assert result.returncode != 0
    assert "predict | train" in result.stderr

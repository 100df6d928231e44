"""The main job on real tiles: our counts are those of plain onnxruntime and scikit-learn."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import confusion_matrix

from tests.helpers.linear import exported, features

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("runner_image")]

TILES = Path(
    os.environ.get("EVALUATOR_TILES")
    or Path(__file__).parents[3] / "shared" / "data" / "eurosat" / "tiles.tar"
)
HOLDOUT = 5000
BLOCKS = 8  # features are the means of 8x8 parts of a tile, and of their squares


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory, command: Callable[..., Any]) -> Path:
    """A workspace of the real tiles, grey, 5,000 of them held out."""
    if not TILES.exists():
        pytest.skip("The real tiles are not here: name their tar with EVALUATOR_TILES.")
    root = tmp_path_factory.mktemp("real") / "farm"
    assert command("init", root, "--class-sizes").code == 0
    imported = command(
        "data", "import", TILES, "--grayscale", "--holdout", HOLDOUT, "--workspace", root
    )
    assert imported.code == 0, imported.stderr
    assert command("vendors", "add", "acme", "--workspace", root).code == 0
    return root


@pytest.fixture(scope="module")
def model(farm: Path) -> Path:
    """A linear classifier trained outside the product, as one ONNX file."""
    training = farm / "data" / "1" / "training"
    tiles = np.load(training / "tiles" / "tiles.npy", mmap_mode="r")[:6000]
    labels = np.load(training / "labels" / "labels.npy")[:6000]
    fitted = RidgeClassifier().fit(features(tiles, BLOCKS), labels)
    path = farm.parent / "model.onnx"
    onnx.save(exported(fitted.coef_, fitted.intercept_, 64, BLOCKS), path)
    return path


def plainly(model: Path, tiles: Path) -> NDArray[np.int64]:
    """What onnxruntime alone predicts, in a process of its own."""
    program = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "logits = session.run(None, {'tiles': numpy.load(sys.argv[2])})[0]\n"
        "print(*logits.argmax(1))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, model, tiles],
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return np.array(printed.split(), np.int64)


@pytest.mark.parametrize("runtime", ["runc", pytest.param("runsc", marks=pytest.mark.gvisor)])
def test_counts_are_those_of_onnxruntime_and_scikit_learn(
    farm: Path, model: Path, command: Callable[..., Any], runtime: str
) -> None:
    """Exactly, tile by tile; the signed figures are their rounding; training makes it better."""
    policy = farm / "policies" / "sandbox.toml"
    policy.write_text(re.sub("(?m)^runtime = .*", f'runtime = "{runtime}"', policy.read_text()))
    holdout = farm / "data" / "1" / "holdout"
    labels = np.load(holdout / "labels" / "labels.npy")
    expected = confusion_matrix(labels, plainly(model, holdout / "tiles" / "tiles.npy"))

    options = ("--vendor", "acme", "--phase", "both", "--json", "--workspace", farm)
    ended = command("run", model, *options)
    document = ended.document()
    counts = json.loads(Path(document["private"]).read_text())["baseline"]["counts"]
    phases = document["statement"]["predicate"]["phases"]
    phase = phases["baseline"]

    assert ended.code == 0
    assert counts["confusion"] == expected.tolist()
    assert counts["correct"] == int(np.trace(expected))
    assert phase["accuracy"] == rounded(np.trace(expected), HOLDOUT, "0.001")
    assert list(phase["recall"].values()) == [
        rounded(row[index], row.sum(), "0.01") for index, row in enumerate(expected)
    ]
    assert 0.3 < phase["accuracy"] < 0.9
    assert phases["gain"]["accuracy"] > 0.02  # all 16,600 tiles, and a better loss than the ridge's


def rounded(part: int, whole: int, step: str) -> float:
    """Half up to the step, by the decimal module."""
    return float((Decimal(int(part)) / int(whole)).quantize(Decimal(step), ROUND_HALF_UP))

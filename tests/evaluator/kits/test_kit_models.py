"""The kits' programs, run as they are shipped: they learn and answer, on tiles of every kind."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest

from evaluator.kits import write_kit
from evaluator.workspace import shipped
from tests.helpers.challenges import KINDS, challenge_of_kind, manifest_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

COUNT = 240
kinds = pytest.mark.parametrize("kind", KINDS)


def drawn(said: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Tiles whose light tells what they are, and what they are."""
    random = np.random.default_rng(1)
    light = random.random(COUNT)
    labels: NDArray[Any] = (light * 3).astype(np.uint8)
    if said["task"] == "regression":
        low, high = said["target_range"]
        labels = (low + (high - low) * light).astype(np.float32)
    else:
        light = (labels + 0.5) / 3
    full = {"uint8": 255, "uint16": 10_000, "float32": 1}[said["dtype"]]
    shape = (COUNT, *said["shape"])
    light = (0.8 * light + 0.1).reshape(COUNT, *(1,) * len(said["shape"]))
    return (full * (light + 0.02 * random.random(shape))).astype(said["dtype"]), labels


def accuracy(said: dict[str, Any], answers: NDArray[Any], labels: NDArray[Any]) -> float:
    """The share of right answers; of numbers those within a twentieth of the range."""
    if said["task"] == "regression":
        low, high = said["target_range"]
        return float(np.mean(np.abs(answers - labels) < (high - low) / 20))
    return float(np.mean(answers == labels))


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    """main.py of the container kit, with its paths below a folder of the test's."""
    source = shipped("images") / "kits" / "container" / "main.py"
    spec = importlib.util.spec_from_file_location("kit_main", source)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.INPUT, module.OUTPUT = tmp_path, tmp_path / "predictions"
    module.TRAINED = module.SHIPPED = tmp_path / "weights.npz"
    module.OUTPUT.touch()
    found: ModuleType = module
    return found


@kinds
def test_the_container_predicts_before_and_after_its_training(
    kind: str, program: ModuleType, tmp_path: Path
) -> None:
    """One answer for each tile; after `train` nearly all of them are right."""
    said = manifest_of(kind, COUNT)
    tiles, labels = drawn(said)
    (tmp_path / "manifest.json").write_text(json.dumps(said))
    np.save(tmp_path / "tiles.npy", tiles)
    np.save(tmp_path / "labels.npy", labels)
    shares = []
    for verbs in (["predict"], ["train", "predict"]):
        for verb in verbs:
            program.main(verb)
        answers = np.fromfile(tmp_path / "predictions", said["output_dtype"])
        assert answers.shape == (COUNT,)
        shares.append(accuracy(said, answers, labels))

    assert shares[0] < 0.6
    assert shares[1] > 0.95


def test_the_container_refuses_a_verb_it_does_not_know(program: ModuleType, tmp_path: Path) -> None:
    """It says how it is used."""
    (tmp_path / "manifest.json").write_text("{}")
    np.save(tmp_path / "tiles.npy", np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(SystemExit, match=r"usage: predict \| train"):
        program.main("deploy")


@kinds
def test_the_onnx_kit_makes_a_model_that_fits_the_challenge(kind: str, tmp_path: Path) -> None:
    """From tiles of one's own; what onnxruntime then says of them is right."""
    said, kit = manifest_of(kind, COUNT), tmp_path / "my model"
    tiles, labels = drawn(said)
    write_kit("onnx", kit, challenge_of_kind(kind).dump())
    np.save(kit / "tiles.npy", tiles)
    np.save(kit / "labels.npy", labels)
    made = subprocess.run(
        [sys.executable, "make_model.py"], cwd=kit, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    properties = {each.key: each.value for each in onnx.load(kit / "model.onnx").metadata_props}
    scaled = tiles.astype(np.float32) * float(properties["evaluator.scale"])
    session = onnxruntime.InferenceSession(kit / "model.onnx")
    (scores,) = session.run(
        None, {"tiles": np.moveaxis(scaled.reshape(*tiles.shape[:3], -1), 3, 1)}
    )
    answers = scores[:, 0] if said["task"] == "regression" else scores.argmax(1)

    assert accuracy(said, answers, labels) > 0.95
    assert str(COUNT) in made.stderr


def test_without_tiles_of_ones_own_some_are_drawn(tmp_path: Path) -> None:
    """The same model each time, so that two runs of CI have one digest."""
    models = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        kit = tmp_path / name / "kit"
        write_kit("onnx", kit, challenge_of_kind("grey").dump())
        subprocess.run([sys.executable, "make_model.py"], cwd=kit, check=True, capture_output=True)
        models.append((kit / "model.onnx").read_bytes())

    assert models[0] == models[1]

"""The trainer where a number is learnt for each tile: heads, whole models, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from evaluator.recipe import Recipe
from tests.images.trainer.conftest import container, make_inputs, make_model, scores

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.docker
HEAD, FULL = 1, 2


def make_regressor(head: str = "Gemm", tail: str = "") -> onnx.ModelProto:
    """A small CNN with one output, which knows nothing yet; its head a Gemm, or MatMul and Add."""
    rng = np.random.default_rng(3)
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("AveragePool", ["r1"], ["p1"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["p1"], ["flat"]),
    ]
    if head == "Gemm":
        nodes.append(helper.make_node("Gemm", ["flat", "w2", "b2"], ["number"]))
    else:
        nodes.append(helper.make_node("MatMul", ["flat", "w2"], ["product"]))
    if head == "Add":
        nodes.append(helper.make_node("Add", ["product", "b2"], ["number"]))
    if tail:
        nodes.append(helper.make_node(tail, [nodes[-1].output[0]], ["y"]))
    tensors: dict[str, Any] = {
        "scale": np.array(1 / 128, np.float32),
        "w1": rng.standard_normal((4, 1, 3, 3)) * 0.5,
        "b1": np.zeros(4),
        "w2": rng.standard_normal((16, 1)) * 0.1,
    }
    if head != "MatMul":
        tensors["b2"] = np.zeros(1)
    return make_model(nodes, tensors, ("N", 1, 8, 8))


def numbers(folder: Path, recipe: Recipe) -> Path:
    """The same tiles, each with kilograms of a hectare that follow from its rows' brightness."""
    inputs = make_inputs(folder, recipe)
    tiles = np.load(inputs / "tiles.npy").astype(np.float64)
    (inputs / "labels.npy").rename(inputs / "crops.npy")
    wanted = 4000 + 30 * tiles[:, :4].mean((1, 2)) - 10 * tiles[:, 4:].mean((1, 2))
    np.save(inputs / "labels.npy", wanted.astype(np.float32))
    manifest = json.loads((inputs / "manifest.json").read_text())
    more = {"task": "regression", "unit": "kg/ha", "target_range": [0, 12_000]}
    manifest |= more | {"output_dtype": "float32"}
    (inputs / "manifest.json").write_text(json.dumps(manifest))
    return inputs


class Bench:
    """Runs the trainer's verbs on a model."""

    def __init__(self, image: str, folder: Path, model: onnx.ModelProto, **recipe: Any) -> None:  # noqa: ANN401 - keys of a recipe
        self.image, self.folder, self.model = image, folder, model.SerializeToString()
        self.inputs = numbers(folder / "input", Recipe(**recipe))
        (folder / "model.onnx").write_bytes(self.model)
        (folder / "left").mkdir()
        (folder / "left").chmod(0o777)
        (folder / "predictions").write_bytes(b"")
        (folder / "predictions").chmod(0o666)

    def carry_out(self, verb: str) -> subprocess.CompletedProcess[bytes]:
        """One container."""
        mounts = [
            f"--volume={self.inputs}:/input:ro",
            f"--volume={self.folder / 'model.onnx'}:/submission/model.onnx:ro",
            f"--volume={self.folder / 'left'}:/opt/ml/model",
            f"--volume={self.folder / 'predictions'}:/output/predictions",
        ]
        command = [*container(self.image, *mounts), verb]
        return subprocess.run(command, check=False, capture_output=True, timeout=300)

    def check(self) -> list[int]:
        """The record."""
        self.carry_out("check")
        return [int(value) for value in np.fromfile(self.folder / "predictions", "<i8")]

    def train(self) -> bytes:
        """The trained model."""
        done = self.carry_out("train")
        assert done.returncode == 0, done.stderr[-500:]
        return (self.folder / "left/model.onnx").read_bytes()

    def rmse(self, model: bytes) -> float:
        """On the tiles that it has seen, by onnxruntime itself."""
        given = scores(model, np.load(self.inputs / "tiles.npy")).reshape(-1)
        return float(np.sqrt(np.square(given - np.load(self.inputs / "labels.npy")).mean()))

    def spread(self) -> float:
        """The error of the best constant."""
        return float(np.load(self.inputs / "labels.npy").std())


@pytest.mark.parametrize(
    ("head", "mode", "number", "weights"), [("Gemm", "head", HEAD, 17), ("Add", "full", FULL, 56)]
)
def test_training_learns_numbers_far_from_zero(
    image: str, tmp_path: Path, head: str, mode: str, number: int, weights: int
) -> None:
    """From an error of thousands to a part of what the best constant errs, in either mode.

    Nodes, and the names of what is no head, stay; only numbers change.
    """
    recipe: dict[str, Any] = {"mode": mode, "flips": False, "rotations": False, "epochs": 20}
    recipe |= {"learning_rate": 0.02, "batch_size": 16}
    bench = Bench(image, tmp_path, make_regressor(head), **recipe)

    record, trained = bench.check(), bench.train()

    assert record[:4] == [0, -1, -1, number]
    assert record[4] == weights
    assert bench.rmse(bench.model) > 3000
    assert bench.rmse(trained) < bench.spread() / 2
    before, after = onnx.load_from_string(bench.model), onnx.load_from_string(trained)
    assert [n.op_type for n in after.graph.node] == [n.op_type for n in before.graph.node]
    kept = {t.name: numpy_helper.to_array(t) for t in after.graph.initializer}
    assert len(kept) == len(before.graph.initializer)
    moved = (kept["w1"] != numpy_helper.to_array(before.graph.initializer[1])).any()
    assert moved == (mode == "full")


@pytest.mark.parametrize(
    ("head", "tail", "expected"),
    [
        ("MatMul", "", [0, -1, -1, HEAD]),  # a head without a bias is one as well
        ("Gemm", "Sigmoid", [5, -1, -1]),  # of numbers a sigmoid changes the size
    ],
)
def test_heads_of_numbers_are_told_from_those_of_classes(
    image: str, tmp_path: Path, head: str, tail: str, expected: list[int]
) -> None:
    """What may stand between the last layer and the output."""
    bench = Bench(image, tmp_path, make_regressor(head, tail), mode="head")

    assert bench.check()[: len(expected)] == expected


def test_a_model_without_a_head_is_trained_as_it_is(image: str, tmp_path: Path) -> None:
    """Nothing is folded where a Softplus stands last."""
    bench = Bench(image, tmp_path, make_regressor("Gemm", "Softplus"), mode="full", epochs=2)

    assert bench.rmse(bench.train()) < bench.rmse(bench.model)


def test_several_outputs_are_no_number(image: str, tmp_path: Path) -> None:
    """Its code for what gives no scores; our runner has refused it before, with EVA307."""
    model = make_regressor()
    wide = [t for t in model.graph.initializer if t.name in {"w2", "b2"}]
    for tensor in wide:
        value = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(np.repeat(value, 3, axis=-1), tensor.name))

    assert Bench(image, tmp_path, model).check()[0] == 4

"""The trainer's two verbs in its image: what it leaves, what it refuses, what it says."""

from __future__ import annotations

import json
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from evaluator.recipe import Recipe
from tests.images.trainer.conftest import (
    CLASSES,
    HERE,
    container,
    make_cnn,
    make_inputs,
    make_model,
    scores,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.images.trainer.conftest import Trained

    Run = Callable[..., Trained]

pytestmark = pytest.mark.docker
OPERATORS = (HERE.parents[2] / "images/trainer/operators.txt").read_text().splitlines()
HEAD, FULL = 1, 2


def accuracy(model: bytes, folder: Path) -> float:
    """Of a model on the tiles it may have seen."""
    tiles, labels = np.load(folder / "tiles.npy"), np.load(folder / "labels.npy")
    return float((scores(model, tiles).argmax(1) == labels).mean())


def frames(stderr: bytes) -> list[tuple[int, ...]]:
    """The progress that a training reported; anything else on its stderr fails."""
    assert len(stderr) % 64 == 0, stderr[:500]
    return list(struct.iter_unpack("<8q", stderr))


@pytest.mark.parametrize(("mode", "number"), [("head", HEAD), ("full", FULL)])
def test_training_improves_a_model(run: Run, tmp_path: Path, mode: str, number: int) -> None:
    """In both modes, which `check` announces with its weights, steps and a cost."""
    recipe: dict[str, Any] = {"mode": mode, "flips": False, "rotations": False}
    recipe |= {"epochs": 8, "learning_rate": 0.01}
    record = run("check", make_cnn(), **recipe).record
    assert record[:4] == [0, -1, -1, number]
    assert record[4] == {HEAD: 195, FULL: 235}[number]
    assert record[5] > 0
    assert record[6] > 10**9
    assert record[7] > 10**9
    assert record[8:10] == [0, 0]
    assert 0 <= record[10] < 10**5
    assert record[11] == 150
    trained = run("train", make_cnn(), **recipe)
    assert trained.status == 0
    inputs = make_inputs(tmp_path / "all", Recipe())
    before = accuracy(make_cnn().SerializeToString(), inputs)
    assert accuracy(trained.model, inputs) > max(0.9, before + 0.2)


@pytest.mark.parametrize("mode", ["head", "full"])
def test_the_same_seed_gives_the_same_bytes(run: Run, mode: str) -> None:
    """On the same CPU with as many threads; another seed gives others."""
    recipe: dict[str, Any] = {"mode": mode, "epochs": 2, "learning_rate": 0.01}
    first = run("train", make_cnn(), **recipe)
    again = run("train", make_cnn(), **recipe)
    other = run("train", make_cnn(), **recipe, seed=1)
    assert first.model == again.model != other.model


def test_progress_is_frames_and_nothing_else(run: Run) -> None:
    """Sequence, epochs, steps, loss, accuracy and time, the last one complete."""
    said = frames(run("train", make_cnn(), mode="full", epochs=3).stderr)
    assert [frame[0] for frame in said] == list(range(len(said)))
    sequence, epoch, epochs, step, steps, loss, accuracy_, elapsed = said[-1]
    assert sequence == len(said) - 1
    assert epoch == epochs == 3
    assert step == steps == 9
    assert loss > 0
    assert 0 <= accuracy_ <= 10_000
    assert elapsed > 0


def test_everything_else_of_the_file_is_kept(run: Run) -> None:
    """Metadata, names, nodes and shapes; only the numbers of the weights change."""
    model = make_cnn("Softmax")
    helper.set_model_props(model, {"evaluator.scale": "0.5", "author": "acme"})
    for mode in ("head", "full"):
        left = onnx.load_from_string(run("train", model, mode=mode, epochs=1).model)
        assert list(left.metadata_props) == list(model.metadata_props)
        assert [node.op_type for node in left.graph.node] == [n.op_type for n in model.graph.node]
        assert left.graph.input == model.graph.input
        kept = {t.name: numpy_helper.to_array(t) for t in left.graph.initializer}
        assert kept["scale"] == np.float32(1 / 128)
        assert len(kept) == len(model.graph.initializer)


def test_frozen_layers_stay(run: Run) -> None:
    """The first layer keeps its kernel and bias, the second does not."""
    model = make_cnn()
    trained = run("train", model, mode="full", epochs=1, frozen_layers=1, validation=0.0)
    before, after = (
        {t.name: numpy_helper.to_array(t) for t in each.graph.initializer}
        for each in (model, onnx.load_from_string(trained.model))
    )
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed == {"w2", "b2"}


def test_a_fixed_batch_trains_as_a_free_one(run: Run) -> None:
    """A batch of 64 tiles goes through in pieces of seven, and means the same."""
    recipe: dict[str, Any] = {"mode": "full", "epochs": 2, "precision": "float32"}
    recipe |= {"validation": 0.0}
    free, fixed = (run("train", make_cnn(batch=size), **recipe).model for size in ("N", 7))
    one, other = (onnx.load_from_string(each).graph.initializer for each in (free, fixed))
    for mine, theirs in zip(one, other, strict=True):
        near = numpy_helper.to_array(mine), numpy_helper.to_array(theirs)
        np.testing.assert_allclose(*near, rtol=1e-3, atol=1e-4)


def test_a_loop_written_by_hand_reaches_the_same(
    run: Run, inside: Callable[..., Any], tmp_path: Path
) -> None:
    """Plain torch, the same recipe and seed: the same scores on every tile."""
    recipe: dict[str, Any] = {"mode": "full", "epochs": 3, "precision": "float32"}
    recipe |= {"learning_rate": 0.01}
    ours = run("train", make_cnn(), **recipe).model
    inputs = make_inputs(tmp_path / "again", Recipe(**recipe))
    (tmp_path / "model.onnx").write_bytes(make_cnn().SerializeToString())
    model = f"--volume={tmp_path / 'model.onnx'}:/submission/model.onnx:ro"
    mounts = f"--volume={inputs}:/input:ro", model
    theirs = np.array(inside("by_hand", *mounts))
    np.testing.assert_allclose(
        scores(ours, np.load(inputs / "tiles.npy")), theirs, rtol=1e-3, atol=1e-4
    )


def test_an_unknown_operator_is_named_by_its_line(run: Run) -> None:
    """Full training needs every operator; the head of the same model needs none of them."""
    model = make_cnn()
    node = helper.make_node("DequantizeLinear", ["q", "s"], ["kernel"])
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 1, 3, 3), np.int8), "q"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.1, np.float32), "s"))
    model.graph.node[1].input[1] = "kernel"
    model.graph.node.insert(0, node)
    record = run("check", model, mode="full").record
    assert record[0] == 1
    assert OPERATORS[record[1]] == "ai.onnx DequantizeLinear"
    assert record[2] == 0
    refused = run("train", model, mode="full")
    assert refused.status == 65
    assert not refused.model
    assert run("check", model).record[:4] == [0, -1, -1, HEAD]


@pytest.mark.parametrize(
    ("name", "code"),
    [("indices", 4), ("no head", 5), ("nothing", 3), ("two inputs", 104), ("no model", 101)],
)
def test_what_cannot_be_trained_has_a_code(run: Run, name: str, code: int) -> None:
    """Our own codes, and a hundred more than the runner's for what it refuses itself."""
    mean = helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0)
    models = {
        "indices": (make_cnn("ArgMax"), "auto"),
        "no head": (make_cnn("Exp"), "head"),
        "nothing": (
            make_model(
                [mean, helper.make_node("Concat", ["m"] * CLASSES, ["y"], axis=1)],
                {},
                ("N", 1, 8, 8),
                opset=13,
            ),
            "auto",
        ),
        "two inputs": (make_cnn(), "auto"),
        "no model": (onnx.ModelProto(), "auto"),
    }
    model, mode = models[name]
    if name == "two inputs":
        second = helper.make_tensor_value_info("z", 1, ("N", 1, 8, 8))
        model.graph.input.append(second)
    assert run("check", model, mode=mode).record[0] == code
    assert run("train", model, mode=mode).status == 65


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_a_damaged_model_ends_in_a_record(
    inside: Callable[..., Any], tmp_path: Path, mode: str
) -> None:
    """A few bytes changed, cut or doubled: it can be trained or has a code, nothing else."""
    inputs = make_inputs(tmp_path / "input", Recipe.model_validate({"mode": mode}))
    model = tmp_path / "model.onnx"
    model.write_bytes(make_cnn().SerializeToString())
    mounts = f"--volume={inputs}:/input:ro", f"--volume={model}:/submission/model.onnx:ro"
    codes = {int(code): times for code, times in inside("check_damaged", *mounts).items()}
    assert sum(codes.values()) == 150
    assert codes.keys() <= set(range(7)) | set(range(101, 120))
    assert len(codes) >= 3


def test_a_gpu_that_is_not_there_is_an_error(run: Run) -> None:
    """The CPU never stands in for one."""
    option = "--env=EVALUATOR_DEVICE=cuda"
    assert run("check", make_cnn(), option).record[0] != 0
    trained = run("train", make_cnn(), option)
    assert trained.status != 0
    assert not trained.model


def test_a_loss_beyond_all_bounds_leaves_no_model(run: Run) -> None:
    """A learning rate that destroys the weights ends with a status, not with a broken file."""
    recipe: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e30, "precision": "float32"}
    trained = run("train", make_cnn(), mode="full", warmup=0.0, **recipe)
    assert trained.status != 0
    assert not trained.model


def test_another_verb_is_a_usage_error(image: str) -> None:
    """Exit status 64."""
    done = subprocess.run(
        [*container(image), "predict"], check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 64


def test_the_image_holds_no_tests_and_no_headers(image: str) -> None:
    """Torch's own are half a gigabyte of nothing that a training needs."""
    listing = "import json, pathlib; root = pathlib.Path('/usr/local/lib/python3.11/dist-packages')"
    listing += "; print(json.dumps([str(p.relative_to(root)) for p in root.rglob('*')]))"
    command = container(image, "--entrypoint=/usr/bin/python3.11")
    done = subprocess.run([*command, "-c", listing], check=True, capture_output=True, timeout=120)
    files = json.loads(done.stdout)
    unwanted = ("torch/test/", "torch/include/", "torch/share/", "onnx/backend/test/")
    assert not [name for name in files if name.startswith(unwanted) or name.endswith((".a", ".h"))]

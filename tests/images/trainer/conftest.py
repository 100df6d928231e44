"""The trainer as tests see it: its torch-free modules here, and the whole of it in its image."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evaluator.admission_policy import load_admission_policy
from evaluator.images import build_onnx_trainer
from evaluator.onnx_check import limits_file
from evaluator.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from numpy.typing import NDArray

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FOLDERS = [str(ROOT / "images" / name) for name in ("trainer", "onnx")]
POLICY = load_admission_policy(ROOT / "policies" / "admission.toml")
CLASSES = 3


def load(name: str) -> ModuleType:
    """A module of the image, beside its siblings; those that need torch are not here."""
    sys.path[:0] = FOLDERS
    try:
        return importlib.import_module(name)
    finally:
        del sys.path[: len(FOLDERS)]


def make_inputs(folder: Path, recipe: Recipe, count: int = 150, side: int = 8) -> Path:
    """Tiles of three classes, told apart by where they are bright, and all that `train` reads."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    labels = np.arange(count, dtype=np.uint8) % CLASSES
    tiles = rng.integers(0, 150, (count, side, side))
    for at, label in enumerate(labels):
        tiles[at, label * 2 : label * 2 + 3] += 70
    np.save(folder / "tiles.npy", tiles.astype(np.uint8))
    np.save(folder / "labels.npy", labels)
    manifest = {
        "contract": 1,
        "tiles": count,
        "shape": [side, side],
        "dtype": "uint8",
        "bands": 1,
        "classes": [f"class {index}" for index in range(CLASSES)],
        "output_dtype": "uint8",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "admission.json").write_text(limits_file(POLICY.onnx))
    (folder / "hyperparameters.json").write_bytes(recipe.canonical())
    return folder


def make_cnn(tail: str = "", batch: int | str = "N", seed: int = 3) -> onnx.ModelProto:
    """A small CNN with a linear head: Conv, Relu, MaxPool, Flatten, Gemm, and perhaps a tail."""
    rng = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p1"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w2", "b2"], ["scores"], transB=1),
    ]
    if tail:
        keys: dict[str, Any] = {} if tail == "Exp" else {"axis": 1}
        keys |= {"keepdims": 0} if tail == "ArgMax" else {}
        nodes.append(helper.make_node(tail, ["scores"], ["y"], **keys))
    tensors = {
        "scale": np.array(1 / 128, np.float32),
        "w1": rng.standard_normal((4, 1, 3, 3)) * 0.5,
        "b1": np.zeros(4),
        "w2": rng.standard_normal((CLASSES, 64)) * 0.1,
        "b2": np.zeros(CLASSES),
    }
    return make_model(nodes, tensors, (batch, 1, 8, 8))


def make_model(
    nodes: list[onnx.NodeProto],
    tensors: dict[str, Any],
    shape: tuple[int | str, ...],
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of one float32 input x whose last node's output is its own."""
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info(nodes[-1].output[0])],
        [
            numpy_helper.from_array(
                value if np.asarray(value).dtype == np.int64 else np.asarray(value, np.float32),
                name,
            )
            for name, value in tensors.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


class Trained(NamedTuple):
    """What one container left."""

    status: int
    stderr: bytes
    record: list[int]  # of `check`
    model: bytes  # of `train`, empty where there is none


@pytest.fixture(scope="session")
def image() -> str:
    """The id of the trainer; the first build of a machine fetches 250 MB."""
    return build_onnx_trainer(print)


def container(image: str, *options: str) -> list[str]:
    """A sealed container's command line, up to the verb."""
    command = ["docker", "run", "--rm", "--network=none", "--read-only", "--user=12345"]
    command += ["--cap-drop=ALL", "--tmpfs=/tmp:noexec", "--env=HOME=/tmp", "--env=USER=sandbox"]
    command += ["--env=EVALUATOR_THREADS=2", "--env=OMP_NUM_THREADS=2"]
    return [*command, *options, image]


@pytest.fixture
def run(image: str, tmp_path: Path) -> Callable[..., Trained]:
    """A function that carries out a verb on a model, under a recipe."""

    def run(
        verb: str,
        model: onnx.ModelProto,
        *options: str,
        **recipe: Any,  # noqa: ANN401 - keys of a recipe
    ) -> Trained:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        inputs = make_inputs(folder, Recipe(**recipe))
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        (folder / "left").mkdir()
        (folder / "left").chmod(0o777)
        output = folder / "predictions"
        output.write_bytes(b"")
        output.chmod(0o666)
        mounts = [
            f"--volume={inputs}:/input:ro",
            f"--volume={folder / 'model.onnx'}:/submission/model.onnx:ro",
            f"--volume={folder / 'left'}:/opt/ml/model",
            f"--volume={output}:/output/predictions",
        ]
        done = subprocess.run(
            [*container(image, *mounts, *options), verb],
            check=False,
            capture_output=True,
            timeout=300,
        )
        left = folder / "left/model.onnx"
        record = [int(value) for value in np.fromfile(output, "<i8")]
        return Trained(
            done.returncode, done.stderr, record, left.read_bytes() if left.exists() else b""
        )

    return run


@pytest.fixture(scope="session")
def inside(image: str) -> Callable[..., Any]:
    """A function that runs a script of inside/ in the image; returns the JSON that it prints."""

    def inside(script: str, *options: str) -> Any:  # noqa: ANN401 - JSON
        mounts = [f"--volume={HERE / 'inside'}:/inside:ro", "--entrypoint=/usr/bin/python3.11"]
        done = subprocess.run(
            [*container(image, *mounts, *options), f"/inside/{script}.py"],
            check=False,
            capture_output=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return json.loads(done.stdout)

    return inside


def scores(model: bytes, tiles: NDArray[Any]) -> NDArray[np.float32]:
    """What onnxruntime computes of (N, H, W) tiles, in a process that does not report home."""
    program = "import sys, onnxruntime as o, numpy as n; s = o.InferenceSession(sys.argv[1]); "
    program += "n.save(sys.argv[2], s.run(None, {s.get_inputs()[0].name: n.load(sys.argv[2])})[0])"
    folder = Path(os.environ.get("PYTEST_TMP", "/tmp")) / f"scores-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    np.save(folder / "values.npy", tiles[:, None].astype(np.float32))
    subprocess.run(
        [sys.executable, "-c", program, folder / "model.onnx", folder / "values.npy"],
        check=True,
        env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"},
    )
    return np.load(folder / "values.npy")  # type: ignore[no-any-return]

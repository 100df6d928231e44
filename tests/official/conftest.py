"""Workspaces of synthetic tiles, models made on the spot, and the `evaluator` command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sandbox
from evaluator.images import build_onnx_runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

ROOT = Path(__file__).parents[2]
CLASSES = ("barley", "corn", "wheat")
SIDE = 16
VENDORS = ("a", "acme", "next", "zenith")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    def document(self) -> dict[str, Any]:
        """What --json printed."""
        loaded: dict[str, Any] = json.loads(self.stdout)
        return loaded


def evaluator(*arguments: object, **environment: str) -> Ended:
    """Run the command as its user would; a run is of the baseline, unless a test names phases."""
    if arguments[0] == "run" and not {"--phase", "--adapted"} & {*arguments}:
        arguments = (*arguments, "--phase", "baseline")
    ended = subprocess.run(
        [sys.executable, "-m", "evaluator", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120", **environment},
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="session")
def command() -> Callable[..., Ended]:
    """The `evaluator` command."""
    return evaluator


@pytest.fixture(scope="session")
def runner_image() -> str:
    """Our ONNX runner, built once."""
    return build_onnx_runner(lambda _: None)


@pytest.fixture(scope="session")
def sealed_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 tiles of three classes, 30 held out; the brightness of a tile tells its class."""
    folder = tmp_path_factory.mktemp("workspace")
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(3), (26, 20, 14)).astype(np.uint8)
    tiles = (40 + 60 * labels[:, None, None] + random.integers(0, 20, (60, SIDE, SIDE))).astype(
        np.uint8
    )
    source = folder / "source"
    source.mkdir()
    np.save(source / "tiles.npy", tiles)
    np.save(source / "labels.npy", labels)
    root = folder / "farm"
    assert evaluator("init", root, "--class-sizes").code == 0
    settings = (root / "evaluator.toml").read_text()
    settings = settings.replace("classes = []", f"classes = {list(CLASSES)}")
    settings = settings.replace("tile = [64, 64]", f"tile = [{SIDE}, {SIDE}]")
    settings = settings.replace("rare = 4", "rare = 1")
    (root / "evaluator.toml").write_text(settings)
    admission = root / "policies" / "admission.toml"
    admission.write_text(admission.read_text().replace("kept = 8", "kept = 0"))
    policy = root / "policies" / "sandbox.toml"
    limits = policy.read_text().replace("536_870_912", "67_108_864")
    limits = limits.replace("1_073_741_824", "67_108_864")
    policy.write_text(limits.replace("268_435_456", "67_108_864"))
    for vendor in VENDORS:
        assert evaluator("vendors", "add", vendor, "--workspace", root).code == 0
    evaluator("calibrate", "--workspace", root)
    imported = evaluator("data", "import", source, "--holdout", 30, "--workspace", root)
    assert imported.code == 0, imported.stderr
    evaluator("doctor", "--workspace", root)  # remembered, so that only a changed policy costs time
    return root


@pytest.fixture
def workspace(sealed_workspace: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    copy = tmp_path / "farm"
    shutil.copytree(sealed_workspace, copy)
    return copy


@pytest.fixture
def set_limit(workspace: Path) -> Callable[..., None]:
    """A function that changes numbers in evaluator.toml or policies/sandbox.toml."""

    def change(**values: object) -> None:
        for path in (workspace / "evaluator.toml", workspace / "policies" / "sandbox.toml"):
            lines = path.read_text().splitlines()
            for name, value in values.items():
                lines = [
                    f"{name} = {json.dumps(value)}" if line.startswith(f"{name} =") else line
                    for line in lines
                ]
            path.write_text("\n".join(lines) + "\n")

    return change


_SEEN: dict[str, bytes] = {}


@pytest.fixture
def one_wall(workspace: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let what the first case of a test saw of the wall count for the others: one policy's."""
    remembered, name = workspace / "wall.json", request.function.__qualname__
    remembered.write_bytes(_SEEN.get(name, remembered.read_bytes()))
    yield
    _SEEN[name] = remembered.read_bytes()


def brightness_model(
    *,
    shape: tuple[Any, ...] = ("N", SIDE, SIDE),
    outputs: int = 1,
    operator: str = "Neg",
    scale: float = 1.0,
) -> onnx.ModelProto:
    """Minus the distance of a tile's mean to 50, 110 and 170; right on every tile."""
    weights: dict[str, Any] = {
        "axes": np.arange(1, len(shape), dtype=np.int64),
        "last": np.array([1], np.int64),
        "centroids": np.array([50, 110, 170], np.float32),
        "scale": np.array(scale, np.float32),
    }
    names = [f"logits{number}" for number in range(outputs)]
    nodes = [
        helper.make_node("Cast", ["tiles"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Sub", ["column", "centroids"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["distance"]),
        helper.make_node("Mul", ["distance", "scale"], ["scaled"]),
        *(helper.make_node(operator, ["scaled"], [name]) for name in names),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in names],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def save_model(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a variant of the brightness model, or given bytes."""

    def save(content: bytes | None = None, **variant: Any) -> Path:  # noqa: ANN401 - as above
        path = tmp_path / "model.onnx"
        path.write_bytes(
            brightness_model(**variant).SerializeToString() if content is None else content
        )
        return path

    return save


@pytest.fixture
def traces(workspace: Path) -> Callable[[], list[str]]:
    """A function that lists whatever a run left where nothing may be left."""

    def left() -> list[str]:
        client = sandbox.connect()
        label = {"label": "evaluator.run"}
        files = [
            *(workspace / "tmp").rglob("*"),
            *(workspace / "queue").glob("[0-9]*"),
            *workspace.rglob(".*.part"),
        ]
        return [
            *(container["Id"] for container in client.containers(all=True, filters=label)),
            *(image["Id"] for image in client.images(filters=label)),
            *(volume["Name"] for volume in client.volumes(filters=label)["Volumes"] or ()),
            *map(str, files),
        ]

    return left


@contextmanager
def _newer_engine(*options: str) -> Iterator[str]:
    command = [str(ROOT / ".ci" / "engine"), *options]
    command += ["sh", "-c", 'echo "$DOCKER_HOST"; exec cat >/dev/null']
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        found = process.stdout.readline().strip()
        assert found, "the engine did not start; .ci/engine says why"
        yield found
        process.stdin.close()


@pytest.fixture(scope="session")
def newer_engine() -> Callable[..., AbstractContextManager[str]]:
    """A function from options of .ci/engine to the socket of an engine that ends with the block."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        pytest.skip("An engine of one's own needs root and mmdebstrap (apt-get install it).")
    return _newer_engine


@pytest.fixture(scope="session")
def driver_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libnvidia-ml.so.1 of our own, which knows nvidia.com/gpu=0 and 1."""
    if shutil.which("gcc") is None:
        pytest.skip("The stand-in for the driver's library needs gcc (apt-get install gcc).")
    folder = tmp_path_factory.mktemp("nvml")
    target, source = folder / "libnvidia-ml.so.1", ROOT / "tests" / "images" / "libnvidia-ml.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", target, source], check=True)
    return folder


@pytest.fixture
def driver(driver_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A driver for the commands that follow; the file has a GPU's per cent, bytes, millijoules."""
    figures = tmp_path / "figures"
    figures.write_text("50 0 0")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver_library))
    monkeypatch.setenv("STAND_IN_NVML", str(figures))
    return figures

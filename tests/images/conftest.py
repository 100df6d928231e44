"""The ONNX runner as tests see it: in a child process, on models made on the spot."""

from __future__ import annotations

import importlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evaluator.admission_policy import load_admission_policy
from evaluator.onnx_check import limits_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
ANSWER_WITHIN = 60  # seconds; anything later is a hang
CLASSES = 9
# The [onnx] section as the product ships it, and as the runner reads it.
LIMITS = json.loads(limits_file(load_admission_policy(ROOT / "policies" / "admission.toml").onnx))


class Runner:
    """images/onnx/runner.py behind a pipe, with files in place of the container's mounts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "predictions"
        (folder / "input").mkdir()
        self._child = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "serve_runner.py"), ROOT / "images/onnx"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"ORT_DISABLE_TELEMETRY": "1", "EVALUATOR_THREADS": "1"},
        )

    def check(
        self,
        model: onnx.ModelProto | bytes,
        tiles: NDArray[Any] | None = None,
        device: str = "cpu",
        **limits: Any,  # noqa: ANN401 - values of LIMITS
    ) -> list[int]:
        """Return the 24 numbers; `tiles` only lends its shape and type."""
        self._write(model, np.zeros((1, 8, 8), np.uint8) if tiles is None else tiles, limits)
        (self.folder / "input/tiles.npy").unlink()
        assert self._call("check", device) == 0
        return [int(number) for number in np.fromfile(self.output, "<i8")]

    def check_predict(
        self, model: onnx.ModelProto, tiles: NDArray[Any]
    ) -> tuple[list[int], int, list[int]]:
        """Return the 24 numbers, which are there before any tile; then what `predict` returns."""
        self._write(model, tiles, {})
        given = self.folder / "input/tiles.npy"
        given.rename(self.folder / "later.npy")
        self._say("check_predict", *self._places(), "cpu")
        deadline = time.monotonic() + ANSWER_WITHIN
        while self.output.stat().st_size < 192 and time.monotonic() < deadline:
            time.sleep(0.01)
        record = [int(number) for number in np.fromfile(self.output, "<i8")]
        (self.folder / "later.npy").rename(given)
        status = int(self._answer())
        return record, status, np.fromfile(self.output, np.uint8).tolist()

    def predict(
        self, model: onnx.ModelProto, tiles: NDArray[Any], device: str = "cpu"
    ) -> tuple[int, list[int]]:
        """Return the exit status and what was written."""
        self._write(model, tiles, {})
        status = self._call("predict", device)
        return status, np.fromfile(self.output, np.uint8).tolist()

    def plain(self, model: onnx.ModelProto, values: NDArray[Any]) -> NDArray[Any]:
        """Return onnxruntime's own output for a prepared input."""
        onnx.save(model, self.folder / "model.onnx")
        np.save(self.folder / "values.npy", values)
        result = self.folder / "result.npy"
        self._ask("plain", self.folder / "model.onnx", self.folder / "values.npy", result)
        return np.load(result)  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the child."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(timeout=10)

    def numbers(
        self, model: onnx.ModelProto, tiles: NDArray[Any], device: str = "cpu"
    ) -> tuple[int, list[float]]:
        """As `predict`, where the manifest asks for a number for each tile."""
        self._write(model, tiles, {}, task="regression")
        status = self._call("predict", device)
        return status, np.fromfile(self.output, "<f4").tolist()

    def check_numbers(self, model: onnx.ModelProto) -> list[int]:
        """As `check`, where the manifest asks for a number for each tile."""
        self._write(model, np.zeros((1, 8, 8), np.uint8), {}, task="regression")
        assert self._call("check", "cpu") == 0
        return [int(number) for number in np.fromfile(self.output, "<i8")]

    def _write(
        self,
        model: onnx.ModelProto | bytes,
        tiles: NDArray[Any],
        limits: dict[str, Any],
        task: str = "classification",
    ) -> None:
        raw = model if isinstance(model, bytes) else model.SerializeToString()
        (self.folder / "model.onnx").write_bytes(raw)
        manifest = {
            "contract": 1,
            "tiles": len(tiles),
            "shape": list(tiles.shape[1:]),
            "dtype": str(tiles.dtype),
            "bands": tiles.shape[3] if tiles.ndim == 4 else 1,
            "classes": [f"class {index}" for index in range(CLASSES)],
            "task": task,
            "output_dtype": "uint8" if task == "classification" else "float32",
        }
        (self.folder / "input/manifest.json").write_text(json.dumps(manifest))
        (self.folder / "input/admission.json").write_text(json.dumps(LIMITS | limits))
        np.save(self.folder / "input/tiles.npy", tiles)
        self.output.write_bytes(b"")

    def _call(self, verb: str, device: str) -> int:
        return int(self._ask(verb, *self._places(), device))

    def _places(self) -> tuple[Path, Path, Path]:
        return self.folder / "model.onnx", self.folder / "input", self.output

    def _ask(self, *request: str | Path) -> Any:  # noqa: ANN401 - JSON
        self._say(*request)
        return self._answer()

    def _say(self, *request: str | Path) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps([str(part) for part in request]).encode() + b"\n")
        self._child.stdin.flush()

    def _answer(self) -> Any:  # noqa: ANN401 - JSON
        assert self._child.stdout is not None
        ready, _, _ = select.select([self._child.stdout], [], [], ANSWER_WITHIN)
        if not ready:
            self._child.kill()
            pytest.fail(f"the runner gave no answer within {ANSWER_WITHIN} s")
        answer = self._child.stdout.readline()
        assert answer, f"the runner's process died: {self._child.wait()}"
        return json.loads(answer)


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """One child process for the whole session: starting one costs more than all its work."""
    child = Runner(tmp_path_factory.mktemp("runner"))
    yield child
    child.close()


@pytest.fixture(scope="session")
def classifier() -> Callable[..., onnx.ModelProto]:
    """A function that makes a linear classifier of tiles with the given declared input."""
    return make_classifier


def make_classifier(
    shape: tuple[int | str, ...] = ("N", 1, 8, 8),
    dtype: int = TensorProto.FLOAT,
    *,
    classes: int = CLASSES,
    tail: tuple[str, dict[str, Any]] | None = None,
    opset: int = 17,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Flatten, multiply by fixed random weights, then the optional operator `tail`."""
    size = int(np.prod([side for side in shape[1:] if isinstance(side, int)]))
    weights = np.random.default_rng(7).standard_normal((size, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["x_float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["x_float"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    if tail:
        nodes.append(helper.make_node(tail[0], ["scores"], ["y"], **tail[1]))
    name = nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_empty_tensor_value_info(name)],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    return model


class Verdict(NamedTuple):
    """What the walk said of a model: the name of its code, what it counted, and where."""

    code: str
    found: int
    at: int
    message: str


@pytest.fixture(scope="session")
def walk(model_file: ModuleType) -> Callable[..., Verdict]:
    """The walk of images/onnx/model_file.py over bytes; keywords replace single limits."""

    def walk(raw: bytes, **limits: Any) -> Verdict:  # noqa: ANN401 - values of LIMITS
        try:
            model_file.walk(raw, model_file.Limits(**(LIMITS | limits)))
        except model_file.UnsuitableError as error:
            return Verdict(error.code.name, error.found, error.at, str(error))
        return Verdict("OK", 0, 0, "")

    return walk


@pytest.fixture(scope="session")
def model_file() -> ModuleType:
    """images/onnx/model_file.py, which needs the standard library only."""
    return load("model_file")


@pytest.fixture(scope="session")
def preprocessing() -> ModuleType:
    """images/onnx/preprocessing.py, which needs numpy only."""
    return load("preprocessing")


def load(name: str) -> ModuleType:
    """A module of images/onnx, beside its siblings as in the image."""
    folder = str(ROOT / "images/onnx")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)

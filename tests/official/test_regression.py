"""`evaluator` where a yield is predicted for each tile: import, run, verify, in both phases."""

from __future__ import annotations

import json
import shutil
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from evaluator.images import build_example, build_onnx_trainer
from evaluator.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.official.conftest import Ended

    Run = Callable[..., Ended]

pytestmark = pytest.mark.docker

CROPS = ("maize", "rice", "wheat")
LEFT = 0.005 + 1e-9  # half a step of the grid of errors


def yield_of(tiles: np.ndarray) -> np.ndarray:
    """Tonnes of a hectare that follow from a tile's mean brightness, within 0 to 12."""
    return np.asarray(12 - tiles.mean((1, 2)) / 25, np.float32)


def brightness(slope: float, base: float) -> onnx.ModelProto:
    """Base + slope x mean brightness, as one number (N, 1)."""
    weights: dict[str, Any] = {
        "axes": np.array([1, 2], np.int64),
        "last": np.array([1], np.int64),
        "matrix": np.array([[slope]], np.float32),
        "bias": np.array([base], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["tiles"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Gemm", ["column", "matrix", "bias"], ["yield"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", 16, 16])],
        [helper.make_tensor_value_info("yield", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture(scope="session")
def yields(sealed_workspace: Path, tmp_path_factory: pytest.TempPathFactory, command: Run) -> Path:
    """A workspace of its own with yields in the place of classes: 60 tiles of three crops.

    What was found of this host is the other workspace's.
    """
    folder = tmp_path_factory.mktemp("yields")
    root, source = folder / "farm", folder / "source"
    assert command("init", root, "--class-sizes").code == 0
    for name in ("policies/admission.toml", "policies/sandbox.toml", "wall.json"):
        shutil.copy(sealed_workspace / name, root / name)
    shutil.copy(sealed_workspace / "calibration.json", root / "calibration.json")
    settings = (root / "evaluator.toml").read_text()
    changes = {
        'task = "classification"': 'task = "regression"',
        'unit = ""': 'unit = "t/ha"',
        "range = []": "range = [0, 12]",
        "classes = []": f"classes = {list(CROPS)}",
        "tile = [64, 64]": "tile = [16, 16]",
        "rare = 4": "rare = 1",
    }
    for old, new in changes.items():
        assert old in settings
        settings = settings.replace(old, new)
    (root / "evaluator.toml").write_text(settings)
    assert command("vendors", "add", "acme", "--workspace", root).code == 0
    source.mkdir()
    random = np.random.default_rng(2)
    levels = random.integers(20, 230, 60)
    tiles = (levels[:, None, None] + random.integers(0, 20, (60, 16, 16))).astype(np.uint8)
    np.save(source / "tiles.npy", tiles)
    np.save(source / "labels.npy", np.repeat(np.arange(3), (26, 20, 14)).astype(np.uint8))
    np.save(source / "targets.npy", yield_of(tiles))
    imported = command("data", "import", source, "--holdout", 30, "--workspace", root)
    assert imported.code == 0, imported.stderr
    return root


@pytest.fixture
def run(yields: Path, command: Run) -> Callable[..., dict[str, Any]]:
    """A function from a submission to its predicate, which verifies, and the owner's figures."""

    def run(submission: object, *more: object) -> dict[str, Any]:
        options = ("--vendor", "acme", "--workspace", yields, "--json", *more)
        ended = command("run", submission, *options)
        assert ended.code in {0, 1}, ended.stderr
        document = ended.document()
        key = (yields / "keys" / "signing.pub").read_bytes()
        with open(document["result"], "rb") as file:  # noqa: PTH123 - a path as text
            verify(file.read(), key)
        predicate: dict[str, Any] = document["statement"]["predicate"]
        path = yields / "private" / f"{predicate['run']}.json"
        return predicate | {"private": json.loads(path.read_text())}

    return run


def test_an_onnx_file_learns_yields(
    run: Callable[..., dict[str, Any]],
    yields: Path,
    save_model: Callable[..., Path],
    command: Run,
    traces: Callable[[], list[str]],
) -> None:
    """As submitted it has the slope of another farm; fine-tuned it is right to the hundredth.

    scikit-learn computes the same from the holdout that only the owner has.
    """
    build_onnx_trainer(lambda _: None)
    model = save_model(brightness(-0.02, 10.0).SerializeToString())

    predicate = run(model, "--phase", "both", "--recipe", recipe(yields))
    phases, exact = predicate["phases"], predicate["private"]["baseline"]["counts"]
    shown = command("data", "show", "--workspace", yields)

    holdout = next((yields / "data").glob("[0-9]*")) / "holdout"
    wanted = np.load(holdout / "labels/targets.npy").astype(np.float64)
    crops = np.load(holdout / "labels/labels.npy")
    means = np.load(holdout / "tiles/tiles.npy").mean((1, 2), dtype=np.float64)
    guess = (10 - np.float32(0.02) * means.astype(np.float32)).astype(np.float64)
    rmse = sqrt(mean_squared_error(wanted, guess))
    assert predicate["dataset"]["task"] == "regression"
    assert exact["rmse"] == pytest.approx(rmse, rel=1e-5)
    assert exact["r2"] == pytest.approx(r2_score(wanted, guess), rel=1e-5)
    assert abs(phases["baseline"]["rmse"] - rmse) <= LEFT
    assert abs(phases["baseline"]["mae"] - mean_absolute_error(wanted, guess)) <= LEFT
    assert abs(phases["baseline"]["bias"] - (guess - wanted).mean()) <= LEFT
    for index, name in enumerate(CROPS):
        mine = crops == index
        each = sqrt(mean_squared_error(wanted[mine], guess[mine]))
        assert abs(phases["baseline"]["crop_rmse"][name] - each) <= 0.05 + 1e-6
    assert phases["tuned"]["rmse"] <= 0.05
    assert phases["tuned"]["r2"] >= 0.99
    assert phases["gain"]["rmse"] < -1
    assert "targets in t/ha, 0 to 12" in shown.stdout
    assert traces() == []


def recipe(folder: Path) -> Path:
    """The head alone: the rest of the model has nothing to learn."""
    path = folder / "recipe.json"
    path.write_text(json.dumps({"mode": "head"}))
    return path


def test_a_container_learns_yields(run: Callable[..., dict[str, Any]], yields: Path) -> None:
    """The Perl example: a line through the brightness and the number of each training tile."""
    predicate = run(build_example("perl", lambda _: None), "--phase", "both")
    phases = predicate["phases"]

    assert phases["baseline"]["status"] == phases["tuned"]["status"] == "OK"
    assert phases["tuned"]["rmse"] <= 0.05
    assert phases["baseline"]["rmse"] > 1
    assert yields.exists()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("head -c 120 /dev/zero", "OK"),
        ("head -c 116 /dev/zero; printf '\\0\\0\\300\\177'", "OUTPUT_INVALID"),  # a NaN
    ],
)
def test_only_finite_numbers_for_every_tile_are_scored(
    run: Callable[..., dict[str, Any]], make_image: Callable[[str], str], answer: str, status: str
) -> None:
    """Thirty float32, and no NaN among them; zeros are the control."""
    predicate = run(make_image(f"({answer}) > /output/predictions"), "--phase", "baseline")

    assert predicate["phases"]["baseline"]["status"] == status


@pytest.mark.parametrize("kind", ["onnx", "perl"])
def test_validate_foresees_what_a_run_of_yields_answers(
    yields: Path, command: Run, tmp_path: Path, kind: str
) -> None:
    """The same submissions as above, on numbers that were made up."""
    challenge, model = tmp_path / "challenge.json", tmp_path / "model.onnx"
    assert command("challenge", "--workspace", yields, "--output", challenge).code == 0
    onnx.save(brightness(-0.04, 12.0), model)
    submission = model if kind == "onnx" else build_example("perl", lambda _: None)
    ended = command("validate", submission, "--challenge", challenge, "--format", "json")

    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout)["answers"] == {"baseline": "OK", "tuned": "OK"}

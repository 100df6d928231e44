"""`evaluator run` in both phases: what trains, what fails, what it costs, what it cannot reach."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evaluator.images import build_example, build_onnx_trainer
from evaluator.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.official.conftest import Ended

    Run = Callable[..., Ended]

pytestmark = pytest.mark.docker

# An image that predicts the first class as submitted, and what `train` told it afterwards.
PREDICT = (
    'if [ "$1" = predict ]; then '
    "if [ -e /opt/ml/model/answer ]; then cat /opt/ml/model/answer; else head -c 30 /dev/zero; fi "
    "> /output/predictions; exit; fi\n"
)


def linear_model(operator: str = "Identity") -> onnx.ModelProto:
    """Scores that are linear in a tile's mean brightness, and wrong; then one more operator."""
    weights: dict[str, Any] = {
        "axes": np.array([1, 2], np.int64),
        "last": np.array([1], np.int64),
        "factor": np.array(1 / 255, np.float32),
        "matrix": np.array([[0.0, 0.1, 0.2]], np.float32),
        "bias": np.array([1.0, 0.0, 0.0], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["tiles"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Mul", ["column", "factor"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "matrix", "bias"], ["scores"]),
        helper.make_node(operator, ["scores"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture(scope="session")
def perl() -> str:
    """The Perl example, which learns the brightness of each class."""
    return build_example("perl", lambda _: None)


@pytest.fixture(scope="session")
def trainer_image() -> str:
    """Our trainer of ONNX models, built once."""
    return build_onnx_trainer(lambda _: None)


@pytest.fixture
def both(command: Run, workspace: Path) -> Callable[..., tuple[Ended, dict[str, Any]]]:
    """Run a submission in both phases; how it ended, and its predicate, which verifies."""

    def run(submission: object, *more: object) -> tuple[Ended, dict[str, Any]]:
        options = ("--vendor", "acme", "--phase", "both", "--workspace", workspace, "--json")
        ended = command("run", submission, *options, *more)
        assert ended.code in {0, 1}, ended.stderr
        document = ended.document()
        key = (workspace / "keys" / "signing.pub").read_bytes()
        with open(document["result"], "rb") as file:  # noqa: PTH123 - a path as text
            verify(file.read(), key)
        return ended, document["statement"]["predicate"]

    return run


def exact(workspace: Path, predicate: dict[str, Any]) -> dict[str, Any]:
    """The owner's own record of a run."""
    path = workspace / "private" / f"{predicate['run']}.json"
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_a_container_trains_and_predicts_better(
    both: Callable[..., tuple[Ended, dict[str, Any]]], perl: str, traces: Callable[[], list[str]]
) -> None:
    """As submitted it knows other tiles; trained here it is right on all of these."""
    ended, predicate = both(perl)
    phases = predicate["phases"]

    assert ended.code == 0, ended.stderr
    assert phases["tuned"]["accuracy"] == 1.0
    assert phases["baseline"]["accuracy"] < 1.0
    assert phases["gain"]["accuracy"] == round(1.0 - phases["baseline"]["accuracy"], 3)
    assert predicate["training"] == {"tiles": 30, "recipe": None}
    assert traces() == []


def test_an_onnx_file_trains_and_predicts(
    both: Callable[..., tuple[Ended, dict[str, Any]]],
    save_model: Callable[..., Path],
    trainer_image: str,
    traces: Callable[[], list[str]],
) -> None:
    """Our trainer writes its weights back, and our runner predicts with the result."""
    ended, predicate = both(save_model(linear_model().SerializeToString()))
    phases = predicate["phases"]

    assert ended.code == 0, ended.stderr
    assert phases["baseline"]["accuracy"] < 0.6
    assert phases["tuned"]["accuracy"] > 0.9
    assert predicate["sandbox"]["trainer"] == trainer_image
    assert traces() == []


@pytest.mark.usefixtures("one_wall")
@pytest.mark.parametrize(
    ("train", "status"),
    [
        ("exit 3", "NONZERO_EXIT"),
        ("sleep 3600", "TIMEOUT"),
        ("exec dd if=/dev/zero of=/dev/null bs=9G count=1", "OUT_OF_MEMORY"),
        ("cat /dev/zero > /opt/ml/model/weights", "NONZERO_EXIT"),
    ],
)
def test_a_failed_training_still_yields_the_baseline(
    both: Callable[..., tuple[Ended, dict[str, Any]]],
    make_image: Callable[..., str],
    set_limit: Callable[..., None],
    traces: Callable[[], list[str]],
    train: str,
    status: str,
) -> None:
    """Signed, with its figures; the second phase has the status of what went wrong in it."""
    set_limit(train_seconds=4, memory_bytes=2**29)
    ended, predicate = both(make_image(PREDICT + train))
    phases = predicate["phases"]

    assert ended.code == 1
    assert phases["baseline"]["status"] == "OK"
    assert phases["tuned"] == {"status": status, "charge": phases["tuned"]["charge"]}
    assert phases["gain"] is None
    assert traces() == []


def test_training_sees_no_holdout_tile_and_no_holdout_label(
    both: Callable[..., tuple[Ended, dict[str, Any]]],
    make_image: Callable[..., str],
    workspace: Path,
) -> None:
    """A training that answers with the labels it was given is right by chance alone.

    The control: training tiles and labels are there, 30 of them after the header.
    """
    ended, predicate = both(
        make_image(
            PREDICT + "[ $(ls /input | wc -l) = 3 ] || exit 9\n"
            "[ ! -e /output/predictions ] || exit 8\n"
            "head -c 158 /input/labels.npy > /tmp/l\n"
            "dd if=/tmp/l of=/opt/ml/model/answer bs=1 skip=128\n"
        )
    )
    tuned = predicate["phases"]["tuned"]

    assert ended.code == 1 or tuned["accuracy"] < 0.9
    assert tuned["status"] == "OK"
    found = exact(workspace, predicate)["tuned"]["counts"]["confusion"]
    assert sum(map(sum, found)) == 30


def test_each_phase_has_its_own_charge_in_whole_steps(
    both: Callable[..., tuple[Ended, dict[str, Any]]],
    make_image: Callable[..., str],
    workspace: Path,
    command: Run,
    set_limit: Callable[..., None],
) -> None:
    """What devices were busy, rounded up; the ledger has the same figures."""
    set_limit(petaflops=0.01, charge_steps=1000)
    _, predicate = both(make_image(PREDICT + "head -c 30 /dev/zero > /opt/ml/model/answer"))
    phases, step = predicate["phases"], predicate["compute"]["step"]
    listed = command("runs", "--workspace", workspace, "--json").stdout

    assert step == 0.00001
    for phase in (phases["baseline"], phases["tuned"]):
        assert 0 < phase["charge"] < 0.01
        assert round(phase["charge"] * 1e6) % round(step * 1e6) == 0
    assert f"{phases['tuned']['charge']:.6f}".rstrip("0") in listed


def test_a_training_beyond_its_budget_is_stopped_and_charged_no_more(
    both: Callable[..., tuple[Ended, dict[str, Any]]],
    make_image: Callable[..., str],
    workspace: Path,
    command: Run,
    set_limit: Callable[..., None],
) -> None:
    """Within a second of the budget; then the vendor has nothing left, and is told so."""
    set_limit(petaflops=0.0005, charge_steps=100)  # seconds of a CPU
    ended, predicate = both(make_image(PREDICT + "while :; do :; done"))
    tuned, compute = predicate["phases"]["tuned"], predicate["compute"]
    (used,) = [each["usage"] for each in exact(workspace, predicate)["tuned"]["containers"]]
    left = compute["budget"] - predicate["phases"]["baseline"]["charge"]
    allowed = left * 1e15 / compute["cpu_peak"]

    assert ended.code == 1
    assert tuned["status"] == "BUDGET_SPENT"
    assert predicate["phases"]["baseline"]["charge"] + tuned["charge"] <= compute["budget"]
    assert allowed - 1.0 <= used["cpu_seconds"] <= allowed + 1.0
    again = command("run", make_image(PREDICT), "--vendor", "acme", "--workspace", workspace)
    assert again.code == 2
    assert "of 0.0005 PF" in again.stderr


def test_a_recipe_beyond_the_owners_bounds_is_refused_before_it_takes_a_slot(
    command: Run, workspace: Path, save_model: Callable[..., Path], tmp_path: Path
) -> None:
    """With our words: which key, and which bound; exit 1, and nothing is kept."""
    recipe = tmp_path / "hyperparameters.json"
    recipe.write_text(json.dumps({"epochs": 10**6}))
    ended = command(
        "run", save_model(), "--vendor", "acme", "--phase", "both", "--recipe", recipe,
        "--workspace", workspace,
    )  # fmt: skip

    assert ended.code == 1
    assert "EVA401" in ended.stderr
    assert "epochs must be at most" in ended.stderr
    listed = command("runs", "--workspace", workspace, "--json").document()
    assert listed["rows"] == []


def test_an_onnx_file_that_cannot_be_trained_is_refused_with_its_operator(
    both: Callable[..., tuple[Ended, dict[str, Any]]],
    save_model: Callable[..., Path],
    command: Run,
    workspace: Path,
) -> None:
    """Before anything is charged; asked for the baseline alone, the same file is evaluated."""
    model = save_model(linear_model("RandomNormalLike").SerializeToString())
    ended, predicate = both(model)
    alone = command("run", model, "--vendor", "acme", "--workspace", workspace)

    assert ended.code == 1
    assert predicate["phases"]["baseline"] == {"status": "REFUSED", "rules": ["EVA330"]}
    assert "ai.onnx RandomNormalLike" in ended.document()["message"]
    assert alone.code == 0, alone.stderr


def test_an_adapted_model_is_kept_for_the_owner_and_runs_again(
    both: Callable[..., tuple[Ended, dict[str, Any]]],
    perl: str,
    workspace: Path,
    command: Run,
    traces: Callable[[], list[str]],
) -> None:
    """As one opaque archive; the second result names the run that trained, and has one phase."""
    settings = workspace / "evaluator.toml"
    settings.write_text(
        settings.read_text().replace("keep_adapted_model = false", "keep_adapted_model = true")
    )
    _, first = both(perl)
    kept = workspace / "adapted" / first["run"]
    ended = command("run", "--adapted", first["run"], "--workspace", workspace, "--json")

    assert ended.code == 0, ended.stderr
    second = ended.document()["statement"]["predicate"]
    assert second["phases"]["adapted"] == first["run"]
    assert second["phases"]["baseline"] is None
    assert second["phases"]["tuned"]["accuracy"] == first["phases"]["tuned"]["accuracy"] == 1.0
    assert sorted(path.name for path in kept.iterdir()) == ["about.json", "model.tar", "submission"]
    assert exact(workspace, first)["adapted_model"]["bytes"] == (kept / "model.tar").stat().st_size
    assert traces() == []


def test_without_that_wish_nothing_of_the_model_is_left(
    both: Callable[..., tuple[Ended, dict[str, Any]]], perl: str, workspace: Path, command: Run
) -> None:
    """The control: no archive, and nothing to run again."""
    _, first = both(perl)
    ended = command("run", "--adapted", first["run"], "--workspace", workspace)

    assert not (workspace / "adapted").exists()
    assert ended.code == 2
    assert "no adapted model" in ended.stderr


def test_submissions_wait_for_work_and_are_run_in_turn(
    command: Run, make_image: Callable[..., str], workspace: Path, traces: Callable[[], list[str]]
) -> None:
    """Two of one vendor and one of another: the other's second in line, not last."""
    image = make_image(PREDICT + "exit 3")
    for vendor in ("acme", "acme", "zenith"):
        options = ("--vendor", vendor, "--phase", "baseline", "--workspace", workspace)
        assert command("submit", image, *options).code == 0
    worked = command("work", "--workspace", workspace)

    assert worked.code == 0, worked.stderr
    assert re.findall(r"(\w+)  run [0-9a-f]{16}", worked.stdout) == ["acme", "zenith", "acme"]
    assert traces() == []

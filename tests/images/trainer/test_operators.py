"""Every operator of the executor computes what onnxruntime computes, and what ONNX says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx.backend.test
import pytest

from tests.images.trainer.conftest import HERE

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.docker
SITE = "/usr/local/lib/python3.11/dist-packages/onnx/backend/test"  # left out of the image
OPERATORS = (HERE.parents[2] / "images/trainer/operators.txt").read_text().splitlines()
UNTESTED = {"ai.onnx Swish"}  # onnxruntime does not have it yet
# onnxruntime computes these as the executor does, and not as the onnx package's cases say.
AS_ONNXRUNTIME = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad",
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_linear_align_corners",
}
REFUSED = {  # words of the refusal -> what it stands for
    "not implemented for 'UInt": "arithmetic of wide unsigned integers",
    "in training mode": "a model that was exported for training",
    "with batch_dims": "GatherND of batches",
    "with indices": "MaxPool that says where",
    "with antialias": "Resize that smooths",
    "coordinate transformation": "Resize of a crop",
    "with a reduction": "Scatter that multiplies",
    "in another order": "SpaceToDepth, mode CRD",
    "non-zero size": "a maximum of nothing",
}


def cases() -> dict[str, Any]:
    """The names of inside/operator_cases.py."""
    spec = importlib.util.spec_from_file_location(
        "operator_cases", HERE / "inside/operator_cases.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.CASES
    return found


CASES = cases()


@pytest.fixture(scope="module")
def outcomes(inside: Callable[..., Any]) -> dict[str, Any]:
    """One container for all cases."""
    found: dict[str, Any] = inside("check_operators")
    return found


@pytest.fixture(scope="module")
def package(inside: Callable[..., Any]) -> dict[str, str]:
    """One container for the onnx package's own cases."""
    tests = Path(onnx.backend.test.__file__).parent
    found: dict[str, str] = inside("check_backend", f"--volume={tests}:{SITE}:ro")
    return found


@pytest.mark.parametrize("name", CASES)
def test_an_operator_equals_onnxruntime(outcomes: dict[str, Any], name: str) -> None:
    """Shape, type and numbers to 2e-6, and a gradient for each of its weights."""
    assert not outcomes["cases"][name]


def test_every_operator_has_a_case(outcomes: dict[str, Any]) -> None:
    """Nothing is computed that is not compared."""
    named = {node.op_type for model, _ in CASES.values() for node in model.graph.node}
    untested = {line for line in outcomes["known"] if line.split()[1] not in named}
    assert untested == UNTESTED


def test_every_operator_has_a_line_in_the_list(outcomes: dict[str, Any]) -> None:
    """So that the host can name it."""
    assert set(outcomes["known"]) <= set(OPERATORS)


def test_the_list_of_operators_names_each_once() -> None:
    """A number stands for one line."""
    assert len(set(OPERATORS)) == len(OPERATORS)
    assert {"ai.onnx Conv", "ai.onnx.ml LinearClassifier", "com.microsoft Attention"} <= set(
        OPERATORS
    )


def test_the_onnx_packages_own_cases_agree(package: dict[str, str]) -> None:
    """More than 800 run and agree; those that do not are refused, for the reasons listed."""
    wrong = {name for name, said in package.items() if said and not said.startswith("refused:")}
    refused = [said for said in package.values() if said.startswith("refused:")]
    assert wrong == AS_ONNXRUNTIME
    assert [said for said in refused if not any(words in said for words in REFUSED)] == []
    assert len(refused) <= 75
    assert sum(not said for said in package.values()) >= 800

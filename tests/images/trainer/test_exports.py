"""Networks as torch's exporters write them: loaded, matched, trained, saved, matched again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from evaluator.recipe import Recipe
from tests.images.trainer.conftest import HERE, make_inputs

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.docker
EXPORTS = sorted(path.name for path in (HERE / "exports").glob("*.onnx"))


@pytest.fixture(scope="module")
def outcomes(
    inside: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """One container for all of them."""
    inputs = make_inputs(tmp_path_factory.mktemp("exports") / "input", Recipe(learning_rate=1e-3))
    mounts = (f"--volume={HERE / 'exports'}:/exports:ro", f"--volume={inputs}:/input:ro")
    found: dict[str, Any] = inside("check_exports", *mounts)
    return found


def test_both_exporters_are_there() -> None:
    """Each network twice."""
    names = {name.split(".")[0] for name in EXPORTS}
    assert len(names) >= 8
    assert len(EXPORTS) == 2 * len(names)


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_equals_onnxruntime(outcomes: dict[str, Any], name: str) -> None:
    """To 1e-6 of the largest score, before training and after."""
    assert outcomes[name]["difference"] <= 1e-6
    assert outcomes[name]["after"] <= 1e-5


@pytest.mark.parametrize("name", EXPORTS)
def test_every_weight_is_trained(outcomes: dict[str, Any], name: str) -> None:
    """Each gets a gradient, each moves, and the loss falls."""
    outcome = outcomes[name]
    assert outcome["idle"] == []
    assert outcome["moved"] == outcome["weights"] > 0
    assert outcome["losses"][-1] < outcome["losses"][0]


@pytest.mark.parametrize("name", EXPORTS)
def test_the_head_is_found(outcomes: dict[str, Any], name: str) -> None:
    """All of them end in a linear layer of nine classes."""
    assert outcomes[name]["head"][1] == 9

"""What `validate` says is what `run` answers: the same statuses, the same rules.

CI compares a few files and containers; all of them with

    EVALUATOR_PARITY=all pytest tests/official/test_parity.py
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from evaluator.images import build_example
from tests.helpers.onnx_files import hand_made, third_party

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("runner_image")]

FILES = dict([*hand_made(), *third_party()])
FEW = ("opset-17", "opset-99", "class-indices", "test_Linear")
ALL = os.environ.get("EVALUATOR_PARITY") == "all"
CHOSEN = tuple(FILES) if ALL else FEW
EXAMPLES = ("perl", "torch") if ALL else ("perl",)

Answers = dict[str, tuple[str, tuple[str, ...]]]


@pytest.fixture
def compared(
    workspace: Path, command: Callable[..., Any], set_limit: Callable[..., None], tmp_path: Path
) -> Callable[[object, str], tuple[Answers, Answers]]:
    """A function from a submission to what an official run answers, and what `validate` says."""
    set_limit(submissions=1000, submissions_per_day=1000)
    challenge = tmp_path / "challenge.json"
    assert command("challenge", "--workspace", workspace, "--output", challenge).code == 0

    def both(submission: object, phase: str) -> tuple[Answers, Answers]:
        words = [submission, "--phase", phase]
        ran = command("run", *words, "--vendor", "acme", "--json", "--workspace", workspace)
        said = command("validate", *words, "--challenge", challenge, "--format", "json")
        assert {ran.code, said.code} <= {0, 1}, ran.stderr + said.stderr
        return official(json.loads(ran.stdout)), foreseen(json.loads(said.stdout))

    return both


def official(document: dict[str, Any]) -> Answers:
    """Statuses and rules of a signed result."""
    phases = document["statement"]["predicate"]["phases"]
    return {
        name: (phase["status"], tuple(phase.get("rules", ())))
        for name, phase in phases.items()
        if name in {"baseline", "tuned"} and phase
    }


def foreseen(document: dict[str, Any]) -> Answers:
    """The same of a report of `validate`."""
    rules = tuple(each["rule"] for each in document["findings"] if each["refuses"])
    return {
        name: (status, rules if status == "REFUSED" else ())
        for name, status in document["answers"].items()
    }


@pytest.mark.parametrize("name", CHOSEN)
def test_a_file_is_answered_alike(
    compared: Callable[[object, str], tuple[Answers, Answers]], tmp_path: Path, name: str
) -> None:
    """ONNX files of several exporters, opsets, layouts and element types, good and bad."""
    path = tmp_path / "model.onnx"
    path.write_bytes(FILES[name])
    ran, said = compared(path, "both" if name in {"opset-17", "class-indices"} else "baseline")

    assert said == ran


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_that_we_ship_is_answered_alike(
    compared: Callable[[object, str], tuple[Answers, Answers]], name: str
) -> None:
    """Both verbs of a container, admitted, trained and asked again."""
    ran, said = compared(build_example(name, lambda _: None), "both")

    assert said == ran
    assert set(ran) == {"baseline", "tuned"}


@pytest.mark.parametrize("script", ["printf 0 > /output/predictions", "exit 3"][: 2 if ALL else 1])
def test_a_container_that_fails_is_answered_alike(
    compared: Callable[[object, str], tuple[Answers, Answers]],
    make_image: Callable[..., str],
    script: str,
) -> None:
    """In each phase by itself."""
    ran, said = compared(make_image(script), "both")

    assert said == ran
    assert {status for status, _ in ran.values()} != {"OK"}


def test_the_files_differ_in_what_they_are_answered() -> None:
    """The control of the list: there are more than thirty, and no two are the same bytes."""
    assert len(FILES) > 30
    assert len(set(FILES.values())) == len(FILES)

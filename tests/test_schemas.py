"""docs/schemas says what the programs read and write."""

from __future__ import annotations

import datetime as dt
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema import ValidationError as Misfit

import sandbox
from evaluator import schema_files
from evaluator.board.documents import board_json
from evaluator.challenge import sample_challenge
from evaluator.dataset.commitment import commit
from evaluator.decision.assumptions import EXAMPLE
from evaluator.founding import found
from evaluator.lint.facts import ImageFacts, ModelFacts, Refusal, StepFacts
from evaluator.recipe import Recipe
from evaluator.reports import FORMATS
from tests.helpers.synthetic import make
from tests.helpers.verdicts import BAD, WAIVER, WARNING, verdict
from tests.helpers.verdicts import found as finding

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "docs" / "schemas"

Json = dict[str, Any]


def plain(value: Any) -> Any:  # noqa: ANN401  # anything TOML can say
    """A TOML document as JSON has it: times are texts."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.isoformat() if isinstance(value, dt.date) else value


def toml(text: str) -> Json:
    """A TOML file."""
    document: Json = plain(tomllib.loads(text))
    return document


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """One document of each kind, as the programs write it."""
    farm = tmp_path_factory.mktemp("schemas") / "farm"
    found(farm, class_sizes=True, passphrase=None)
    judged = verdict(*BAD.findings, finding(WARNING, waiver=WAIVER))
    return {
        "challenge": json.loads(sample_challenge().dump()),
        "hyperparameters": Recipe().model_dump(),
        "waivers": toml(WAIVERS),
        "report": json.loads(FORMATS["json"](judged)),
        "facts": json.loads(json.dumps(FACTS.document())),
        "evaluator": toml((farm / "evaluator.toml").read_text()),
        "sandbox": toml((farm / "policies" / "sandbox.toml").read_text()),
        "admission": toml((farm / "policies" / "admission.toml").read_text()),
        "commitment": json.loads(commit("tiles", b"s" * 32, [b"d" * 32], ["corn"])),
        "trust": toml((farm / "keys" / "trust.toml").read_text()),
        "board": json.loads(board_json(make(30, 3).board())),
        "assumptions": toml(EXAMPLE),
    }


FACTS = replace(
    BAD.facts,
    refusals=(Refusal("EVA105", "It has no entry point."),),
    image=ImageFacts(
        size=3,
        unpacked=10,
        layers=1,
        entries=2,
        entrypoint=("/main",),
        command=(),
        variables=(("PATH", "/bin"),),
        working_directory="/",
        user="0",
        volumes=(),
        ports=(),
        labels=(),
        health_check=False,
        history=("COPY main /",),
        marks=(("caches", 0),),
    ),
    model=ModelFacts(8, ("float32", (-1, 1, 64, 64)), ("float32", (-1, 3))),
    steps=(StepFacts("baseline", "predict", 9, "OK", 0, 0.1, 2.0, 1.0, 0.0, 99, "hi", cut=False),),
)
WAIVERS = """
[[waiver]]
rule = "EVA112"
reason = "the weights are 4 GB"
expires = 2027-03-31
"""


@pytest.mark.parametrize("name", sorted(schema_files.files()))
def test_a_schema_is_what_the_code_says(name: str) -> None:
    """`python -m evaluator.schema_files docs/schemas` would change nothing."""
    assert (SCHEMAS / name).read_text() == schema_files.files()[name]


def test_no_schema_is_left_over() -> None:
    """What is there is made; what is made is in the table."""
    table = (SCHEMAS / "README.md").read_text()

    assert {path.name for path in SCHEMAS.glob("*.json")} == {*schema_files.files()}
    assert {*re.findall(r"\]\((\w+\.schema\.json)\)", table)} == {*schema_files.files()}


@pytest.mark.parametrize("name", schema_files.SCHEMAS)
def test_a_genuine_document_fits(name: str, examples: dict[str, Json]) -> None:
    """The validator that others use says so."""
    Draft202012Validator.check_schema(schema_files.schema(name))
    Draft202012Validator(schema_files.schema(name)).validate(examples[name])


@pytest.mark.parametrize("name", schema_files.SCHEMAS)
def test_a_field_too_many_does_not_fit(name: str, examples: dict[str, Json]) -> None:
    """Positive control: a schema that takes anything would pass the test above."""
    with pytest.raises(Misfit, match="unexpected"):
        Draft202012Validator(schema_files.schema(name)).validate({**examples[name], "more": 1})


@pytest.mark.parametrize("name", schema_files.SCHEMAS)
def test_a_field_of_another_type_does_not_fit(name: str, examples: dict[str, Json]) -> None:
    """Nor does any field of the wrong type."""
    judge = Draft202012Validator(schema_files.schema(name))

    for key in examples[name]:
        wrong = {**examples[name], key: [[object]]}
        assert not judge.is_valid(wrong), key


@given(
    key=st.sampled_from(sorted(sandbox.CEILINGS)),
    value=st.one_of(st.integers(-1, 2**40), st.sampled_from([*sandbox.CEILINGS.values()])),
)
def test_sandbox_policy_and_its_schema_agree(
    key: str, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The one policy that is read without pydantic."""
    text = (ROOT / "policies" / "sandbox.toml").read_text()
    path = tmp_path_factory.getbasetemp() / "sandbox.toml"
    path.write_text(re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", text))
    try:
        sandbox.load_policy(path)
    except sandbox.PolicyError:
        taken = False
    else:
        taken = True

    judge = Draft202012Validator(schema_files.schema("sandbox"))
    assert judge.is_valid(toml(path.read_text())) == taken

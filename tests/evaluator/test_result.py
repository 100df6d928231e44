"""The statement: what it says, what it cannot say, and that its files are current.

The golden statements are rewritten by: UPDATE_GOLDEN=1 pytest tests/evaluator/test_result.py
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError
from pydantic import ValidationError

from evaluator.leakage import Account, total
from evaluator.predicate import (
    About,
    Commitment,
    Dataset,
    DigestSet,
    Evaluator,
    Policy,
    Release,
    Sandbox,
    Steps,
    Submission,
    Wall,
)
from evaluator.result import Result, json_schema, private_document
from evaluator.scoring import Counts, Grid
from evaluator.status import STATUSES

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
DIGEST = "5" * 64
ACCOUNT = Account(released=1234.5, budget=16_384)
COUNTS = Counts(
    classes=("barley", "maize", "pea"),
    rare=("pea", "maize"),
    confusion=((171, 20, 9), (12, 66, 2), (1, 2, 17)),
)


def about(*, sizes: bool) -> About:
    """Everything that is known of a run before it ends."""
    return About(
        run="0123456789abcdef",
        vendor="acme",
        release=Release(at="2026-11-23T00:00:00Z", every_hours=24, longest_seconds=3720),
        submission=Submission(kind="onnx", digest_of="file"),
        evaluator=Evaluator(version="0.1.0"),
        dataset=Dataset(
            version=1,
            holdout_commitment=Commitment(
                name="commitment.json", digest=DigestSet(sha256="1" * 64)
            ),
            holdout_tiles=300,
            classes=COUNTS.classes,
            rare_classes=COUNTS.rare,
            class_sizes=(200, 80, 20) if sizes else None,
        ),
        policy=Policy(
            sandbox=DigestSet(sha256="2" * 64),
            seccomp=DigestSet(sha256="3" * 64),
            admission=DigestSet(sha256="6" * 64),
        ),
        sandbox=Sandbox(
            runtime="runc",
            engine="20.10.24+dfsg1",
            runner="sha256:" + "4" * 64,
            device="cpu",
            cpus=2.0,
            memory_bytes=2**31,
            wall=Wall(
                verdict="SEALED",
                probe="sha256:" + "7" * 64,
                stopped=("net-connect", "fs-write-root"),
                residual=("side-oom-comm",),
            ),
        ),
        grid=Steps.of(Grid()),
    )


def results() -> dict[str, Result]:
    """One result of each kind, by the name of its golden file."""
    open_, closed = about(sizes=True), about(sizes=False)
    return {
        "result-scored.json": Result.scored(DIGEST, open_, COUNTS, ACCOUNT),
        "result-scored-without-class-sizes.json": Result.scored(DIGEST, closed, COUNTS, ACCOUNT),
        "result-timeout.json": Result.failed(DIGEST, open_, "TIMEOUT", ACCOUNT),
        "result-refused.json": Result.failed(DIGEST, open_, "REFUSED", ACCOUNT, ["EVA301"]),
    }


def document(name: str) -> dict[str, Any]:
    """Return the statement as a reader without our code sees it."""
    loaded: dict[str, Any] = json.loads(results()[name].payload())
    return loaded


@pytest.mark.parametrize("name", results())
def test_statement_is_the_golden_one(name: str) -> None:
    """A change to what results say is a change to a file that is reviewed."""
    text = json.dumps(document(name), indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text)

    assert (GOLDEN / name).read_text() == text


@pytest.mark.parametrize("name", results())
def test_statement_survives_the_way_out_and_back(name: str) -> None:
    """Parsing the signed bytes gives the result, and the same bytes again."""
    result = results()[name]

    assert Result.parse(result.payload()) == result
    assert Result.parse(result.payload()).payload() == result.payload()


@pytest.mark.parametrize("name", results())
def test_statement_matches_the_published_schema(name: str) -> None:
    """An auditor's JSON Schema validator agrees with ours."""
    Draft202012Validator(json.loads(json_schema())).validate(document(name))


def test_published_schema_is_current() -> None:
    """docs/result.schema.json is what `python -m evaluator.result` prints."""
    assert (ROOT / "docs" / "result.schema.json").read_text() == json_schema()


def test_published_schema_refuses_a_field_too_many() -> None:
    """The schema is closed, so nothing travels beside what it lists."""
    statement = document("result-timeout.json")
    statement["predicate"]["phases"]["baseline"]["seconds"] = 3600

    with pytest.raises(SchemaError):
        Draft202012Validator(json.loads(json_schema())).validate(statement)


def test_failed_phase_holds_its_status_alone() -> None:
    """A failure says one word: no figure, no exit status, no time."""
    phases = document("result-timeout.json")["predicate"]["phases"]

    assert phases == {"baseline": {"status": "TIMEOUT"}}


def test_refused_phase_holds_the_rules() -> None:
    """A vendor learns which admission rule to look up."""
    phases = document("result-refused.json")["predicate"]["phases"]

    assert phases == {"baseline": {"status": "REFUSED", "rules": ["EVA301"]}}


def test_refused_submission_tells_no_more_than_its_slot() -> None:
    """It met no tile, but runs after others; a timeout may carry as many bits as a score."""
    bits = {name: result.predicate.leakage_bits for name, result in results().items()}

    assert bits["result-refused.json"].baseline == 0
    assert bits["result-refused.json"].run == bits["result-refused.json"].release > 0
    assert bits["result-timeout.json"] == bits["result-scored.json"]
    assert bits["result-scored.json"].baseline > 0


def test_the_sum_over_all_runs_includes_this_one() -> None:
    """Whoever reads one result knows how much of the budget is gone."""
    bits = results()["result-scored.json"].predicate.leakage_bits

    assert bits.dataset == total(ACCOUNT.released, bits.run)
    assert bits.budget == ACCOUNT.budget


def test_a_result_beyond_the_budget_cannot_be_written() -> None:
    """Whatever went wrong before, it is not signed."""
    bits = results()["result-scored.json"].predicate.leakage_bits.run
    last = total(16_384, -bits)

    assert Result.scored(DIGEST, about(sizes=True), COUNTS, Account(last, 16_384))
    with pytest.raises(ValidationError, match="beyond the budget"):
        Result.scored(DIGEST, about(sizes=True), COUNTS, Account(total(last, 0.1), 16_384))


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "UNSEALED"},
        {"verdict": "UNKNOWN"},
        {"stopped": ("Net-Connect",)},
        {"residual": ("kernel log: tile 7 is wheat",)},
        {"probe": "probe:latest"},
    ],
)
def test_a_wall_that_is_not_sealed_is_no_result(changes: dict[str, object]) -> None:
    """Nor is one that is described in other words than ids."""
    facts = dict(about(sizes=True).sandbox.wall) | changes

    with pytest.raises(ValidationError):
        Wall.model_validate(facts)


def test_exact_counts_are_not_in_the_statement() -> None:
    """254 of 300 are right; the statement says 0.847 and nowhere more."""
    text = results()["result-scored.json"].payload().decode()

    assert '"accuracy":0.847' in text
    assert "254" not in text
    assert "confusion" not in text


@pytest.mark.parametrize("status", ["SANDBOX_ERROR", "OK", "REFUSED by us", ""])
def test_no_other_word_becomes_a_failure(status: str) -> None:
    """Trouble of the host is an exception and never signed; OK needs figures."""
    with pytest.raises(ValidationError):
        Result.failed(DIGEST, about(sizes=True), status, ACCOUNT)


def test_refusal_without_a_rule_is_no_result() -> None:
    """A refusal that names no rule could not be acted on."""
    with pytest.raises(ValidationError):
        Result.failed(DIGEST, about(sizes=True), "REFUSED", ACCOUNT)


@pytest.mark.parametrize("status", sorted({*STATUSES} - {"OK", "REFUSED"}))
def test_every_failure_has_a_result(status: str) -> None:
    """Each word of the contract can be signed."""
    result = Result.failed(DIGEST, about(sizes=True), status, ACCOUNT)

    assert result.predicate.phases.baseline.status == status


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vendor", "Acme"),
        ("vendor", "../acme"),
        ("vendor", "acme\n"),
        ("run", "0123"),
    ],
)
def test_ill_formed_name_is_no_result(field: str, value: object) -> None:
    """Names have one spelling, checked when written and when read."""
    facts = dict(about(sizes=True)) | {field: value}

    with pytest.raises(ValidationError):
        About.model_validate(facts)


@pytest.mark.parametrize(
    "at",
    [
        "2026-13-23T00:00:00Z",
        "2026-11-23T00:00:00+00:00",
        1_795_392_000,
        "2026-11-23T00:00:01Z",
        "2026-11-23T01:00:00Z",
    ],
)
def test_a_moment_within_a_slot_is_no_release(at: object) -> None:
    """Times have one spelling too, and only the ends of slots are times."""
    with pytest.raises(ValidationError):
        Release.model_validate({"at": at, "every_hours": 24, "longest_seconds": 3720})


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ("barley", "barley", "pea")},
        {"rare_classes": ("oat",)},
        {"rare_classes": ()},
        {"rare_classes": ("pea", "pea")},
        {"class_sizes": (200, 80, 21)},
        {"class_sizes": (220, 80)},
        {"class_sizes": (200, 100, 0)},
    ],
)
def test_contradictory_dataset_is_no_result(changes: dict[str, object]) -> None:
    """Lists of classes and sizes must agree with each other and the total."""
    facts = dict(about(sizes=True).dataset) | changes

    with pytest.raises(ValidationError):
        Dataset.model_validate(facts)


def test_private_document_holds_the_exact_counts() -> None:
    """The owner can recompute every published figure from it."""
    private = json.loads(private_document("0123456789abcdef", {"exit_code": 0}, COUNTS))

    assert private["exit_code"] == 0
    assert private["counts"]["correct"] == 254
    assert private["counts"]["rare_correct"] == 83
    assert private["counts"]["confusion"][0] == [171, 20, 9]


def test_private_document_of_a_failure_has_no_counts() -> None:
    """Where nothing was scored, nothing is invented."""
    private = json.loads(private_document("0123456789abcdef", {"status": "TIMEOUT"}, None))

    assert private["counts"] is None


def test_whole_numbers_have_one_spelling() -> None:
    """2.0 CPUs are written as RFC 8785 writes them, and read back as a float."""
    payload = results()["result-scored.json"].payload()

    assert b'"cpus":2,' in payload
    assert rfc8785.dumps(json.loads(payload)) == payload
    assert isinstance(Result.parse(payload).predicate.sandbox.cpus, float)

"""The statement: what it says, what it cannot say, and that its files are current.

The golden statements are rewritten by: UPDATE_GOLDEN=1 pytest tests/evaluator/test_result.py
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError
from pydantic import ValidationError

from evaluator.error_phases import ErrorSteps
from evaluator.evaluate import Evaluation, Phase
from evaluator.leakage import Account, total
from evaluator.predicate import (
    About,
    Commitment,
    Compute,
    Dataset,
    DigestSet,
    Evaluator,
    Gain,
    LogPosition,
    Phases,
    Policy,
    Release,
    Sandbox,
    Steps,
    Submission,
    Training,
    Wall,
)
from evaluator.regression import ErrorGrid, measure
from evaluator.result import Result, json_schema, private_document
from evaluator.scoring import Counts, Grid
from evaluator.status import STATUSES
from sandbox import Outcome, Status, Usage

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
DIGEST = "5" * 64
ACCOUNT = Account(released=1234.5, budget=16_384)
COUNTS = Counts(
    classes=("barley", "maize", "pea"),
    rare=("pea", "maize"),
    confusion=((171, 20, 9), (12, 66, 2), (1, 2, 17)),
)
LEARNT = Counts(
    classes=COUNTS.classes,
    rare=COUNTS.rare,
    confusion=((188, 8, 4), (6, 73, 1), (0, 1, 19)),
)
MICRO = 1_000_000
BEFORE = Phase("OK", COUNTS, charge=3 * MICRO)
AFTER = Phase("OK", LEARNT, charge=41 * MICRO)
LATE = Phase("TIMEOUT", message="too late", charge=60 * MICRO)
REFUSED = Phase("REFUSED", rules=("EVA301",), message="EVA301: too large")
EARLIER = "f" * 16

YIELDS = [2.0, 4.0, 6.0, 8.0, 10.0] * 60
CROPS = [0] * 200 + [1] * 80 + [2] * 20
GUESSES = [yield_ + (0.5, -1.25, 2.0)[at % 3] for at, yield_ in enumerate(YIELDS)]
CLOSER = [yield_ + (0.25, -0.5)[at % 2] for at, yield_ in enumerate(YIELDS)]
ROUGH, FINE = (
    Phase("OK", measure(CROPS, YIELDS, guess, COUNTS.classes, COUNTS.rare), charge=charge * MICRO)
    for guess, charge in ((GUESSES, 3), (CLOSER, 41))
)


def about(*, sizes: bool, trains: bool = True) -> About:
    """Everything that is known of a run before it ends."""
    longest = 21_840 if trains else 3720
    return About(
        run="0123456789abcdef",
        vendor="acme",
        log=LogPosition(origin="log.example/farm", received=3),
        release=Release(at="2026-11-23T00:00:00Z", every_hours=24, longest_seconds=longest),
        submission=Submission(kind="onnx", digest_of="file"),
        evaluator=Evaluator(version="0.1.0"),
        dataset=Dataset(
            version=1,
            task="classification",
            unit=None,
            range=None,
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
            trainer="sha256:" + "8" * 64 if trains else None,
            co_resident=False,
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
        compute=Compute(budget=100.0, step=1.0, cpu_peak=1.25e11, gpu_peak=None),
        training=Training(tiles=1200, recipe=DigestSet(sha256="9" * 64)) if trains else None,
        grid=Steps.of(Grid()),
    )


def about_yields(*, sizes: bool) -> About:
    """The same of a data set whose tiles have yields."""
    facts, limits = about(sizes=sizes), (0.0, 12.0)
    steps = ErrorSteps.of(ErrorGrid.of(limits, 0.01, 0.1, 100))
    numbers = {"task": "regression", "unit": "t/ha", "range": limits}
    dataset = facts.dataset.model_copy(update=numbers)
    return facts.model_copy(update={"dataset": dataset, "grid": steps})


def result(facts: About, evaluation: Evaluation, account: Account = ACCOUNT) -> Result:
    """The result of a run of this submission."""
    return Result.of(DIGEST, facts, evaluation, account)


def results() -> dict[str, Result]:
    """One result of each kind, by the name of its golden file."""
    open_, closed = about(sizes=True), about(sizes=False)
    alone = about(sizes=True, trains=False)
    return {
        "result-scored.json": result(open_, Evaluation(BEFORE, AFTER)),
        "result-scored-without-class-sizes.json": result(closed, Evaluation(BEFORE, AFTER)),
        "result-tuned-timeout.json": result(open_, Evaluation(BEFORE, LATE)),
        "result-baseline.json": result(alone, Evaluation(BEFORE)),
        "result-timeout.json": result(alone, Evaluation(LATE)),
        "result-refused.json": result(open_, Evaluation(REFUSED)),
        "result-regression.json": result(about_yields(sizes=True), Evaluation(ROUGH, FINE)),
        "result-regression-without-class-sizes.json": result(
            about_yields(sizes=False), Evaluation(ROUGH, FINE)
        ),
        "result-adapted.json": Result.of(DIGEST, alone, Evaluation(None, AFTER), ACCOUNT, EARLIER),
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


def test_published_schema_refuses_a_field_too_many() -> None:
    """The schema is closed, so nothing travels beside what it lists."""
    statement = document("result-timeout.json")
    statement["predicate"]["phases"]["baseline"]["seconds"] = 3600

    with pytest.raises(SchemaError):
        Draft202012Validator(json.loads(json_schema())).validate(statement)


def test_a_failed_phase_holds_its_status_and_its_charge_alone() -> None:
    """A failure says one word, and whole steps: no figure, no exit status, no time, no message."""
    alone = document("result-timeout.json")["predicate"]["phases"]
    second = document("result-tuned-timeout.json")["predicate"]["phases"]
    failed = {"status": "TIMEOUT", "charge": 60}

    assert alone == {"baseline": failed, "tuned": None, "gain": None, "adapted": None}
    assert (second["tuned"], second["gain"]) == (failed, None)
    assert second["baseline"] == document("result-baseline.json")["predicate"]["phases"]["baseline"]


def test_refused_phase_holds_the_rules() -> None:
    """A vendor learns which admission rule to look up; nothing was charged."""
    phases = document("result-refused.json")["predicate"]["phases"]

    assert phases["baseline"] == {"status": "REFUSED", "rules": ["EVA301"]}
    assert phases["tuned"] is phases["gain"] is phases["adapted"] is None


def test_two_scored_phases_say_what_was_gained() -> None:
    """Of 300 tiles 254 were right and then 280: 0.847, 0.933, and 0.086 between them."""
    phases = document("result-scored.json")["predicate"]["phases"]

    assert [phases[name]["accuracy"] for name in ("baseline", "tuned", "gain")] == [
        0.847,
        0.933,
        0.086,
    ]
    assert [phases[name]["charge"] for name in ("baseline", "tuned")] == [3, 41]
    assert phases["gain"]["recall"] == {"barley": 0.08, "maize": 0.08, "pea": 0.1}


def test_a_loss_is_published_like_a_gain() -> None:
    """A model that unlearnt has gained less than nothing, and the interval says so too."""
    gain = result(about(sizes=True), Evaluation(AFTER, BEFORE)).predicate.phases.gain

    assert isinstance(gain, Gain)
    assert gain.accuracy == -0.086
    assert gain.accuracy_interval[0] < gain.accuracy < gain.accuracy_interval[1] < 0


def test_unpublished_class_sizes_are_in_no_interval_of_the_gain() -> None:
    """An interval would betray the size that it is relative to."""
    phases = document("result-scored-without-class-sizes.json")["predicate"]["phases"]
    gain = document("result-scored.json")["predicate"]["phases"]["gain"]

    assert phases["gain"] == gain | {"rare_accuracy_interval": None}


def test_the_result_of_a_kept_model_names_the_run_that_trained_it() -> None:
    """It has one phase, and nothing to compare it with."""
    phases = document("result-adapted.json")["predicate"]["phases"]

    assert (phases["adapted"], phases["baseline"], phases["gain"]) == (EARLIER, None, None)
    assert phases["tuned"] == document("result-scored.json")["predicate"]["phases"]["tuned"]


def test_refused_submission_tells_no_more_than_its_slot() -> None:
    """It met no tile, but runs after others; a timeout may carry as many bits as a score."""
    bits = {name: result.predicate.leakage_bits for name, result in results().items()}

    refused = bits["result-refused.json"]
    assert refused.baseline == refused.tuned == 0
    assert refused.run == refused.release > 0
    assert bits["result-tuned-timeout.json"] == bits["result-scored.json"]
    assert bits["result-timeout.json"] == bits["result-baseline.json"]


def test_each_phase_that_met_tiles_carries_its_bits() -> None:
    """Two carry twice as many; the one of a kept model counts as one that was trained here."""
    bits = {name: result.predicate.leakage_bits for name, result in results().items()}
    both, alone, kept = (bits[f"result-{name}.json"] for name in ("scored", "baseline", "adapted"))

    assert both.baseline == both.tuned == alone.baseline == kept.tuned > 0
    assert alone.tuned == kept.baseline == 0
    assert both.run == total(both.baseline, both.tuned, both.release)


@pytest.mark.parametrize("missing", ["baseline", "tuned", "both"])
def test_a_phase_without_budget_left_carries_bits_all_the_same(missing: str) -> None:
    """That nothing was left is one of the words, and the submission used up the rest."""
    spent = Phase("BUDGET_SPENT")
    phases = {"baseline": BEFORE, "tuned": AFTER}
    phases |= dict.fromkeys(phases, spent) if missing == "both" else {missing: spent}
    full = results()["result-scored.json"].predicate.leakage_bits

    assert result(about(sizes=True), Evaluation(**phases)).predicate.leakage_bits == full


def test_the_sum_over_all_runs_includes_this_one() -> None:
    """Whoever reads one result knows how much of the budget is gone."""
    bits = results()["result-scored.json"].predicate.leakage_bits

    assert bits.dataset == total(ACCOUNT.released, bits.run)
    assert bits.budget == ACCOUNT.budget


def test_a_result_beyond_the_budget_cannot_be_written() -> None:
    """Whatever went wrong before, it is not signed."""
    bits = results()["result-scored.json"].predicate.leakage_bits.run
    last = total(16_384, -bits)

    whole = Evaluation(BEFORE, AFTER)
    assert result(about(sizes=True), whole, Account(last, 16_384))
    with pytest.raises(ValidationError, match="beyond the budget"):
        result(about(sizes=True), whole, Account(total(last, 0.1), 16_384))


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
    """254 and 280 of 300 are right; the statement says 0.847 and 0.933, and nowhere more."""
    text = results()["result-scored.json"].payload().decode()

    assert '"accuracy":0.847' in text
    assert '"accuracy":0.933' in text
    assert "254" not in text
    assert "280" not in text
    assert "confusion" not in text


def test_what_a_container_used_is_not_in_the_statement() -> None:
    """Whole steps of petaflops alone: the exact figures would tell an exact duration."""
    used = Usage(7.125, 7.0625, 12345, 678, 910, 0.0, 0, 0.0, "cgroup")
    plain = Evaluation(BEFORE, AFTER)
    outcome = Outcome(Status.OK, b"\x00" * 300, 0, 7.5, used)
    ran = Evaluation(replace(BEFORE, outcomes=(outcome,)), replace(AFTER, message="well"))

    payloads = [result(about(sizes=True), each).payload() for each in (plain, ran)]
    assert payloads[0] == payloads[1]


@pytest.mark.parametrize("status", ["SANDBOX_ERROR", "OK", "REFUSED by us", ""])
@pytest.mark.parametrize("phase", ["baseline", "tuned"])
def test_no_other_word_becomes_a_failure(status: str, phase: str) -> None:
    """Trouble of the host is an exception and never signed; OK needs figures."""
    phases = {"baseline": BEFORE, "tuned": AFTER} | {phase: Phase(status)}

    with pytest.raises(ValidationError):
        result(about(sizes=True), Evaluation(**phases))


def test_refusal_without_a_rule_is_no_result() -> None:
    """A refusal that names no rule could not be acted on."""
    with pytest.raises(ValidationError):
        result(about(sizes=True), Evaluation(Phase("REFUSED")))


@pytest.mark.parametrize("status", sorted({*STATUSES} - {"OK", "REFUSED"}))
def test_every_failure_has_a_result(status: str) -> None:
    """Each word of the contract can be signed."""
    evaluation = Evaluation(Phase(status), Phase(status))

    phases = result(about(sizes=True), evaluation).predicate.phases
    assert [phase.status for phase in phases.all()] == [status, status]


@pytest.mark.parametrize(
    ("evaluation", "adapted"),
    [
        (Evaluation(None), None),
        (Evaluation(None), EARLIER),
        (Evaluation(None, AFTER), None),
        (Evaluation(BEFORE, AFTER), EARLIER),
        (Evaluation(BEFORE), EARLIER),
        (Evaluation(BEFORE, REFUSED), None),
        (Evaluation(REFUSED, AFTER), None),
        (Evaluation(REFUSED, LATE), None),
    ],
)
def test_phases_that_cannot_be_are_no_result(evaluation: Evaluation, adapted: str | None) -> None:
    """No phase, an adapted model with a baseline or without its run, a refusal beside a phase."""
    with pytest.raises(ValidationError):
        Result.of(DIGEST, about(sizes=True), evaluation, ACCOUNT, adapted)


def test_a_phase_that_was_trained_on_no_tiles_is_no_result() -> None:
    """Unless an earlier run has trained it: that one says on what."""
    alone = about(sizes=True, trains=False)

    with pytest.raises(ValidationError, match="on no tiles"):
        result(alone, Evaluation(BEFORE, AFTER))
    assert Result.of(DIGEST, alone, Evaluation(None, AFTER), ACCOUNT, EARLIER)


def test_a_kept_model_can_be_refused() -> None:
    """By the rules of the day: the one refusal that is a second phase."""
    refused = Result.of(DIGEST, about(sizes=True), Evaluation(None, REFUSED), ACCOUNT, EARLIER)

    assert refused.predicate.leakage_bits.tuned == 0
    assert refused.predicate.phases.tuned is not None


@pytest.mark.parametrize("names", [("baseline", "tuned"), ("baseline",), ("tuned",), ()])
def test_a_gain_is_there_where_both_phases_were_scored_alone(names: tuple[str, ...]) -> None:
    """Neither missing nor invented, whoever writes the document."""
    phases = dict(results()["result-scored.json"].predicate.phases)
    failed = results()["result-timeout.json"].predicate.phases.baseline
    broken = phases | dict.fromkeys({"baseline", "tuned"} - {*names}, failed)
    if len(names) == 2:
        broken["gain"] = None

    with pytest.raises(ValidationError, match="a gain is there where both"):
        Phases.model_validate(broken)


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 0.3},
        {"step": 0.0},
        {"step": 1e-7},
        {"budget": 0.0},
        {"budget": 100.0000001},
        {"budget": 0.5},
        {"budget": 2e9},
        {"cpu_peak": 0.0},
        {"gpu_peak": -1.0},
    ],
)
def test_a_budget_that_is_no_whole_number_of_steps_is_no_result(
    changes: dict[str, object],
) -> None:
    """Nor one that is not counted in millionths of a petaflop, nor a device that does nothing."""
    facts = dict(about(sizes=True).compute) | changes

    with pytest.raises(ValidationError):
        Compute.model_validate(facts)


@pytest.mark.parametrize(
    ("budget", "step", "charges"),
    [(100.0, 1.0, 101), (0.3, 0.1, 4), (1.1, 0.000001, 1_100_001), (1e9, 1e7, 101)],
)
def test_charges_are_counted_in_whole_millionths(budget: float, step: float, charges: int) -> None:
    """Decimals that floats cannot hold are whole numbers there."""
    assert Compute(budget=budget, step=step, cpu_peak=1.0, gpu_peak=None).charges == charges


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
    """The owner can recompute every published figure from it, and sees what was used for it."""
    used = Usage(7.1, 7.0, 12, 34, 56, 0.0, 0, 0.0, "cgroup")
    outcome = Outcome(Status.OK, b"predictions", 0, 7.1239, used)
    evaluation = Evaluation(replace(BEFORE, outcomes=(outcome,)), AFTER)
    private = json.loads(private_document("0123456789abcdef", {"fact": 0}, evaluation))

    assert private["fact"] == 0
    baseline, tuned = private["baseline"]["counts"], private["tuned"]["counts"]
    assert (baseline["correct"], baseline["rare_correct"], tuned["correct"]) == (254, 83, 280)
    assert baseline["confusion"][0] == [171, 20, 9]
    (container,) = private["baseline"]["containers"]
    assert (container["seconds"], container["usage"]["cpu_seconds"]) == (7.124, 7.0)
    assert "predictions" not in json.dumps(private)
    assert private["tuned"]["charge_petaflops"] == 41


def test_private_document_of_a_failure_has_no_counts() -> None:
    """Where nothing was scored, nothing is invented; a phase that was not run is null."""
    private = json.loads(private_document("0123456789abcdef", {}, Evaluation(LATE)))

    assert private["tuned"] is None
    assert private["baseline"]["counts"] is None
    assert (private["baseline"]["status"], private["baseline"]["message"]) == (
        "TIMEOUT",
        "too late",
    )


def test_whole_numbers_have_one_spelling() -> None:
    """2.0 CPUs are written as RFC 8785 writes them, and read back as a float."""
    payload = results()["result-scored.json"].payload()

    assert b'"cpus":2,' in payload
    assert rfc8785.dumps(json.loads(payload)) == payload
    assert isinstance(Result.parse(payload).predicate.sandbox.cpus, float)

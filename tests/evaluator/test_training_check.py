"""What our trainer found of a model: any record is a plan, and a refusal is a sentence of ours."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evaluator.compute import Compute
from evaluator.errors import Refused
from evaluator.lint.catalogue import RULES
from evaluator.onnx_check import RECORD
from evaluator.training_check import Plan, read_plan, require_trainable
from evaluator.workspace import shipped

COMPUTE = Compute(left=100_000_000, step=1_000_000, cpu=1e12, gpu=1e14)  # 100 PF
OPERATORS = (shipped("images") / "trainer" / "operators.txt").read_text().splitlines()
VERDICTS = {1: "EVA330", 2: "EVA331", 3: "EVA332", 4: "EVA333", 5: "EVA334", 6: "EVA335"}
SECOND = 10**9


def record(*values: int) -> bytes:
    """A record of the trainer's that begins with these numbers."""
    return RECORD.pack(*values, *[0] * (24 - len(values)))


def refusal(plan: Plan, compute: Compute = COMPUTE) -> Refused:
    """Why it is refused."""
    with pytest.raises(Refused) as refused:
        require_trainable(plan, compute)
    return refused.value


def shape(refused: Refused) -> str:
    """Its sentence, without numbers and without the name of an operator that we know."""
    known = "|".join(re.escape(name) for name in (*OPERATORS, "of an unknown name"))
    without = re.sub(rf"operator (?:{known}) \(", "operator (", str(refused))
    return re.sub(r"[\d.]+(e\+\d+)?", "N", without)


SENTENCES = {
    shape(found)
    for found in (
        *(refusal(read_plan(record(code, 0, 1))) for code in VERDICTS),
        refusal(read_plan(record(0, 0, 0, 0, 0, 0, SECOND, 2**62))),
    )
}
LARGE = 2**63 - 1
numbers = st.integers(-(2**63), LARGE)
known = st.builds(
    lambda code, rest: [code, *rest], st.integers(0, 6), st.lists(numbers, min_size=23, max_size=23)
)


@given(
    st.binary(min_size=192, max_size=192)
    | st.lists(numbers, min_size=24, max_size=24).map(lambda values: RECORD.pack(*values))
    | known.map(lambda values: RECORD.pack(*values))
)
@example(record(1, LARGE, LARGE))
@example(record(1, 3, -1))
@example(record(0, 0, 0, 0, 0, 0, LARGE, LARGE, LARGE, 1))
@example(RECORD.pack(*[-(2**63)] * 24))
def test_any_record_is_trainable_or_refused_in_our_words(raw: bytes) -> None:
    """Whatever a model made our trainer write: no other error, and no word but those we have."""
    plan = read_plan(raw)
    refused = None
    try:
        require_trainable(plan, COMPUTE)
    except Refused as found:
        refused = found

    assert min(plan.node, plan.seconds, plan.cpu_seconds, plan.gpu_seconds) >= 0
    if refused is None:
        assert plan.code == 0
        return
    assert str(refused).isascii()
    assert str(refused).isprintable()
    assert shape(refused) in SENTENCES
    assert refused.rule in RULES


@pytest.mark.parametrize("raw", [b"", bytes(191), bytes(193), b"\xff" * 8])
def test_bytes_that_are_no_record_are_a_refusal(raw: bytes) -> None:
    """The trainer died before it could answer, or was not what answered."""
    assert refusal(read_plan(raw)).rule == "EVA335"


@pytest.mark.parametrize("code", [-(2**63), -1, 8, 101, LARGE])
def test_a_verdict_that_is_not_known_is_a_refusal(code: int) -> None:
    """Never a training."""
    assert refusal(read_plan(record(code))).rule == "EVA335"


def test_a_trainer_without_its_gpu_is_no_fault_of_the_model() -> None:
    """It is trainable as far as that goes, and the caller sees that no GPU was live."""
    plan = read_plan(record(7, 0, 0, 0, 0, 0, SECOND, SECOND, SECOND, 1))

    require_trainable(plan, COMPUTE)
    assert not plan.cuda


@pytest.mark.parametrize(("code", "rule"), VERDICTS.items())
def test_each_verdict_has_its_rule_and_says_what_to_do(code: int, rule: str) -> None:
    """A code never changes its meaning: the trainer in its image knows it by number."""
    refused = refusal(read_plan(record(code, 0, 1)))

    assert refused.rule == rule
    assert refused.status == "REFUSED"
    assert str(refused).startswith(f"{rule}: ")
    assert "{" not in str(refused)


@pytest.mark.parametrize("place", [0, 1, len(OPERATORS) - 1])
def test_an_operator_is_named_from_our_list(place: int) -> None:
    """By its place there, with the node: what a vendor needs to export without it."""
    refused = refusal(read_plan(record(1, place, 7)))

    assert f"its operator {OPERATORS[place]} (node 7) cannot be trained here" in str(refused)


@pytest.mark.parametrize("place", [-(2**63), -1, len(OPERATORS), LARGE])
def test_an_operator_that_is_not_on_the_list_has_no_name(place: int) -> None:
    """A model cannot have us print a name of its own."""
    assert "its operator of an unknown name (node 7)" in str(
        refusal(read_plan(record(1, place, 7)))
    )


def test_a_plan_is_the_trainers_estimate() -> None:
    """Nanoseconds in the record, seconds in the plan."""
    plan = read_plan(record(0, 0, 0, 0, 0, 0, 90 * SECOND, 175 * SECOND // 2, SECOND, 1))

    assert plan == Plan(0, 0, 0, 90.0, 87.5, 1.0, cuda=True)


@pytest.mark.parametrize(
    ("cpu", "gpu", "fits"),
    [(0, 0, True), (100_000, 0, True), (100_001, 0, False), (0, 1000, True), (0, 1001, False)],
)
def test_a_training_fits_what_is_left_or_is_refused(cpu: int, gpu: int, *, fits: bool) -> None:
    """At 1e12 operations a CPU second and 1e14 a GPU second, 100 PF are 100,000 and 1,000 s."""
    plan = Plan(0, 0, 0, 60.0, float(cpu), float(gpu), cuda=False)
    if fits:
        require_trainable(plan, COMPUTE)
    else:
        assert refusal(plan).rule == "EVA402"


def test_a_training_that_does_not_fit_is_refused_with_the_numbers() -> None:
    """What it would take, how long that is here, and what is left."""
    plan = Plan(0, 0, 0, 4000.4, 250_000.0, 0.0, cuda=False)
    left = Compute(left=12_500_000, step=1_000_000, cpu=1e12)

    said = str(refusal(plan, left))
    assert "about 250 PF (about 4000 s here) and 12.5 PF are left" in said

"""The runner's numbers become our own sentences."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.admission_policy import load_admission_policy
from evaluator.errors import Refused
from evaluator.lint.catalogue import RULES
from evaluator.onnx_check import RECORD, limits_file, read_check, require_accepted
from evaluator.workspace import shipped

POLICY = load_admission_policy(shipped("policies") / "admission.toml").onnx


def record(code: int, **at: int) -> bytes:
    """A record with `code` and numbers at positions named n1, n2, ..."""
    values = [code] + [0] * 23
    for name, value in at.items():
        values[int(name[1:])] = value
    return RECORD.pack(*values)


@pytest.mark.parametrize(
    ("raw", "rule", "words"),
    [
        (record(1), "EVA302", "not an ONNX model"),
        (record(2), "EVA303", "external_data=False"),
        (record(3), "EVA304", "operator"),
        (record(4, n1=1, n2=5), "EVA305", "found 1 inputs and 5 outputs"),
        (record(5, n3=1, n4=4, n5=-1, n6=3, n7=8, n8=8), "EVA306", "float32 (N, 3, 8, 8)"),
        (record(6, n13=1, n14=2, n15=-1, n16=10), "EVA307", "float32 (N, 10)"),
        (record(7), "EVA308", "metadata"),
        (record(8), "EVA309", "one batch of zeros"),
        (record(9, n20=27, n21=50), "EVA310", "version 27 of the standard operators (byte 50)"),
        (
            record(10, n21=7),
            "EVA311",
            "at byte 7 it uses operators that are neither known here (ai.",
        ),
        (record(11, n21=7), "EVA312", "the node at byte 7"),
        (record(12, n21=7), "EVA313", "the function at byte 7 calls itself"),
        (record(13, n21=7), "EVA314", "at byte 7 it passes 100000 nodes"),
        (record(14, n21=7), "EVA315", "the graph at byte 7 passes 50000 initializers"),
        (record(15, n20=2**40, n21=7), "EVA316", "a dimension of 1099511627776"),
        (record(16, n20=80, n21=7), "EVA317", "the tensor at byte 7 declares 80 bytes"),
        (record(17, n20=101, n21=7), "EVA318", "at byte 7 lies 101 levels deep"),
        (record(18), "EVA319", "onnxruntime's own format"),
        (record(19, n21=7), "EVA320", "2,000,000 fields"),
        (record(99), "EVA309", "one batch of zeros"),
        (b"", "EVA309", "one batch of zeros"),
    ],
)
def test_each_finding_has_its_rule(raw: bytes, rule: str, words: str) -> None:
    """What was found, and what is expected."""
    with pytest.raises(Refused) as refusal:
        require_accepted(read_check(raw), (8, 8), "uint8", 9, POLICY)

    assert refusal.value.rule == rule
    assert words in str(refusal.value)


def test_a_fitting_model_is_accepted() -> None:
    """Code 0 raises nothing."""
    require_accepted(read_check(record(0)), (8, 8), "uint8", 9, POLICY)


def test_each_code_has_a_named_rule() -> None:
    """Codes 1 to 19 are the rules EVA302 to EVA320, each with a name of its own."""
    rules = set()
    for code in range(1, 20):
        with pytest.raises(Refused) as refusal:
            require_accepted(read_check(record(code)), (8, 8), "uint8", 9, POLICY)
        rules.add(refusal.value.rule)

    assert rules == {f"EVA{301 + code}" for code in range(1, 20)}
    assert rules <= RULES.keys()


def test_the_runner_reads_the_limits_of_the_policy() -> None:
    """All of [onnx] but the size, which the host judges before anything reads the file."""
    limits = json.loads(limits_file(POLICY))

    assert limits == POLICY.model_dump(exclude={"bytes"})
    assert limits["refused_operators"] == ["EPContext"]


@given(st.binary(min_size=RECORD.size, max_size=RECORD.size).filter(lambda raw: any(raw[:8])))
def test_no_record_brings_words_of_its_own(raw: bytes) -> None:
    """Whatever the 192 bytes are, the message is plain ASCII of bounded length."""
    with pytest.raises(Refused) as refusal:
        require_accepted(read_check(raw), (8, 8, 13), "uint16", 9, POLICY)
    message = str(refusal.value)

    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 500

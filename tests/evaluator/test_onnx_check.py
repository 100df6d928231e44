"""The runner's numbers become our own sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import Refused
from evaluator.onnx_check import RECORD, read_check, require_accepted


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
        (record(99), "EVA309", "one batch of zeros"),
        (b"", "EVA309", "one batch of zeros"),
    ],
)
def test_each_finding_has_its_rule(raw: bytes, rule: str, words: str) -> None:
    """What was found, and what is expected."""
    with pytest.raises(Refused) as refusal:
        require_accepted(read_check(raw), (8, 8), "uint8", 9)

    assert refusal.value.rule == rule
    assert words in str(refusal.value)


def test_a_fitting_model_is_accepted() -> None:
    """Code 0 raises nothing."""
    require_accepted(read_check(record(0)), (8, 8), "uint8", 9)


@given(st.binary(min_size=RECORD.size, max_size=RECORD.size).filter(lambda raw: any(raw[:8])))
def test_no_record_brings_words_of_its_own(raw: bytes) -> None:
    """Whatever the 192 bytes are, the message is plain ASCII of bounded length."""
    with pytest.raises(Refused) as refusal:
        require_accepted(read_check(raw), (8, 8, 13), "uint16", 9)
    message = str(refusal.value)

    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 500

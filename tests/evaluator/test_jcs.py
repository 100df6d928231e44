"""Our RFC 8785 is everyone's: the same bytes as the library's, and no other bytes are read."""

import json
import struct
from pathlib import Path

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from evaluator.jcs import canonical, read

GOLDEN = Path(__file__).parents[1] / "golden"

any_text = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates as well
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**54), 2**54)
    | st.floats()
    | st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("d", bits.to_bytes(8, "big"))[0])
    | any_text
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def spelled_by_the_library(value: object) -> bytes | None:
    """Return the library's bytes, or None where it says that there are none."""
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # anything at all
    except ValueError:
        return None


@given(documents)
@example({"\ue000": 1, "\U00010000": 2})  # in another order by code points than by UTF-16
@example([1e21, 1e20, 123456789.0, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308, -0.0])
def test_bytes_are_those_of_the_library(value: object) -> None:
    """Whatever JSON can say: the same bytes, or ValueError where it has none."""
    try:
        found = canonical(value)
    except ValueError:
        assert spelled_by_the_library(value) is None
    else:
        assert found == spelled_by_the_library(value)


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        # RFC 8785, appendix B.
        (0x0000000000000000, "0"),
        (0x8000000000000000, "0"),
        (0x0000000000000001, "5e-324"),
        (0x8000000000000001, "-5e-324"),
        (0x7FEFFFFFFFFFFFFF, "1.7976931348623157e+308"),
        (0x4340000000000000, "9007199254740992"),
        (0x4430000000000000, "295147905179352830000"),
        (0x44B52D02C7E14AF5, "9.999999999999997e+22"),
        (0x44B52D02C7E14AF6, "1e+23"),
        (0x444B1AE4D6E2EF4E, "999999999999999700000"),
        (0x444B1AE4D6E2EF50, "1e+21"),
        (0x3EB0C6F7A0B5ED8C, "9.999999999999997e-7"),
        (0x3EB0C6F7A0B5ED8D, "0.000001"),
        (0x41B3DE4355555553, "333333333.3333332"),
        (0xBECBF647612F3696, "-0.0000033333333333333333"),
        (0x43143FF3C1CB0959, "1424953923781206.2"),
    ],
)
def test_numbers_are_those_of_the_specification(bits: int, text: str) -> None:
    """The sample of the RFC itself."""
    (value,) = struct.unpack(">d", bits.to_bytes(8, "big"))

    assert canonical(value) == text.encode()


def test_a_type_that_json_does_not_have_is_refused() -> None:
    """Nothing is written as its repr."""
    for value in (b"bytes", {1: 2}, {"a": {3}}, object()):
        with pytest.raises(ValueError, match=r"this is no JSON|a key of a JSON object"):
            canonical(value)


@given(documents)
def test_what_is_written_is_read(value: object) -> None:
    """The positive control of the test below, by the fast way and by the slow one."""
    raw = spelled_by_the_library(value)
    # A double from 2^53 to 1e21 is written like an integer that no double can hold.
    if raw is not None and spelled_by_the_library(json.loads(raw)) is not None:
        assert canonical(read(raw)) == raw


SPELLINGS = [
    b'{"a": 1}',
    b'{"b":1,"a":2}',
    b'{"a":1,"a":1}',
    b'{"a":1}\n',
    b"[1.0]",
    b"1.0",
    b"[-0]",
    b"[-0.0]",
    b"[1e2]",
    b"[1E+21]",
    b"[1e21]",
    b"[1e-07]",
    b"[0.0000010]",
    b"[1e-05]",
    b"[9007199254740992]",
    b"[NaN]",
    b"[Infinity]",
    b"[1e400]",
    b'["\\u0061"]',
    b'["\\/"]',
    b'["\\u00e9"]',
    b'["\\u001F"]',
    b'["\\ud800"]',
    b'{"\xee\x80\x80":1,"\xf0\x90\x80\x80":2}',
    b"\xef\xbb\xbf[]",
    '["a"]'.encode("utf-16"),
    b"[" * 100_000,
]


@pytest.mark.parametrize("raw", SPELLINGS)
def test_any_other_spelling_is_refused(raw: bytes) -> None:
    """One value has one spelling, or somebody could make two files of one result."""
    with pytest.raises((ValueError, RecursionError)):
        read(raw)


golden = [
    rfc8785.dumps(json.loads((GOLDEN / name).read_text()))
    for name in ("result-scored.json", "result-refused.json")
]


@given(raw=st.sampled_from(golden), start=st.integers(0), cut=st.integers(0, 4), data=st.data())
def test_the_fast_way_says_the_same_as_the_slow_one(
    raw: bytes, start: int, cut: int, data: st.DataObject
) -> None:
    """Bytes replaced anywhere in a result: refused, or the library's own spelling."""
    start %= len(raw)
    patch = data.draw(
        st.binary(max_size=4) | st.text('0123456789eE+-.[]{},:" \\u', max_size=6).map(str.encode)
    )
    altered = raw[:start] + patch + raw[start + cut :]
    try:
        expected = rfc8785.dumps(json.loads(altered)) == altered
    except (ValueError, RecursionError):
        expected = False

    try:
        read(altered)
    except (ValueError, RecursionError):
        assert not expected
    else:
        assert expected

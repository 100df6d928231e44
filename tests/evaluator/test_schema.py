"""The schemas inside the package say what the models say, and are checked to the last word."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from evaluator import jcs
from evaluator.kinds import KINDS, RESULT
from evaluator.log.statements import json_schema as log_schema
from evaluator.log.statements import parse
from evaluator.result import PREDICATE_TYPE, Result, json_schema
from evaluator.schema import check, compiled

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
SCHEMAS = ROOT / "evaluator" / "schemas"
NAMES = sorted(path.name for path in GOLDEN.glob("result-*.json"))
SHA, TIME, RUN = "5" * 64, "2026-11-23T00:00:00Z", "f" * 16
KEYID = "SHA256:" + "A" * 43
PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"

Json = dict[str, Any]


def golden(name: str) -> Json:
    """One of the statements that test_result.py writes."""
    statement: Json = json.loads((GOLDEN / name).read_text())
    return statement


def statement(kind: str, predicate: Json) -> Json:
    """A statement of the log."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "submission", "digest": {"sha256": SHA}}],
        "predicateType": f"https://submission-evaluator.example/{kind}/v1",
        "predicate": predicate,
    }


RECEIPTS = [
    statement(
        "submission-received",
        {
            "number": 7,
            "run": None,
            "vendor": "acme",
            "kind": "onnx",
            "digest_of": "file",
            "phases": "both",
            "recipe": {"sha256": SHA},
            "adapted": None,
            "offer": {"currency": "EUR", "per_km2": "0.25"},
            "received": TIME,
        },
    ),
    statement("run-aborted", {"received": 3, "vendor": "acme", "reason": "killed"}),
    statement(
        "result-withdrawn", {"result": 3, "run": RUN, "vendor": "acme", "reason": "a label é"}
    ),
    statement(
        "key-change",
        {
            "purpose": "result",
            "key": {"keyid": KEYID, "algorithm": "ed25519", "pem": PEM},
            "previous": None,
            "not_before": TIME,
            "reason": None,
        },
    ),
    statement(
        "window-published", {"size": 9, "root": SHA, "closes": "2026-11-23", "early_reason": None}
    ),
]


def test_schemas_are_current() -> None:
    """Those in the package are generated."""
    assert (SCHEMAS / "result.json").read_text() == json_schema()
    assert json.loads((SCHEMAS / "log.json").read_text()) == log_schema()


def test_kinds_are_those_of_the_models() -> None:
    """Who verifies knows the same statements as who makes them."""
    branches = log_schema()["discriminator"]["mapping"]

    assert {*KINDS} == {PREDICATE_TYPE, *branches}
    assert RESULT == PREDICATE_TYPE


@pytest.mark.parametrize("name", NAMES)
def test_genuine_result_fits(name: str) -> None:
    """The positive control of the tests below; everyone else's checker says the same."""
    check("result.json", golden(name))

    Draft202012Validator(json.loads(json_schema())).validate(golden(name))


@pytest.mark.parametrize("receipt", RECEIPTS, ids=lambda each: each["predicateType"].split("/")[3])
def test_genuine_receipt_fits(receipt: Json) -> None:
    """Likewise what else the log has."""
    assert KINDS[receipt["predicateType"]].fits(receipt)
    assert parse(rfc8785.dumps(receipt))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "format": "date"},
        {"type": "string", "minLength": 1},
        {"type": "number", "multipleOf": 2},
        {"type": "string", "pattern": "[a-z]+"},
        {"type": "string", "pattern": r"^a\$"},
        {"type": "object", "properties": {}, "required": []},
        {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": False},
        {"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "null"}},
        {"type": "array", "prefixItems": [{"type": "null"}]},
        {"type": "array", "items": {"type": "null"}, "uniqueItems": True},
        {"anyOf": [{"type": "null"}], "not": {"type": "null"}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "null"}}, "deprecated": True},
        {"type": "number", "gt": 0},
    ],
)
def test_what_is_not_understood_is_never_passed_over(schema: Json) -> None:
    """A keyword that is ignored would be a check that nobody makes."""
    with pytest.raises(ValueError, match="a schema"):
        compiled(schema)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, [0, -1, 2**53 - 1], [True, 1.0, "1", None]),
        ({"type": "number"}, [0, 1.5], [True, "1", None, [1]]),
        ({"type": "boolean"}, [True, False], [0, 1, None]),
        ({"type": "null"}, [None], [False, 0, ""]),
        ({"type": "string", "pattern": "^[a-z]+$"}, ["a"], ["", "a\n", "A", "ab\n", 1]),
        ({"type": "string", "pattern": "^a|b$"}, ["ab", "ax", "xb"], ["x", "b\n"]),
        ({"type": "number", "minimum": 0, "maximum": 1}, [0, 1, 0.5], [-0.1, 1.1]),
        ({"type": "number", "exclusiveMinimum": 0}, [5e-324], [0, -1]),
        ({"type": "string", "enum": ["a", "b"]}, ["a"], ["c", 1]),
        ({"const": "a", "type": "string"}, ["a"], ["b", None]),
        ({"type": "array", "items": {"type": "null"}, "minItems": 1}, [[None]], [[], [1], {}]),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 1}, [[]], [[None] * 2]),
    ],
)
def test_values_are_told_apart(schema: Json, good: list[object], bad: list[object]) -> None:
    """As pydantic's strict mode does: booleans are no numbers, floats no integers."""
    holds = compiled(schema)

    assert all(map(holds, good))
    assert not any(map(holds, bad))


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, 1.0, 0.001, 0.1, 1e-7, "OK", "TIMEOUT", "REFUSED", TIME, "", "a\n"])
    | st.text(max_size=5)
)
values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(st.text(max_size=3), leaves)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401  # JSON
    """Every place in a document, by the keys that lead to it."""
    if not isinstance(value, dict | list):
        return [path]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(each for key, child in inner for each in places(child, (*path, key)))]


def mutated(document: Json, data: st.DataObject) -> Json:
    """The document with one to three values replaced, moved, removed or added."""
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(places(document)[1:]))
        holder: Any = document
        for key in parents:
            holder = holder[key]
        act = data.draw(st.sampled_from(["replace", "copy", "remove", "add", "nudge"]))
        if act == "remove":
            del holder[last]
        elif act == "add" and isinstance(holder, dict):
            holder[data.draw(st.text(max_size=3) | st.sampled_from(["task", "charge"]))] = None
        elif act == "nudge" and isinstance(holder[last], int | float):
            holder[last] += data.draw(st.sampled_from([1, -1, 0.5, 0.1, 1e-6, 1e-7]))
        elif act == "copy":
            source: Any = document
            for key in data.draw(st.sampled_from(places(document)[1:])):
                source = source[key]
            holder[last] = json.loads(json.dumps(source))
        else:
            holder[last] = data.draw(values)
    return document


def accepted(parser: Callable[[bytes], object], payload: bytes) -> bool:
    """Whether the models take it."""
    try:
        parser(payload)
    except ValidationError:
        return False
    return True


@given(data=st.data(), name=st.sampled_from(NAMES))
def test_a_result_fits_exactly_where_the_models_take_it(data: st.DataObject, name: str) -> None:
    """Any result, altered anyhow: pydantic and what runs without it say the same."""
    try:
        payload = rfc8785.dumps(mutated(golden(name), data))
        document = jcs.read(payload)
    except ValueError:
        return  # it cannot be written, so it cannot be signed

    fits = isinstance(document, dict) and KINDS[RESULT].fits(document)

    assert fits == accepted(Result.parse, payload)


@given(data=st.data(), receipt=st.sampled_from(RECEIPTS))
def test_a_receipt_fits_exactly_where_the_models_take_it(
    data: st.DataObject, receipt: Json
) -> None:
    """The same of what else the log has."""
    try:
        payload = rfc8785.dumps(mutated(json.loads(json.dumps(receipt)), data))
        document = jcs.read(payload)
    except ValueError:
        return
    kind = document.get("predicateType")
    known = isinstance(kind, str) and kind in KINDS and kind != RESULT

    fits = known and KINDS[kind].fits(document)

    assert fits == accepted(parse, payload)

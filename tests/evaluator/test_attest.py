"""A signed verdict says what was asked, and is signed like a result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from evaluator.attest import attested, statement
from evaluator.bundle import load_public_key, open_bundle
from evaluator.errors import VerificationError
from evaluator.signing import generate_key, load_key
from tests.helpers.verdicts import BAD, DIGEST, GOOD, WAIVED

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_the_standard_predicate() -> None:
    """Subject, result, configuration and three lists of tests."""
    said = statement(BAD)

    assert said["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert said["subject"] == [{"name": "submission", "digest": {"sha256": DIGEST}}]
    predicate = said["predicate"]
    assert predicate["result"] == "FAILED"
    assert predicate["failedTests"] == ["EVA103 rule-of-103"]
    assert predicate["warnedTests"] == ["EVA211 rule-of-211"]
    assert predicate["passedTests"] == ["EVA104 rule-of-104", "EVA340 rule-of-340"]
    assert [each["name"] for each in predicate["configuration"]] == [
        "challenge.json",
        "policies/sandbox.toml",
        "policies/admission.toml",
    ]


def test_a_good_one_passes_and_a_waived_one_does_not_fail() -> None:
    """What is waived is not hidden: it is among the warnings."""
    assert statement(GOOD)["predicate"]["result"] == "PASSED"
    waived = statement(WAIVED)["predicate"]
    assert (waived["result"], waived["warnedTests"]) == ("PASSED", ["EVA211 rule-of-211"])


def test_its_signature_holds_and_an_altered_byte_does_not(tmp_path: Path) -> None:
    """By the same code that opens results."""
    generate_key(tmp_path / "key.pem", tmp_path / "key.pub")
    bundle = attested(BAD, load_key(tmp_path / "key.pem"))
    key = load_public_key((tmp_path / "key.pub").read_bytes())

    assert json.loads(open_bundle(bundle, key)) == statement(BAD)
    with pytest.raises(VerificationError):
        open_bundle(bundle.replace(b'"payload":"ey', b'"payload":"eX'), key)

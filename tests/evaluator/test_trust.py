"""The trust file: one spelling, and nothing in it that could not have been meant."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from evaluator.bundle import fingerprint
from evaluator.errors import OwnerError
from evaluator.log.note import COSIGNATURE, NoteSigner
from evaluator.trust import Trust, TrustedKey, dump_trust, load_trust
from tests.helpers.logged import ORIGIN, Farm

if TYPE_CHECKING:
    from collections.abc import Callable

FARM = Farm()
YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def another_key(**times: datetime) -> TrustedKey:
    """A key of the other kind."""
    public = Ed25519PrivateKey.generate().public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return TrustedKey(fingerprint(public), pem, **{"not_before": YEAR, **times})


def whole() -> Trust:
    """Every field there is."""
    ends = {"not_after": datetime(2026, 6, 1, tzinfo=UTC), "compromised": YEAR.replace(month=5)}
    return replace(FARM.trust, keys=(another_key(**ends), *FARM.trust.keys))


@pytest.mark.parametrize(
    "trust", [FARM.trust, whole(), replace(FARM.trust, witnesses=(), quorum=0)]
)
def test_a_trust_file_is_read_as_it_was_written(trust: Trust) -> None:
    """The positive control of every test below: the same values, and from them the same bytes."""
    raw = dump_trust(trust)

    assert load_trust(raw) == trust
    assert dump_trust(load_trust(raw)) == raw
    assert trust.origin == ORIGIN


def test_a_trust_file_is_the_toml_that_is_documented() -> None:
    """Anyone's TOML parser reads it, with times as times."""
    document = tomllib.loads(dump_trust(whole()).decode())

    assert {*document} == {"version", "origin", "log", "quorum", "key", "witness"}
    ended, current = document["key"]
    assert {*current} == {"keyid", "purpose", "pem", "not_before"}
    assert {*ended} - {*current} == {"not_after", "compromised"}
    assert ended["not_after"] == datetime(2026, 6, 1, tzinfo=UTC)
    assert [*document["witness"][0]] == ["vkey"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version = 1", "version = 2"),
        ("version = 1", "version = true"),
        ("version = 1\n", ""),
        ("quorum = 1", "quorum = 4"),
        ("quorum = 1", "quorum = -1"),
        ("quorum = 1", "quorum = 1.0"),
        ("quorum = 1", "quorum = true"),
        ("quorum = 1", "quorum = 1\nthreshold = 2"),
        (f'origin = "{ORIGIN}"', 'origin = "log.example/other"'),
        (f'log = "{ORIGIN}', 'log = "log.example/other'),
        ('purpose = "result"', 'purpose = "log"'),
        ('purpose = "result"\n', ""),
        ('purpose = "result"', 'purpose = "result"\nnote = "x"'),
        ("not_before = 2026-01-01T00:00:00Z", "not_before = 2026-01-01"),
        ("not_before = 2026-01-01T00:00:00Z", "not_before = 2026-01-01T00:00:00"),
        ("not_before = 2026-01-01T00:00:00Z", "not_before = 2026-01-01T00:00:00.5Z"),
        ("not_before = 2026-01-01T00:00:00Z", "not_before = 2026-01-01T00:00:00+01:00"),
        ("not_before = 2026-01-01T00:00:00Z", 'not_before = "2026-01-01T00:00:00Z"'),
        ("not_before = 2026-01-01T00:00:00Z\n", ""),
        ("not_before = 2026-01-01T00:00:00Z", "not_before = 2026-07-01T00:00:00Z"),
        ('keyid = "SHA256:', 'keyid = "SHA256:x'),
        ("BEGIN PUBLIC KEY", "BEGIN CERTIFICATE"),
        ("-----BEGIN PUBLIC", "a note\n-----BEGIN PUBLIC"),
        ('vkey = "w0.example', 'vkey = "w1.example'),
        ('vkey = "', 'weight = 2\nvkey = "'),
        ("[[key]]", "[[keys]]"),
        ("[[key]]", "[key]"),
        ("[[witness]]", "[witness]"),
        ("quorum = 1", "quorum = "),
    ],
)
def test_a_file_that_could_not_be_meant_is_refused(old: str, new: str) -> None:
    """Unknown fields too: what is not understood may have been the important part."""
    text = dump_trust(whole()).decode()
    assert old in text

    with pytest.raises(OwnerError, match="trust file"):
        load_trust(text.replace(old, new, 1).encode())


@pytest.mark.parametrize(
    "make",
    [
        lambda trust: replace(trust, keys=()),
        lambda trust: replace(trust, keys=trust.keys * 2),
        lambda trust: replace(trust, witnesses=trust.witnesses[:1] * 2),
        lambda trust: replace(trust, witnesses=(trust.log,)),
        lambda trust: replace(trust, log=trust.witnesses[0]),
        lambda trust: replace(
            trust,
            witnesses=(
                *trust.witnesses,
                NoteSigner("alias.example", FARM.witnesses[0].private, COSIGNATURE).verifier,
            ),
        ),
    ],
    ids=["no-key", "key-twice", "witness-twice", "log-as-witness", "witness-as-log", "alias"],
)
def test_keys_that_stand_in_the_wrong_place_are_refused(make: Callable[[Trust], Trust]) -> None:
    """One witness under two names would be a quorum of its own."""
    with pytest.raises(OwnerError, match="trust file"):
        load_trust(dump_trust(make(FARM.trust)))


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_refused_in_words(raw: bytes) -> None:
    """A stranger's file raises OwnerError and nothing else."""
    with pytest.raises(OwnerError):
        load_trust(raw)


@given(start=st.integers(0), cut=st.integers(0, 9), patch=st.binary(max_size=6))
def test_any_edit_is_read_or_refused_in_words(start: int, cut: int, patch: bytes) -> None:
    """Bytes replaced anywhere: other values of the same spelling, or OwnerError alone."""
    raw = dump_trust(whole())
    start %= len(raw)
    try:
        trust = load_trust(raw[:start] + patch + raw[start + cut :])
    except OwnerError:
        return

    assert load_trust(dump_trust(trust)) == trust

"""Steps 13 to 15 of verification: a result stands in the log, seen, and its key was valid then."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from evaluator.bundle import envelope_of, fingerprint
from evaluator.errors import OwnerError, VerificationError
from evaluator.merkle import leaf_hash
from evaluator.trust import TrustedKey
from evaluator.verify import verify
from tests.helpers.logged import KEYID, ORIGIN, PUBLIC, RELEASED, SEEN, Farm, golden, signed

if TYPE_CHECKING:
    from typing import Any

FARM = Farm()
BUNDLE = FARM.bundles[0]
PROOF = FARM.proof()
SECOND = timedelta(seconds=1)


def test_a_result_in_the_log_is_proven() -> None:
    """The positive control of every test below: where it is, under which root, who saw it when."""
    verified = verify(BUNDLE, FARM.trust, PROOF)

    assert verified.logged is not None
    assert (verified.logged.origin, verified.logged.index, verified.logged.size) == (ORIGIN, 9, 10)
    assert verified.logged.witnesses == (("w0.example", SEEN),)
    assert (verified.valid_at, verified.witnessed) == (SEEN, True)
    assert verified.leaf == leaf_hash(envelope_of(BUNDLE))


def test_without_a_proof_the_key_is_held_to_the_results_own_time() -> None:
    """And it is said whose word that is."""
    verified = verify(BUNDLE, FARM.trust)

    assert (verified.logged, verified.valid_at, verified.witnessed) == (None, RELEASED, False)


def test_a_key_alone_has_no_times() -> None:
    """Whoever gives a key vouches for it himself."""
    assert verify(BUNDLE, PUBLIC).valid_at is None
    with pytest.raises(OwnerError, match="--trust"):
        verify(BUNDLE, PUBLIC, PROOF)


@given(index=st.integers(0), flip=st.integers(1, 255))
def test_any_flipped_byte_of_a_proof_is_found(index: int, flip: int) -> None:
    """Whichever byte changes: refused. The one cosignature is needed, so it counts as well."""
    altered = bytearray(PROOF)
    altered[index % len(altered)] ^= flip

    with pytest.raises(VerificationError):
        verify(BUNDLE, FARM.trust, bytes(altered))


@given(index=st.integers(0), flip=st.integers(1, 255))
def test_any_flipped_byte_of_a_result_is_found(index: int, flip: int) -> None:
    """As without a log, with its own error only, whichever key the bytes name then."""
    altered = bytearray(BUNDLE)
    altered[index % len(altered)] ^= flip

    with pytest.raises(VerificationError):
        verify(bytes(altered), FARM.trust, PROOF)


def test_a_genuine_proof_of_another_entry_is_refused() -> None:
    """Both are in the log, and neither proof proves the other."""
    other = golden()
    other["predicate"]["run"] = "0" * 16
    farm = Farm([BUNDLE, signed(other)])

    assert verify(farm.bundles[1], farm.trust, farm.proof(1))
    with pytest.raises(VerificationError, match="Step 13"):
        verify(farm.bundles[1], farm.trust, farm.proof(0))


def test_a_forked_log_is_refused() -> None:
    """Another tree by the log's own key: the witness did not sign it, whatever it signed else."""
    fork = replace(FARM, before=11)
    stolen = PROOF.rsplit(b"\n", 2)[1] + b"\n"  # the cosignature of the true checkpoint

    assert verify(BUNDLE, replace(FARM.trust, quorum=0), fork.proof(seen=()))
    with pytest.raises(VerificationError, match="Step 13"):
        verify(BUNDLE, FARM.trust, fork.proof(seen=()))
    with pytest.raises(VerificationError, match="Step 13"):
        verify(BUNDLE, FARM.trust, fork.proof(seen=()) + stolen)


def test_another_log_is_refused() -> None:
    """Of another key, and of another name by the same key."""
    with pytest.raises(VerificationError, match="Step 13"):
        verify(BUNDLE, FARM.trust, replace(FARM, log_key=Farm().log_key).proof())
    renamed = replace(FARM, origin="log.example/another")
    with pytest.raises(VerificationError, match="Step 13"):
        verify(BUNDLE, FARM.trust, renamed.proof())
    # Trusted, but not the log that the result says it is in.
    with pytest.raises(VerificationError, match="Step 14"):
        verify(BUNDLE, renamed.trust, renamed.proof())


def test_a_result_before_its_own_submission_is_refused() -> None:
    """It says which entry its submission is, and that is an earlier one."""
    received = golden()["predicate"]["log"]["received"]
    late, early = replace(FARM, before=received + 1), replace(FARM, before=received)

    assert verify(BUNDLE, late.trust, late.proof())
    with pytest.raises(VerificationError, match="Step 14"):
        verify(BUNDLE, early.trust, early.proof())


def test_too_few_witnesses_are_refused() -> None:
    """Two of three are asked for."""
    trust = replace(FARM.trust, quorum=2)

    assert verify(BUNDLE, trust, FARM.proof(seen=(SEEN, SEEN)))
    with pytest.raises(VerificationError, match="2 are needed"):
        verify(BUNDLE, trust, FARM.proof(seen=(SEEN,)))


def test_one_witness_of_a_quorum_cannot_date_a_result_back() -> None:
    """The time is when as many as must be had seen it: one liar among them changes nothing."""
    seen = (RELEASED - timedelta(days=99), SEEN, SEEN + SECOND)

    first = verify(BUNDLE, FARM.trust, FARM.proof(seen=seen))
    second = verify(BUNDLE, replace(FARM.trust, quorum=2), FARM.proof(seen=seen))

    assert (first.valid_at, second.valid_at) == (seen[0], SEEN)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"not_before": SEEN}, True),
        ({"not_before": SEEN + SECOND}, False),
        ({"not_after": SEEN}, True),
        ({"not_after": SEEN - SECOND}, False),
        ({"compromised": SEEN + SECOND}, True),
        ({"compromised": SEEN}, False),
    ],
)
def test_a_key_is_held_to_when_witnesses_had_seen_its_result(
    *, changes: dict[str, Any], good: bool
) -> None:
    """To the second; the result itself was released an hour before, when each key was valid."""
    trust = FARM.trusting(**changes)
    if good:
        assert verify(BUNDLE, trust, PROOF).valid_at == SEEN
    else:
        with pytest.raises(VerificationError, match="Step 15"):
            verify(BUNDLE, trust, PROOF)


@pytest.mark.parametrize("proof", [None, FARM.proof(seen=())], ids=["no-proof", "no-witness"])
@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"not_after": RELEASED}, True),
        ({"not_after": RELEASED - SECOND}, False),
        ({"not_before": RELEASED + SECOND}, False),
        ({"compromised": RELEASED + SECOND}, True),
        ({"compromised": RELEASED}, False),
    ],
)
def test_without_witnesses_a_key_is_held_to_the_release(
    *, changes: dict[str, Any], good: bool, proof: bytes | None
) -> None:
    """The only time that there is then."""
    trust = replace(FARM.trusting(**changes), quorum=0)
    if good:
        assert not verify(BUNDLE, trust, proof).witnessed
    else:
        with pytest.raises(VerificationError, match=r"Step 15.*it says itself"):
            verify(BUNDLE, trust, proof)


def test_a_key_that_is_not_trusted_is_refused() -> None:
    """Nor does a forger's key become the owner's by the owner's name."""
    forger = ec.generate_private_key(ec.SECP256R1())
    public = forger.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = signed(golden(), forger)

    with pytest.raises(VerificationError, match="Step 4"):
        verify(forged, FARM.trust)
    renamed = forged.replace(fingerprint(forger.public_key()).encode(), KEYID.encode())
    with pytest.raises(VerificationError, match="Step 6"):
        verify(renamed, FARM.trust)
    both = (*FARM.trust.keys, TrustedKey(fingerprint(forger.public_key()), public, RELEASED))
    assert verify(forged, replace(FARM.trust, keys=both))


def receipt(kind: str, predicate: dict[str, Any]) -> dict[str, Any]:
    """Another statement of the log."""
    base = "https://submission-evaluator.example"
    return golden() | {"predicateType": f"{base}/{kind}/v1", "predicate": predicate}


RECEIVED = receipt(
    "submission-received",
    {
        "number": 7,
        "run": None,
        "vendor": "acme",
        "kind": "onnx",
        "digest_of": "file",
        "phases": "both",
        "recipe": None,
        "adapted": None,
        "offer": None,
        "received": "2026-11-22T10:00:00Z",
    },
)
ABORTED = receipt("run-aborted", {"received": 3, "vendor": "acme", "reason": "killed"})
WITHDRAWN = receipt(
    "result-withdrawn", {"result": 3, "run": "f" * 16, "vendor": "acme", "reason": "wrong labels"}
)


@pytest.mark.parametrize("statement", [RECEIVED, ABORTED, WITHDRAWN])
def test_a_receipt_is_proven_likewise(statement: dict[str, Any]) -> None:
    """What a vendor gets besides results; altered, it is nothing."""
    farm = Farm([signed(statement)])

    assert verify(farm.bundles[0], farm.trust, farm.proof()).statement == statement
    assert verify(farm.bundles[0], PUBLIC).statement == statement
    altered = statement | {"predicate": statement["predicate"] | {"vendor": "emca"}}
    old, new = (b64encode(rfc8785.dumps(each)) for each in (statement, altered))
    with pytest.raises(VerificationError, match="Step 6"):
        verify(farm.bundles[0].replace(old, new), PUBLIC)


def test_a_receipt_has_its_own_time_or_none() -> None:
    """An abort states none: without witnesses only a key that was stolen speaks against it."""
    received, aborted = signed(RECEIVED), signed(ABORTED)
    moment = datetime(2026, 11, 22, 10, tzinfo=UTC)

    assert verify(received, FARM.trust).valid_at == moment
    assert verify(aborted, FARM.trusting(not_after=moment)).valid_at is None
    with pytest.raises(VerificationError, match="Step 15"):
        verify(aborted, FARM.trusting(compromised=moment))


@pytest.mark.parametrize(("statement", "field"), [(ABORTED, "received"), (WITHDRAWN, "result")])
def test_a_receipt_comes_after_what_it_refers_to(statement: dict[str, Any], field: str) -> None:
    """Nothing ends before it was received, or is withdrawn before it was there."""
    position = statement["predicate"][field]
    late, early = (Farm([signed(statement)], before=position + more) for more in (1, 0))

    assert verify(late.bundles[0], late.trust, late.proof())
    with pytest.raises(VerificationError, match="Step 14"):
        verify(early.bundles[0], early.trust, early.proof())

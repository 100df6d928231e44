"""Verify a result or a receipt offline, with the owner's public key and nothing else.

    verify(bundle, public_key)            who signed it, and that it adds up
    verify(bundle, trust, proof)          that the key was valid, and where the log has it

`python -m evaluator.verify RESULT` does so where nothing but `cryptography` is installed: this
module and all that it imports need no more. What was proven in words: `evaluator.proven`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator import jcs
from evaluator.bundle import (
    SIZE_CAP,
    PublicKey,
    envelope_of,
    fingerprint,
    load_public_key,
    named_key,
    open_bundle,
)
from evaluator.errors import EvaluatorError, OwnerError, VerificationError
from evaluator.kinds import KINDS
from evaluator.log.note import open_note
from evaluator.log.proof import parse_proof, verify_proof
from evaluator.trust import Trust, TrustedKey, load_trust

if TYPE_CHECKING:
    from evaluator.result import Result

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Logged:
    """Where the log has the statement, and which witnesses had seen it by when (UTC)."""

    origin: str
    index: int
    size: int
    root: bytes
    witnesses: tuple[tuple[str, datetime], ...]
    quorum_at: datetime | None


@dataclass(frozen=True, slots=True)
class Verified:
    """A statement whose every step held.

    `keyid` is the fingerprint of the key that signed it and `pem` that key. `logged` is None
    without a proof. The key was `valid_at` a moment that `witnessed` says whose word it is: that
    of the witnesses, or the statement's own; None where the key was only given, or no time is
    known.
    """

    statement: Json
    payload: bytes
    keyid: str
    pem: bytes
    leaf: bytes
    logged: Logged | None = None
    valid_at: datetime | None = None
    witnessed: bool = False

    @property
    def predicate(self) -> Json:
        """What the statement says of its subject."""
        found: Json = self.statement["predicate"]
        return found

    @property
    def kind(self) -> str:
        """What kind of statement it is: the predicate's type."""
        return str(self.statement["predicateType"])

    @property
    def result(self) -> Result:
        """The result by its models, where pydantic is installed and it is one."""
        from evaluator.result import Result  # noqa: PLC0415  # needed by none who verifies

        return Result.parse(self.payload)


def verify(raw: bytes, believed: bytes | Trust, proof: bytes | None = None) -> Verified:
    """Return the statement in the bundle `raw` if it was signed, adds up, and stands in the log.

    `believed` is the signer's public key as PEM, or a trust file's values; `proof` is the
    statement's .tlog-proof, for which there must be the latter.

    1 to 6. The bundle: see `evaluator.bundle.open_bundle`.
    7. The payload is RFC 8785: the one spelling of what it says.
    8. It is a statement of a known kind by its schema, and its parts agree.
    9 to 12. What it says adds up: see `evaluator.arithmetic` for a result.
    13. The log has it: see `evaluator.log.proof.verify_proof`, which counts witnesses too.
    14. It was in that log, after what it refers to.
    15. Its key was valid when a quorum of witnesses had seen it; without them, at its own time.

    Raises VerificationError naming the step that failed.
    """
    # Steps 1 to 6
    trusted = trusted_key(raw, believed) if isinstance(believed, Trust) else None
    pem = trusted.pem if trusted else bytes(believed)  # type: ignore[arg-type]  # PEM where not Trust
    key, keyid = _opened(pem)
    payload = open_bundle(raw, key)
    # Steps 7 to 12
    statement = read_statement(payload)
    envelope = envelope_of(raw)
    leaf = hashlib.sha256(b"\0" + envelope).digest()
    if trusted is None or not isinstance(believed, Trust):
        if proof is not None:
            raise OwnerError(
                "A log proof is checked by the keys of the log and its witnesses: give --trust."
            )
        return Verified(statement, payload, keyid, pem, leaf)
    # Steps 13 and 14
    logged = _logged(statement, envelope, believed, proof) if proof is not None else None
    # Step 15
    witnessed = logged.quorum_at if logged else None
    at = witnessed or _own_time(statement)
    _require_valid(trusted, at, "its witnesses had seen it" if witnessed else "it says itself")
    return Verified(statement, payload, keyid, pem, leaf, logged, at, witnessed is not None)


@lru_cache(1 << 6)  # a board reads 100,000 statements by a few keys
def _opened(pem: bytes) -> tuple[PublicKey, str]:
    key = load_public_key(pem)
    return key, fingerprint(key)


def trusted_key(raw: bytes, trust: Trust) -> TrustedKey:
    """Return the trusted key that the bundle names; that it has signed is proven by step 6.

    Raises VerificationError where the bundle is none, or names a key that is not trusted.
    """
    key = trust.key(named_key(raw))
    if key is None:
        raise VerificationError(
            "Step 4, key: the result names a key that the trust file does not. "
            "Ask the data owner which key signed it, and over which channel you can trust."
        )
    return key


def read_statement(payload: bytes) -> Json:
    """Return what was signed if it is a statement that adds up: steps 7 to 12 of `verify`.

    Raises VerificationError naming the step.
    """
    try:
        statement = jcs.read(payload)
    except (ValueError, RecursionError) as error:
        raise VerificationError(
            "Step 7, payload: what was signed is not strict JSON in RFC 8785 form."
        ) from error
    name = statement.get("predicateType") if isinstance(statement, dict) else None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None or not kind.fits(statement):
        raise VerificationError(
            "Step 8, schema: what was signed is no result, and no other statement of this "
            "program. It may be of another kind, or from a later version."
        )
    kind.require_sums(statement["predicate"])
    found: Json = statement
    return found


def _logged(statement: Json, envelope: bytes, trust: Trust, proof: bytes) -> Logged:
    try:
        proven = verify_proof(proof, envelope, trust.log, trust.witnesses, trust.quorum)
    except VerificationError as error:
        raise VerificationError(f"Step 13, log: {error}") from error
    checkpoint = proven.checkpoint
    kind = KINDS[statement["predicateType"]]
    after, origin = kind.refers_to(statement["predicate"])
    if after >= proven.index or origin not in {None, checkpoint.origin}:
        raise VerificationError(
            "Step 14, log: the statement refers to a later entry than itself, or to another log."
        )
    opened = open_note(parse_proof(proof).note, [trust.log, *trust.witnesses])
    seen = sorted(
        (_utc(signature.timestamp), signature.key.name)
        for signature in opened.signatures
        if signature.timestamp is not None
    )
    # Those who came before it may be wrong together: they are fewer than the quorum.
    reached = proven.timestamps[max(trust.quorum, 1) - 1] if proven.timestamps else None
    return Logged(
        checkpoint.origin,
        proven.index,
        checkpoint.size,
        checkpoint.root,
        tuple((name, at) for at, name in seen),
        None if reached is None else _utc(reached),
    )


def _utc(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise VerificationError("Step 13, log: a witness states an impossible time.") from error


def _own_time(statement: Json) -> datetime | None:
    """When the statement says that it was made or released; None where it does not."""
    text = KINDS[statement["predicateType"]].own_time(statement["predicate"])
    return None if text is None else datetime.fromisoformat(text)


def _require_valid(key: TrustedKey, at: datetime | None, whose: str) -> None:
    """Step 15; of a statement without any time only that its key was never in other hands."""
    if at is None:
        if key.compromised:
            raise VerificationError(
                "Step 15, key: its key fell into other hands, and no witness says that this was "
                "signed before. Ask for a log proof with cosignatures."
            )
        return
    if at < key.not_before or (key.not_after and at > key.not_after):
        raise VerificationError(
            f"Step 15, key: {key.keyid} was not valid on {at:%Y-%m-%d %H:%M:%S} UTC, when {whose}."
        )
    if key.compromised and at >= key.compromised:
        raise VerificationError(
            f"Step 15, key: {key.keyid} may have been in other hands on {at:%Y-%m-%d %H:%M:%S} "
            f"UTC, when {whose}."
        )


def read_bounded(path: Path) -> bytes:
    """Return a file, or as much of it as shows that it is larger than any of ours."""
    try:
        with path.open("rb") as file:
            return file.read(SIZE_CAP + 1)
    except OSError as error:
        raise OwnerError(f"{path} cannot be read ({error.strerror}).") from error


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m evaluator.verify`: 0 where all held, 4 where not, 2 for a wrong use."""
    from evaluator.proven import sentences  # noqa: PLC0415  # it needs this module
    from evaluator.shell_lines import commands  # noqa: PLC0415  # likewise

    parser = argparse.ArgumentParser(
        prog="python -m evaluator.verify",
        description="Check who signed RESULT, that it adds up, and that the log has it.",
    )
    parser.add_argument("result", type=Path, help="RUN.sigstore.json or a receipt")
    parser.add_argument("--proof", type=Path, help="its .tlog-proof")
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--trust", type=Path, help="the owner's trust.toml")
    whom.add_argument("--key", type=Path, help="the owner's public key (PEM) alone")
    given = parser.parse_args(arguments)
    try:
        believed = load_trust(read_bounded(given.trust)) if given.trust else read_bounded(given.key)
        proof = read_bounded(given.proof) if given.proof else None
        verified = verify(read_bounded(given.result), believed, proof)
    except EvaluatorError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 4 if isinstance(error, VerificationError) else 2
    lines = [*sentences(verified), *commands(verified, given.result, given.key)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

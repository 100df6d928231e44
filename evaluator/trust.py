"""Whom to believe: the owner's keys and when they were valid, the log, and its witnesses.

    load_trust(raw)      the values of a trust.toml, or OwnerError
    dump_trust(trust)    and back: one spelling for the same values

The owner publishes the file, and a reader keeps the copy that came over a channel he trusts.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evaluator.bundle import fingerprint, load_public_key
from evaluator.errors import OwnerError, VerificationError
from evaluator.log.note import COSIGNATURE, ED25519, parse_vkey

if TYPE_CHECKING:
    from evaluator.log.note import VerifierKey

VERSION = 1
PURPOSE = "result"


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key that signs results, as PEM, from one moment (UTC) to another.

    Without `not_after` it is still in use. From `compromised` on somebody else may have had it.
    """

    keyid: str
    pem: bytes
    not_before: datetime
    not_after: datetime | None = None
    compromised: datetime | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """What a trust.toml says; `quorum` of the witnesses must have seen what is believed."""

    log: VerifierKey
    keys: tuple[TrustedKey, ...]
    witnesses: tuple[VerifierKey, ...] = ()
    quorum: int = 0

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.log.name

    def key(self, keyid: str) -> TrustedKey | None:
        """Return the key of this fingerprint, or None."""
        return next((key for key in self.keys if key.keyid == keyid), None)


def load_trust(raw: bytes) -> Trust:
    """Return what a trust file says; OwnerError where it is not exactly as it must be."""
    try:
        document = tomllib.loads(raw.decode())
        trust = _trust(document)
        _require_sound(trust)
    except VerificationError as error:  # of a key in it
        raise OwnerError(f"The trust file is not as it must be. {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OwnerError(
            "The trust file is not as it must be: TOML with version, origin, log, quorum, a "
            "[[key]] for each key of the owner and a [[witness]] for each witness. Get the owner's "
            "again."
        ) from error
    if trust.origin != document["origin"]:
        raise OwnerError("The trust file's `log` is not the key of its `origin`.")
    return trust


def dump_trust(trust: Trust) -> bytes:
    """Return the trust file: the same bytes for the same values."""
    lines = [
        f"version = {VERSION}",
        f"origin = {json.dumps(trust.origin)}",
        f"log = {json.dumps(str(trust.log))}",
        f"quorum = {trust.quorum}",
    ]
    for key in trust.keys:
        lines += [
            "",
            "[[key]]",
            f"keyid = {json.dumps(key.keyid)}",
            f"purpose = {json.dumps(PURPOSE)}",
            f'pem = """\n{key.pem.decode()}"""',
            f"not_before = {_stamp(key.not_before)}",
        ]
        lines += [
            f"{name} = {_stamp(at)}"
            for name, at in (("not_after", key.not_after), ("compromised", key.compromised))
            if at
        ]
    for witness in trust.witnesses:
        lines += ["", "[[witness]]", f"vkey = {json.dumps(str(witness))}"]
    return ("\n".join(lines) + "\n").encode()


def _trust(document: dict[str, Any]) -> Trust:
    if {*document} - {"key", "witness"} != {"version", "origin", "log", "quorum"}:
        raise ValueError("a field is missing, or is not known")
    if type(document["version"]) is not int or document["version"] != VERSION:
        raise OwnerError(
            "The trust file is of another version than this program knows. Update the program."
        )
    if type(document["quorum"]) is not int:
        raise ValueError("the quorum is a whole number")
    return Trust(
        log=parse_vkey(document["log"]),
        keys=tuple(_key(dict(each)) for each in document.get("key", ())),
        witnesses=tuple(_witness(**each) for each in document.get("witness", ())),
        quorum=document["quorum"],
    )


def _witness(vkey: str) -> VerifierKey:
    return parse_vkey(vkey)


def _key(fields: dict[str, Any]) -> TrustedKey:
    if fields.pop("purpose") != PURPOSE:
        raise ValueError("a key is there to sign results")
    times = {
        name: _time(fields.pop(name))
        for name in ("not_before", "not_after", "compromised")
        if name in fields
    }
    return TrustedKey(keyid=fields.pop("keyid"), pem=fields.pop("pem").encode(), **times, **fields)


def _time(value: Any) -> datetime:  # noqa: ANN401  # anything TOML can say
    if not isinstance(value, datetime) or value.utcoffset() != timedelta(0) or value.microsecond:
        raise ValueError("a time is in whole seconds of UTC, as 2030-12-31T00:00:00Z")
    return value.astimezone(UTC)


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _require_sound(trust: Trust) -> None:
    """Raise OwnerError where the values could not have been meant."""
    for key in trust.keys:
        public = load_public_key(key.pem)
        spelled = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        if fingerprint(public) != key.keyid or spelled != key.pem:
            raise OwnerError(f"The trust file's key {key.keyid} is not the key beside that name.")
        if key.not_after and key.not_after < key.not_before:
            raise OwnerError(f"The trust file's key {key.keyid} ends before it begins.")
    if not trust.keys or len({key.keyid for key in trust.keys}) < len(trust.keys):
        raise OwnerError("The trust file names no key, or one twice.")
    if trust.log.algorithm != ED25519 or not str(trust.log).isprintable():
        raise OwnerError("The trust file's `log` is not the Ed25519 key of a log.")
    if any(witness.algorithm != COSIGNATURE for witness in trust.witnesses):
        raise OwnerError("The trust file names a witness by a key that makes no cosignatures.")
    counted = min(
        len({each.name for each in trust.witnesses}), len({each.public for each in trust.witnesses})
    )
    if counted < len(trust.witnesses) or not 0 <= trust.quorum <= counted:
        raise OwnerError(
            "The trust file's quorum is larger than the number of its witnesses, or a witness "
            "stands in it twice: who counts twice is no second witness."
        )

"""The file a result travels in: a Sigstore bundle around one DSSE envelope.

This half of verification needs `cryptography` and nothing else. It says who signed which
bytes; `evaluator.verify` says what the bytes mean.

    bundle     https://docs.sigstore.dev/about/bundle/, version 0.3
    envelope   https://github.com/secure-systems-lab/dsse, protocol 1.0.2

The key is named by its SSH fingerprint, and the bundle's hint repeats it. cosign skips a
signature whose keyid is any other string, and then reports that it found none.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from evaluator.errors import VerificationError

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
SIZE_CAP = 1 << 20
"""Bytes; a result of 255 classes is below a tenth of this."""

PublicKey = EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Contents:
    """What a bundle says, before any of it is believed."""

    payload: bytes
    signature: bytes
    keyid: str
    hint: str


def load_public_key(pem: bytes) -> PublicKey:
    """Return the P-256 or Ed25519 public key in `pem`; VerificationError for anything else."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise VerificationError(
            "The public key is not a PEM file of a public key (it should begin with "
            "-----BEGIN PUBLIC KEY-----). Ask the data owner for keys/signing.pub."
        ) from error
    if isinstance(key, Ed25519PublicKey):
        return key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    raise VerificationError(
        "The public key is neither P-256 nor Ed25519: no result has such a key."
    )


def fingerprint(key: PublicKey) -> str:
    """Return the key's SSH fingerprint, `SHA256:` and unpadded base64, as ssh-keygen -l does."""
    if isinstance(key, Ed25519PublicKey):
        parts = [b"ssh-ed25519", key.public_bytes_raw()]
    else:
        point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        parts = [b"ecdsa-sha2-nistp256", b"nistp256", point]
    # RFC 4253, section 6.6, and RFC 5656, section 3.1: each part after its length.
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def pae(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: the bytes that are signed."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode(payload: bytes, signature: bytes, keyid: str) -> bytes:
    """Return the bundle: the only bytes by which this program writes these three values."""
    document = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": keyid}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
        },
    }
    return _compact(document)


def envelope_of(bundle: bytes) -> bytes:
    """Return the RFC 8785 bytes of a bundle's envelope, which is what the log holds.

    `jq -cSj .dsseEnvelope` prints the same. The bundle is one that `open_bundle` has opened.
    """
    return _compact(json.loads(bundle)["dsseEnvelope"])


def bundle_of(envelope: bytes) -> bytes:
    """Return the bundle around an envelope, as it was before `envelope_of`.

    Raises VerificationError where it is no envelope of one signature; nothing is believed of it
    before `open_bundle`.
    """
    found = _contents(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": keyid_of(envelope)}},
            "dsseEnvelope": _strict_json(envelope),
        }
    )
    return encode(found.payload, found.signature, found.keyid)


def open_envelope(envelope: bytes, keys: Mapping[str, PublicKey]) -> tuple[str, bytes]:
    """Return who signed an envelope, and what, if it is one of `keys`, given by fingerprint.

    Steps 1 to 6 of `open_bundle` without a bundle, which is four times as fast: who makes a
    leaderboard opens 200,000. Raises VerificationError.
    """
    try:
        document = json.loads(envelope[: SIZE_CAP + 1])
        (signed,) = document["signatures"]
        keyid, payload = signed["keyid"], base64.b64decode(document["payload"])
        signature = base64.b64decode(signed["sig"])
        spelt = _envelope(payload, signature, keyid)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise VerificationError("Step 3, shape: it is no envelope of one signature.") from error
    if spelt != envelope:
        raise VerificationError("Step 5, encoding: it is not written as envelopes are written.")
    if keyid not in keys:
        raise VerificationError("Step 4, key: it names a key that is not trusted.")
    try:
        _verify_signature(keys[keyid], signature, pae(payload))
    except InvalidSignature as error:
        raise VerificationError(
            "Step 6, signature: the key did not sign this content. It was altered, or forged."
        ) from error
    return keyid, payload


def _envelope(payload: bytes, signature: bytes, keyid: str) -> bytes:
    """As `envelope_of` of what `encode` returns."""
    return b'{"payload":"%b","payloadType":"%b","signatures":[{"keyid":%b,"sig":"%b"}]}' % (
        base64.b64encode(payload),
        PAYLOAD_TYPE.encode(),
        json.dumps(keyid).encode(),
        base64.b64encode(signature),
    )


def keyid_of(envelope: bytes) -> str:
    """Return which key an envelope names; VerificationError where it names none."""
    try:
        return str(_strict_json(envelope)["signatures"][0]["keyid"])
    except (KeyError, IndexError, TypeError) as error:
        raise VerificationError(
            "Step 3, shape: an entry is not an envelope of one signature."
        ) from error


def _compact(document: object) -> bytes:
    # Every key and value of ours is ASCII, for which this is already RFC 8785.
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def open_bundle(raw: bytes, key: PublicKey) -> bytes:
    """Return the payload that `key` signed in the bundle `raw`, or raise VerificationError.

    1. It is no larger than a result can be.
    2. It is JSON, without the same key twice and without NaN or Infinity.
    3. It is a bundle of one envelope with one signature, of the types above.
    4. It names the key given, as keyid and as hint.
    5. It is the encoding of its own contents, byte for byte: no spare base64 bits, no space
       and no second field in which something unsigned could travel.
    6. The signature over the pre-authentication encoding is that key's.
    """
    # Steps 1 to 3
    found = _read(raw)
    # Step 4
    if not found.keyid == found.hint == fingerprint(key):
        raise VerificationError(
            "Step 4, key: the result names another key than the one given. "
            "Ask the data owner which key signed it, and over which channel you can trust."
        )
    # Step 5
    if raw != encode(found.payload, found.signature, found.keyid):
        raise VerificationError(
            "Step 5, encoding: the file is not written as results are written. "
            "Verify the file as it was received, not a copy that was reformatted."
        )
    # Step 6
    try:
        _verify_signature(key, found.signature, pae(found.payload))
    except InvalidSignature as error:
        raise VerificationError(
            "Step 6, signature: the key did not sign this content. It was altered, or forged."
        ) from error
    return found.payload


def named_key(raw: bytes) -> str:
    """Return which key a bundle names, by steps 1 to 3 of `open_bundle`; nothing proves it yet."""
    return _read(raw).keyid


def _read(raw: bytes) -> Contents:
    # Step 1
    if len(raw) > SIZE_CAP:
        raise VerificationError("Step 1, size: the file is larger than any result.")
    # Step 2
    document = _strict_json(raw)
    # Step 3
    return _contents(document)


def _strict_json(raw: bytes) -> Any:  # noqa: ANN401  # anything JSON can say
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            raise ValueError
        return found

    def constant(_: str) -> None:
        raise ValueError

    try:
        return json.loads(raw, object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise VerificationError("Step 2, JSON: the file is not strict JSON.") from error


def _contents(document: Any) -> Contents:  # noqa: ANN401  # as above
    try:
        envelope = document["dsseEnvelope"]
        (signature,) = envelope["signatures"]
        types = document["mediaType"], envelope["payloadType"]
        found = Contents(
            payload=base64.b64decode(envelope["payload"], validate=True),
            signature=base64.b64decode(signature["sig"], validate=True),
            keyid=signature["keyid"],
            hint=document["verificationMaterial"]["publicKey"]["hint"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise VerificationError(
            "Step 3, shape: the file is not a Sigstore bundle of one envelope with one signature."
        ) from error
    if types != (MEDIA_TYPE, PAYLOAD_TYPE):
        raise VerificationError(
            "Step 3, shape: the file is not a Sigstore bundle v0.3 of an in-toto statement."
        )
    return found


def _verify_signature(key: PublicKey, signature: bytes, message: bytes) -> None:
    if isinstance(key, Ed25519PublicKey):
        key.verify(signature, message)
    else:
        key.verify(signature, message, ECDSA(SHA256()))

"""A small log in memory with a genuine result in it, witnesses, and the owner's trust file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evaluator import merkle
from evaluator.bundle import encode, envelope_of, fingerprint, pae
from evaluator.log.checkpoint import Checkpoint
from evaluator.log.note import COSIGNATURE, NoteSigner, sign_note
from evaluator.log.proof import format_proof
from evaluator.trust import Trust, TrustedKey

GOLDEN = Path(__file__).parents[1] / "golden"
ORIGIN = "log.example/farm"
RELEASED = datetime(2026, 11, 23, tzinfo=UTC)
SEEN = RELEASED + timedelta(hours=1)
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
KEYID = fingerprint(KEY.public_key())

Json = dict[str, Any]


def golden(name: str = "result-scored.json") -> Json:
    """One of the statements that test_result.py writes."""
    statement: Json = json.loads((GOLDEN / name).read_text())
    return statement


def signed(statement: Json, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    """Return a bundle of any statement, signed without asking what it says."""
    payload = rfc8785.dumps(statement)
    signature = key.sign(pae(payload), ec.ECDSA(SHA256()))
    return encode(payload, signature, fingerprint(key.public_key()))


@dataclass
class Farm:
    """A log of `before` other entries and then those of `bundles`."""

    bundles: list[bytes] = field(default_factory=lambda: [signed(golden())])
    before: int = 9
    origin: str = ORIGIN
    log_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    witnesses: tuple[NoteSigner, ...] = field(
        default_factory=lambda: tuple(
            NoteSigner(f"w{number}.example", Ed25519PrivateKey.generate(), COSIGNATURE)
            for number in range(3)
        )
    )

    @property
    def log(self) -> NoteSigner:
        """Who signs its checkpoints."""
        return NoteSigner(self.origin, self.log_key)

    @property
    def trust(self) -> Trust:
        """Its key since the year began, and one witness of three that must have seen it."""
        return Trust(
            log=self.log.verifier,
            keys=(TrustedKey(KEYID, PUBLIC, datetime(2026, 1, 1, tzinfo=UTC)),),
            witnesses=tuple(witness.verifier for witness in self.witnesses),
            quorum=1,
        )

    def trusting(self, **changes: Any) -> Trust:  # noqa: ANN401  # any field of the key
        """The trust file with something else about the key."""
        return replace(self.trust, keys=(replace(self.trust.keys[0], **changes),))

    def proof(self, index: int = 0, seen: tuple[datetime | None, ...] = (SEEN,)) -> bytes:
        """The proof of a bundle, cosigned by the witnesses at these times (None: not at all)."""
        entries = [b"entry %d" % number for number in range(self.before)]
        entries += [envelope_of(bundle) for bundle in self.bundles]
        leaves = [merkle.leaf_hash(entry) for entry in entries]
        text = Checkpoint(self.origin, len(leaves), merkle.root(leaves)).text()
        lines = [
            witness.line(text, int(at.timestamp()))
            for witness, at in zip(self.witnesses, seen, strict=False)
            if at
        ]
        note = sign_note(text, self.log) + "".join(lines).encode()
        position = self.before + index
        return format_proof(position, merkle.inclusion_proof(leaves, position), note)

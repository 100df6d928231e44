"""Signed notes: text with signature lines below it, of the log and of its witnesses.

    note           https://c2sp.org/signed-note@v1.0.0
    cosignature    https://c2sp.org/tlog-cosignature@v1.0.1, which signs the time as well

A key is known by its name and four bytes of a hash that covers its algorithm, so the byte for
another algorithm (ML-DSA-44 has 0x06) needs an entry in `_SIZES` and a branch where one signs
and one verifies.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evaluator.errors import VerificationError

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
_SIZES: Final = {ED25519: 32, COSIGNATURE: 32}  # bytes of a public key

NOTE_CAP: Final = 1 << 20
"""Bytes; Go's implementation refuses what is larger."""
SIGNATURES_CAP: Final = 100
"""Lines of signatures in one note, as in Go's implementation."""
_DASH: Final = "\N{EM DASH} "
_TIME_CAP: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name; as text, the line `name+hash+key` that is handed around."""

    name: str
    algorithm: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name || newline || algorithm || public key)."""
        material = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(material).digest()[:4]

    def __str__(self) -> str:
        """Return the vkey."""
        material = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """An Ed25519 key with its name; a witness has the algorithm COSIGNATURE."""

    name: str
    private: Ed25519PrivateKey
    algorithm: int = ED25519

    def __post_init__(self) -> None:
        """Refuse a name that no note could carry: VerificationError."""
        _require_name(self.name)

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self.algorithm, self.private.public_key().public_bytes_raw())

    def line(self, text: str, time: int = 0) -> str:
        """Return the signature line over `text`; only a cosignature says the time (Unix)."""
        if self.algorithm == COSIGNATURE:
            signature = time.to_bytes(8, "big") + self.private.sign(_cosigned(text, time))
        else:
            signature = self.private.sign(text.encode())
        encoded = base64.b64encode(self.verifier.key_id + signature).decode()
        return f"{_DASH}{self.name} {encoded}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that verified: by which key, and when (Unix time) where the key says so."""

    key: VerifierKey
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A note that verified: its text, by whom, and how many lines are of unknown keys."""

    text: str
    signatures: tuple[Signature, ...]
    unverified: int


def parse_vkey(text: str) -> VerifierKey:
    """Return the key that a vkey names; VerificationError if it is none, or of a type unknown."""
    try:
        name, key_id, material = text.strip().split("+", 2)
        raw = _base64(material)
        key = VerifierKey(name, raw[0], raw[1:])
    except (ValueError, IndexError) as error:
        raise VerificationError(
            "This is no verifier key: it reads NAME+HASH+KEY, on one line. Copy it whole."
        ) from error
    _require_name(name)
    if _SIZES.get(key.algorithm) != len(key.public):
        raise VerificationError(
            "The verifier key is of an algorithm that this program does not know. "
            "It knows Ed25519 (1) and Ed25519 cosignatures (4)."
        )
    if key.key_id.hex() != key_id:
        raise VerificationError(
            "The verifier key's hash does not fit its name and key: it was altered or miscopied."
        )
    return key


def sign_note(text: str, signer: NoteSigner) -> bytes:
    """Return `text`, which ends in a newline, as a note with one signature."""
    _require_text(text)
    return f"{text}\n{signer.line(text)}".encode()


def add_line(note: bytes, line: str) -> bytes:
    """Return the note with one signature line more; it replaces an older one of the same key.

    The line is put in its form but not verified. Raises VerificationError if either is malformed.
    """
    text, lines = _split(note)
    added = _parse_line(line.removesuffix("\n"))
    kept = [old for old in lines if _parse_line(old)[:2] != added[:2]]
    return "\n".join([text, *kept, line.removesuffix("\n"), ""]).encode()


def signature_lines(raw: bytes) -> list[str]:
    """Return the lines of a run of signature lines, each with its newline; not verified."""
    text = _decode(raw)
    if not text.endswith("\n"):
        raise VerificationError("A line of signatures does not end.")
    lines = text.removesuffix("\n").split("\n")
    for line in lines:
        _parse_line(line)
    return [line + "\n" for line in lines]


def open_note(raw: bytes, keys: Sequence[VerifierKey]) -> Opened:
    """Return what `keys` signed in the note `raw`.

    A line of a key that is not among them counts as unverified and says nothing. Of several lines
    by one key the first counts. Raises VerificationError where the note is malformed, where a
    line of one of these keys does not verify, and where none of them signed.
    """
    text, lines = _split(raw)
    known = {(key.name, key.key_id): key for key in keys}
    found: dict[VerifierKey, Signature] = {}
    unverified = 0
    for line in lines:
        name, key_id, signature = _parse_line(line)
        key = known.get((name, key_id))
        if key is None:
            unverified += 1
        elif key not in found:
            found[key] = Signature(key, _verify(key, text, signature))
    if not found:
        raise VerificationError(
            "None of the keys given signed this note. It is of another log, or forged."
        )
    return Opened(text, tuple(found.values()), unverified)


def text_of(raw: bytes) -> str:
    """Return a note's text without believing any of it; VerificationError if it is malformed."""
    return _split(raw)[0]


def _verify(key: VerifierKey, text: str, signature: bytes) -> int | None:
    """Return the time that a signature states, or None; VerificationError if it is not genuine."""
    message, time = text.encode(), None
    if key.algorithm == COSIGNATURE:
        time, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        message = _cosigned(text, time)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise VerificationError(
            f"The signature of {key.name} does not fit the note: it was altered, or forged."
        ) from error
    if time is not None and time > _TIME_CAP:
        raise VerificationError(f"The cosignature of {key.name} states an impossible time.")
    return time


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _split(raw: bytes) -> tuple[str, list[str]]:
    """Return the text and the signature lines (without newlines) of a note."""
    note = _decode(raw)
    text, gap, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not gap or lines.pop() or not lines:
        raise VerificationError("The note has no text and signatures with a blank line between.")
    if len(lines) > SIGNATURES_CAP:
        raise VerificationError("The note has more signatures than any log needs.")
    return text + "\n", lines


def _decode(raw: bytes) -> str:
    if len(raw) > NOTE_CAP:
        raise VerificationError("The note is larger than any log needs.")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise VerificationError("The note is not UTF-8.") from error
    if any(character < " " and character != "\n" for character in text):
        raise VerificationError("The note contains control characters.")
    return text


def _parse_line(line: str) -> tuple[str, bytes, bytes]:
    """Return name, key hash and signature of a line without its newline."""
    try:
        dash, name, encoded = line.split(" ")
        raw = _base64(encoded)
    except ValueError as error:
        raise VerificationError("A line of signatures is malformed.") from error
    if dash + " " != _DASH or len(raw) < 5:
        raise VerificationError("A line of signatures is malformed.")
    _require_name(name)
    return name, raw[:4], raw[4:]


def _base64(text: str) -> bytes:
    """Decode the one spelling of these bytes; ValueError for any other, with spare bits say."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError
    return raw


def _require_name(name: str) -> None:
    spaces = any(character.isspace() for character in name)
    if not name or spaces or "+" in name or any(character < " " for character in name):
        raise VerificationError(
            "A key's name is one word without spaces, plus signs and control characters, "
            "such as log.example/farm."
        )


def _require_text(text: str) -> None:
    _decode(text.encode())
    if not text.endswith("\n"):
        raise VerificationError("The text of a note ends in a newline.")

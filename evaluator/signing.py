"""Make the data owner's keys, of results and of the log, and sign results.

The private key is a PKCS#8 PEM file that only its owner can read. P-256 is what we make, since
every key service and cosign know it; Ed25519 is accepted. With a passphrase, openssl does the
encrypting: its scrypt costs a guesser far more than the 2,048 rounds of PBKDF2 that
`cryptography` would use and offers no way to raise.
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from evaluator.bundle import encode, fingerprint, pae
from evaluator.errors import OwnerError
from evaluator.files import write_new
from evaluator.log.note import NoteSigner, VerifierKey

ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey


class SigningKey(Protocol):
    """The public half of who signs: its SSH fingerprint, and its PEM as `keyval["public"]`."""

    @property
    def keyid(self) -> str: ...  # noqa: D102
    @property
    def keyval(self) -> Mapping[str, Any]: ...  # noqa: D102


class Signature(Protocol):
    """A signature in hexadecimal digits, and whose it is."""

    @property
    def keyid(self) -> str: ...  # noqa: D102
    @property
    def signature(self) -> str: ...  # noqa: D102


class Signer(Protocol):
    """Who signs bytes: the key of a file, or a signer of securesystemslib, which has more."""

    @property
    def public_key(self) -> SigningKey: ...  # noqa: D102
    def sign(self, payload: bytes) -> Signature: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class _PublicHalf:
    keyid: str
    keyval: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Signed:
    keyid: str
    signature: str


@dataclass(frozen=True, slots=True)
class FileSigner:
    """Signs by a private key in memory; `load_key` reads it from a file."""

    public_key: SigningKey
    _private: PrivateKey = field(repr=False)

    def sign(self, payload: bytes) -> Signature:
        """Sign bytes as they are, P-256 with SHA-256."""
        if isinstance(self._private, Ed25519PrivateKey):
            signed = self._private.sign(payload)
        else:
            signed = self._private.sign(payload, ECDSA(SHA256()))
        return _Signed(self.public_key.keyid, signed.hex())


def generate_key(pem: Path, public: Path, passphrase: bytes | None = None) -> str:
    """Write a new P-256 key to `pem` (0600) and `public`, and return its fingerprint.

    Raises OwnerError where either file exists, the passphrase is unfit, or openssl, which
    encrypts, is missing.
    """
    _require_absent(pem, public)
    key = generate_private_key(SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if passphrase is not None:
        private = _encrypt(private, passphrase)
    write_new(pem, private, 0o600)
    write_new(public, _spki(key), 0o644)
    return fingerprint(key.public_key())


def generate_log_key(
    pem: Path, vkey: Path, origin: str, passphrase: bytes | None = None
) -> VerifierKey:
    """Write a new Ed25519 key of the log `origin` to `pem` (0600), and its public half to `vkey`.

    The public half is one line with the log's name (C2SP signed-note). Raises as `generate_key`.
    """
    _require_absent(pem, vkey)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if passphrase is not None:
        private = _encrypt(private, passphrase)
    signer = NoteSigner(origin, key)
    write_new(pem, private, 0o600)
    write_new(vkey, f"{signer.verifier}\n".encode(), 0o644)
    return signer.verifier


def load_log_key(pem: Path, origin: str, passphrase: bytes | None = None) -> NoteSigner:
    """Return the signer of the log `origin` by the key in `pem`; OwnerError as `load_key`."""
    key = _parse(pem, _read_private(pem), passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise OwnerError(f"The log's key {pem} is no Ed25519 key, which witnesses ask for.")
    return NoteSigner(origin, key)


def is_encrypted(pem: Path) -> bool:
    """Whether the key needs a passphrase; a file that cannot be read is left to `load_key`."""
    try:
        return ENCRYPTED in pem.read_bytes()
    except OSError:
        return False


def load_key(pem: Path, passphrase: bytes | None = None) -> FileSigner:
    """Return the signer of the key in `pem`; OwnerError where it cannot be had, and what to do."""
    key = _parse(pem, _read_private(pem), passphrase)
    public = {"public": _spki(key).decode()}
    return FileSigner(_PublicHalf(fingerprint(key.public_key()), public), key)


def sign(payload: bytes, signer: Signer) -> bytes:
    """Return the bundle of `payload`, an in-toto statement in RFC 8785 bytes, with one signature.

    The signer's keyid must be the SSH fingerprint that `load_key` gives it.
    """
    signature = signer.sign(pae(payload))
    return encode(payload, bytes.fromhex(signature.signature), signature.keyid)


def _require_absent(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise OwnerError(
                f"{path} exists already, and a key that signed results must not be replaced. "
                "Keep it; `evaluator key rotate` makes a new key and publishes both."
            )


def _spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _read_private(pem: Path) -> bytes:
    try:
        # Opened once: the mode looked at is that of the bytes read.
        with pem.open("rb") as file:
            mode, raw = os.fstat(file.fileno()).st_mode, file.read(1 << 16)
    except OSError as error:
        raise OwnerError(
            f"The signing key {pem} cannot be read ({error.strerror}). "
            "`evaluator init` makes one, and `evaluator log create` that of the log of an older "
            "workspace; for an existing key check the path and the permissions."
        ) from error
    if mode & 0o077:
        raise OwnerError(
            f"The signing key {pem} is open to other users of this host. Run: chmod 600 {pem}"
        )
    return raw


def _parse(pem: Path, raw: bytes, passphrase: bytes | None) -> PrivateKey:
    encrypted = ENCRYPTED in raw
    if encrypted and not passphrase:
        raise OwnerError(f"The signing key {pem} is encrypted. Give its passphrase.")
    try:
        key = load_pem_private_key(raw, passphrase if encrypted else None)
    except (ValueError, TypeError) as error:
        if encrypted:
            raise OwnerError(
                f"The passphrase does not open the signing key {pem}, or the file is damaged. "
                "Try the passphrase again; else restore the file from its backup."
            ) from error
        raise OwnerError(
            f"{pem} holds no private key in PKCS#8 PEM form. "
            "An older PEM key is converted by: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW"
        ) from error
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise OwnerError(f"The key in {pem} is neither P-256 nor Ed25519. Make one: `evaluator init`.")


def _encrypt(private: bytes, passphrase: bytes) -> bytes:
    """Encrypt a PKCS#8 PEM; the passphrase goes by a pipe, where no other process can see it."""
    if not 1 <= len(passphrase) <= 512 or b"\n" in passphrase or b"\0" in passphrase:
        raise OwnerError("A passphrase is one line of 1 to 512 bytes.")
    read, write = os.pipe()
    try:
        os.write(write, passphrase + b"\n")  # fits a pipe's buffer, so it cannot block
        os.close(write)
        scrypt = ["-scrypt", "-scrypt_N", "16384", "-scrypt_r", "8", "-scrypt_p", "4"]
        command = ["openssl", "pkcs8", "-topk8", *scrypt, "-passout", f"fd:{read}"]
        done = subprocess.run(
            command, input=private, capture_output=True, check=True, pass_fds=[read]
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise OwnerError(
            "openssl, which encrypts the signing key, is missing or failed. "
            "Install openssl 1.1 or later, or make the key without a passphrase."
        ) from error
    finally:
        os.close(read)
    return done.stdout

"""Who signs is named by a URI; whatever it is, the signature is one of the key's fingerprint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, Key, SecretsHandler, Signature, Signer

from evaluator.bundle import fingerprint, load_public_key, open_bundle
from evaluator.errors import OwnerError
from evaluator.log.checkpoint import Checkpoint, open_checkpoint
from evaluator.log.note import parse_vkey, sign_note
from evaluator.signers import load_signer
from evaluator.signing import generate_key, generate_log_key, load_key, load_log_key, sign

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = b"correct horse battery staple"


def pair(folder: Path, passphrase: bytes | None = None) -> tuple[Path, Path]:
    """Make a pair as `evaluator init` does, and return where it lies."""
    pem, public = folder / "signing.pem", folder / "signing.pub"
    generate_key(pem, public, passphrase)
    return pem, public


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE, "größe".encode("latin-1")])
def test_a_key_in_a_file_signs(tmp_path: Path, passphrase: bytes | None) -> None:
    """Of our own scheme, open or encrypted, even by bytes that are no text."""
    pem, public = pair(tmp_path, passphrase)
    asked: list[str] = []

    def secret(name: str) -> str:
        asked.append(name)
        return (passphrase or b"").decode(errors="surrogateescape")

    signer = load_signer(f"file:{pem}", public, secret)

    key = load_public_key(public.read_bytes())
    assert open_bundle(sign(b"{}", signer), key) == b"{}"
    assert signer.public_key.keyid == fingerprint(key)
    assert asked == ["passphrase"] * bool(passphrase)


def test_a_wrong_passphrase_is_said(tmp_path: Path) -> None:
    """In the words of the key file, not of a library."""
    pem, public = pair(tmp_path, PASSPHRASE)

    with pytest.raises(OwnerError, match="passphrase does not open"):
        load_signer(f"file:{pem}", public, lambda _: "wrong guess")


def test_a_public_key_of_another_pair_is_refused(tmp_path: Path) -> None:
    """Otherwise every result would name a key that did not sign it."""
    pem, _ = pair(tmp_path / "one")
    _, other = pair(tmp_path / "other")

    with pytest.raises(OwnerError, match="not that of the signing key"):
        load_signer(f"file:{pem}", other, lambda _: "")


@pytest.mark.parametrize("uri", ["", "file2:/x", "gnupg:ABC", "sigstore:", "/keys/signing.pem"])
def test_an_unknown_scheme_is_refused(tmp_path: Path, uri: str) -> None:
    """Only those whose signatures verify here; the message lists them."""
    _, public = pair(tmp_path)

    with pytest.raises(OwnerError, match=r"awskms:.*hsm:"):
        load_signer(uri, public, lambda _: "")


def test_a_missing_public_key_is_said(tmp_path: Path) -> None:
    """A service may not tell it, so it is always asked for."""
    with pytest.raises(OwnerError, match="--public-key"):
        load_signer("hsm:", tmp_path / "gone.pub", lambda _: "")


class Service(Signer):
    """A key service whose library says what a test has it say, and which has the key `inner`."""

    inner: Signer
    error: Exception | None = None
    seen: tuple[Any, ...] = ()

    @classmethod
    def from_priv_key_uri(
        cls,
        priv_key_uri: str,
        public_key: Key,
        secrets_handler: SecretsHandler | None = None,
    ) -> Service:
        """Remember what was passed, or fail."""
        cls.seen = (priv_key_uri, public_key, secrets_handler)
        if cls.error:
            raise cls.error
        return cls()

    def sign(self, payload: bytes) -> Signature:
        """Sign by the key that it has."""
        return self.inner.sign(payload)

    @property
    def public_key(self) -> Key:
        """Which key that is."""
        return self.inner.public_key


@pytest.mark.parametrize(
    ("uri", "extra"),
    [
        ("awskms:alias/results", "awskms"),
        ("azurekms://vault/keys/results/1", "azurekms"),
        ("gcpkms:projects/p/cryptoKeyVersions/1", "gcpkms"),
        ("hsm:2?label=token", "hsm"),
        ("hv:results/1", "vault"),
    ],
)
def test_other_signers_are_passed_straight_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, extra: str
) -> None:
    """With the key by its fingerprint; what is missing is named by the extra that has it."""
    pem, public = pair(tmp_path / "own")
    monkeypatch.setattr(Service, "inner", load_key(pem), raising=False)
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, uri.partition(":")[0], Service)

    assert isinstance(load_signer(uri, public, str), Service)
    passed, key, secret = Service.seen
    assert (passed, secret) == (uri, str)
    assert key.keyid == fingerprint(load_public_key(public.read_bytes()))
    monkeypatch.setattr(Service, "inner", load_key(pair(tmp_path / "other")[0]))
    with pytest.raises(OwnerError, match="VerificationError"):
        load_signer(uri, public, str)
    monkeypatch.setattr(Service, "error", UnsupportedLibraryError("no such library"))
    with pytest.raises(OwnerError, match=rf"pip install 'submission-evaluator\[{extra}\]'"):
        load_signer(uri, public, str)
    monkeypatch.setattr(Service, "error", ConnectionError("no route"))
    with pytest.raises(OwnerError, match="ConnectionError: no route"):
        load_signer(uri, public, str)


@pytest.mark.parametrize("uri", ["awskms:alias/x", "azurekms://v/keys/k/1", "hv:x/1"])
def test_a_library_that_is_not_installed_is_named(tmp_path: Path, uri: str) -> None:
    """By the real signers of securesystemslib: these extras are in no test environment."""
    _, public = pair(tmp_path)

    with pytest.raises(OwnerError, match="pip install"):
        load_signer(uri, public, lambda _: "")


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_the_logs_key_signs_checkpoints(tmp_path: Path, passphrase: bytes | None) -> None:
    """Ed25519, under the log's name; its public half is the line that verifiers take."""
    pem, vkey = tmp_path / "log.pem", tmp_path / "log.vkey"
    verifier = generate_log_key(pem, vkey, "log.example/farm", passphrase)

    signer = load_log_key(pem, "log.example/farm", passphrase)

    assert parse_vkey(vkey.read_text()) == verifier == signer.verifier
    checkpoint = Checkpoint("log.example/farm", 0, bytes(32))
    assert open_checkpoint(sign_note(checkpoint.text(), signer), verifier) == checkpoint
    assert pem.stat().st_mode & 0o777 == 0o600
    assert (b"ENCRYPTED" in pem.read_bytes()) == bool(passphrase)


def test_the_logs_key_is_no_other_and_never_replaced(tmp_path: Path) -> None:
    """Witnesses know one kind of key, and one key."""
    pem, public = pair(tmp_path)

    with pytest.raises(OwnerError, match="no Ed25519 key"):
        load_log_key(pem, "log.example/farm")
    with pytest.raises(OwnerError, match="exists already"):
        generate_log_key(pem, public, "log.example/farm")

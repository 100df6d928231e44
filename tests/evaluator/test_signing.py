"""Keys are made safely and refused kindly; a signature is one any DSSE verifier knows."""

import json
import os
import shutil
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from evaluator.bundle import fingerprint, load_public_key, open_bundle
from evaluator.errors import OwnerError
from evaluator.keys import key_statement
from evaluator.signing import generate_key, is_encrypted, load_key, sign

PASSPHRASE = b"correct horse battery staple"


def mode(path: Path) -> int:
    """Return the permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def write_key(path: Path, key: PrivateKeyTypes) -> None:
    """Write a key that was not made by us."""
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)


def made(folder: Path, passphrase: bytes | None = None) -> tuple[Path, Path]:
    """Make a pair as `evaluator init` does, and return where it lies."""
    pem, public = folder / "keys" / "signing.pem", folder / "keys" / "signing.pub"
    generate_key(pem, public, passphrase)
    return pem, public


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_key_is_readable_by_its_owner_alone(tmp_path: Path, umask: int) -> None:
    """Whatever the umask, the private key is 0600 and the public one for everyone."""
    before = os.umask(umask)
    try:
        pem, public = made(tmp_path)
    finally:
        os.umask(before)

    assert (mode(pem), mode(public)) == (0o600, 0o644)
    assert mode(pem.parent) == 0o700


def test_key_signs_what_its_public_half_verifies(tmp_path: Path) -> None:
    """A new pair works together."""
    pem, public = made(tmp_path)

    bundle = sign(b"{}", load_key(pem))

    assert open_bundle(bundle, load_public_key(public.read_bytes())) == b"{}"


def test_ed25519_key_of_the_owner_is_accepted(tmp_path: Path) -> None:
    """P-256 is what we make; a key that exists already may be Ed25519."""
    key = ed25519.Ed25519PrivateKey.generate()
    write_key(tmp_path / "key", key)

    bundle = sign(b"{}", load_key(tmp_path / "key"))

    assert open_bundle(bundle, key.public_key()) == b"{}"


def test_an_ed25519_key_is_introduced_by_its_pem(tmp_path: Path) -> None:
    """The statement of a key is about SubjectPublicKeyInfo, whatever its algorithm."""
    key = ed25519.Ed25519PrivateKey.generate()
    write_key(tmp_path / "key", key)

    said = key_statement(load_key(tmp_path / "key"), None, datetime(2030, 1, 1, tzinfo=UTC))

    stated = said.predicate.key
    assert stated.algorithm == "ed25519"
    assert load_public_key(stated.pem.encode()) == key.public_key()


def test_passphrase_opens_the_key(tmp_path: Path) -> None:
    """An encrypted key signs like any other."""
    pem, public = made(tmp_path, PASSPHRASE)

    bundle = sign(b"{}", load_key(pem, PASSPHRASE))

    assert open_bundle(bundle, load_public_key(public.read_bytes())) == b"{}"


def test_passphrase_is_stretched_by_scrypt(tmp_path: Path) -> None:
    """The file says how it is encrypted: scrypt, not 2,048 rounds of PBKDF2."""
    pem, _ = made(tmp_path, PASSPHRASE)

    shown = subprocess.run(
        ["openssl", "asn1parse", "-in", pem], capture_output=True, text=True, check=True
    ).stdout

    assert "scrypt" in shown
    with pytest.raises(TypeError, match="Password was not given"):
        load_pem_private_key(pem.read_bytes(), None)


def test_passphrase_is_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other users of a host can read arguments, so openssl gets it by a pipe."""
    real = subprocess.run(
        ["sh", "-c", "command -v openssl"], capture_output=True, text=True, check=True
    ).stdout.strip()
    spy = tmp_path / "bin" / "openssl"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\n{{ echo "$@"; env; }} > {tmp_path}/seen\nexec {real} "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")

    made(tmp_path, PASSPHRASE)

    seen = (tmp_path / "seen").read_bytes()
    assert b"-topk8" in seen  # the spy was asked
    assert b"PATH=" in seen
    assert PASSPHRASE not in seen


@pytest.mark.parametrize("passphrase", [b"", b"two\nlines", b"nul\0", b"x" * 513])
def test_unfit_passphrase_is_refused_before_anything_is_written(
    tmp_path: Path, passphrase: bytes
) -> None:
    """The tool reads one line, so a passphrase it would cut is never used."""
    with pytest.raises(OwnerError, match="one line"):
        made(tmp_path, passphrase)

    assert not (tmp_path / "keys").exists()


def test_longest_passphrase_still_opens_the_key(tmp_path: Path) -> None:
    """The limit lies below the length at which openssl cuts."""
    pem, _ = made(tmp_path, b"x" * 512)

    assert load_key(pem, b"x" * 512)
    with pytest.raises(OwnerError):
        load_key(pem, b"x" * 511)


def test_missing_openssl_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without openssl there is an unencrypted key or none, by the owner's choice."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(OwnerError, match="Install openssl"):
        made(tmp_path, PASSPHRASE)

    assert made(tmp_path)[0].exists()


@pytest.mark.parametrize("existing", ["signing.pem", "signing.pub"])
def test_existing_key_is_never_replaced(tmp_path: Path, existing: str) -> None:
    """Results signed by the old key would become unverifiable."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / existing).write_text("mine")

    with pytest.raises(OwnerError, match="exists already"):
        made(tmp_path)

    assert [path.read_text() for path in (tmp_path / "keys").iterdir()] == ["mine"]


def test_wrong_passphrase_is_said(tmp_path: Path) -> None:
    """And the passphrase itself is not repeated."""
    pem, _ = made(tmp_path, PASSPHRASE)

    with pytest.raises(OwnerError, match="passphrase does not open") as caught:
        load_key(pem, b"wrong guess")

    assert "wrong guess" not in str(caught.value)


def test_missing_passphrase_is_asked_for(tmp_path: Path) -> None:
    """An encrypted key without a passphrase is not mistaken for a damaged one."""
    pem, _ = made(tmp_path, PASSPHRASE)

    with pytest.raises(OwnerError, match="Give its passphrase"):
        load_key(pem)


def test_need_of_a_passphrase_is_known_before_it_is_asked_for(tmp_path: Path) -> None:
    """A prompt appears for an encrypted key alone, not for an open or a missing one."""
    encrypted, _ = made(tmp_path / "encrypted", PASSPHRASE)
    plain, _ = made(tmp_path / "plain")

    assert is_encrypted(encrypted)
    assert not is_encrypted(plain)
    assert not is_encrypted(tmp_path / "missing.pem")


def test_missing_key_is_said(tmp_path: Path) -> None:
    """With the command that makes one."""
    with pytest.raises(OwnerError, match="evaluator init"):
        load_key(tmp_path / "signing.pem")


@pytest.mark.parametrize("content", [b"", b"not a key", b"\0" * 100])
def test_file_that_is_no_key_is_said(tmp_path: Path, content: bytes) -> None:
    """Any other file in the key's place is the owner's to fix."""
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(OwnerError, match="no private key"):
        load_key(path)


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())],
    ids=["rsa", "p384"],
)
def test_key_of_another_kind_is_refused(tmp_path: Path, key: PrivateKeyTypes) -> None:
    """Two kinds of key are enough, and all tools that we document know both."""
    write_key(tmp_path / "key", key)

    with pytest.raises(OwnerError, match="neither P-256 nor Ed25519"):
        load_key(tmp_path / "key")


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620])
def test_key_open_to_others_is_refused(tmp_path: Path, bits: int) -> None:
    """As ssh does: whoever could read it may have signed with it."""
    pem, _ = made(tmp_path)
    pem.chmod(bits)

    with pytest.raises(OwnerError, match="chmod 600"):
        load_key(pem)


@pytest.mark.interop
@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="Install openssh-client.")
def test_fingerprint_is_the_one_ssh_shows(tmp_path: Path) -> None:
    """The keyid that cosign expects is what `ssh-keygen -l` prints."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    line = tmp_path / "key.pub"
    line.write_bytes(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))

    shown = subprocess.run(
        ["ssh-keygen", "-lf", line], capture_output=True, text=True, check=True
    ).stdout

    assert shown.split()[1] == fingerprint(key)


def test_bundle_names_the_key_twice(tmp_path: Path) -> None:
    """Both keyid and hint are the fingerprint: with anything else cosign finds no signature."""
    pem, public = made(tmp_path)

    document = json.loads(sign(b"{}", load_key(pem)))

    expected = fingerprint(load_public_key(public.read_bytes()))
    assert [s["keyid"] for s in document["dsseEnvelope"]["signatures"]] == [expected]
    assert document["verificationMaterial"]["publicKey"]["hint"] == expected
    assert document["verificationMaterial"]["tlogEntries"] == []

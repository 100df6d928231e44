"""Steps 1 to 6 of verification: no byte of the file can change, and nothing can ride along."""

import json
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from evaluator.bundle import PublicKey, encode, fingerprint, load_public_key, open_bundle, pae
from evaluator.errors import VerificationError

P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
PAYLOAD = b'{"some":"statement"}'


def signed_p256(payload: bytes = PAYLOAD) -> bytes:
    """Return a bundle signed without any code of evaluator/signing.py."""
    signature = P256.sign(pae(payload), ec.ECDSA(SHA256()))
    return encode(payload, signature, fingerprint(P256.public_key()))


def signed_ed25519(payload: bytes = PAYLOAD) -> bytes:
    """Return the same, signed by the other kind of key."""
    return encode(payload, ED25519.sign(pae(payload)), fingerprint(ED25519.public_key()))


BUNDLES: list[tuple[bytes, PublicKey]] = [
    (signed_p256(), P256.public_key()),
    (signed_ed25519(), ED25519.public_key()),
]
each_key = pytest.mark.parametrize(("bundle", "key"), BUNDLES, ids=["p256", "ed25519"])


def pem(key: PublicKeyTypes) -> bytes:
    """Return the key as `evaluator init` writes it."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@each_key
def test_untouched_bundle_opens(bundle: bytes, key: PublicKey) -> None:
    """The positive control of every test below."""
    assert open_bundle(bundle, key) == PAYLOAD


def test_signed_bytes_are_those_of_the_specification() -> None:
    """The example in DSSE's protocol.md, with our payload type."""
    assert pae(b"hello") == b"DSSEv1 28 application/vnd.in-toto+json 5 hello"


@each_key
def test_no_byte_of_the_file_can_change(bundle: bytes, key: PublicKey) -> None:
    """Every byte counts: also spare base64 bits, spaces, and names of fields."""
    for index in range(len(bundle)):
        for flip in (0x01, 0x20, 0x80):
            altered = bytearray(bundle)
            altered[index] ^= flip
            with pytest.raises(VerificationError):
                open_bundle(bytes(altered), key)


@given(data=st.data(), which=st.sampled_from(BUNDLES))
def test_no_edit_of_the_file_goes_unnoticed(
    data: st.DataObject, which: tuple[bytes, PublicKey]
) -> None:
    """Bytes replaced, inserted or cut anywhere: VerificationError and nothing else."""
    bundle, key = which
    start = data.draw(st.integers(0, len(bundle)))
    end = data.draw(st.integers(start, min(start + 8, len(bundle))))
    altered = bundle[:start] + data.draw(st.binary(max_size=8)) + bundle[end:]
    if altered == bundle:
        return

    with pytest.raises(VerificationError):
        open_bundle(altered, key)


@given(st.one_of(st.binary(), st.text().map(str.encode)))
def test_any_bytes_are_refused_in_words(raw: bytes) -> None:
    """A stranger's file raises VerificationError and nothing else."""
    with pytest.raises(VerificationError):
        open_bundle(raw, P256.public_key())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    path=st.sampled_from(
        [
            ["mediaType"],
            ["dsseEnvelope"],
            ["dsseEnvelope", "payload"],
            ["dsseEnvelope", "payloadType"],
            ["dsseEnvelope", "signatures"],
            ["dsseEnvelope", "signatures", 0],
            ["dsseEnvelope", "signatures", 0, "sig"],
            ["dsseEnvelope", "signatures", 0, "keyid"],
            ["verificationMaterial"],
            ["verificationMaterial", "publicKey"],
            ["verificationMaterial", "tlogEntries"],
        ]
    ),
    value=json_values,
)
def test_any_value_in_any_field_is_refused_in_words(path: list[Any], value: object) -> None:
    """JSON of the right spelling and the wrong shape raises nothing else either."""
    document = json.loads(signed_p256())
    place = document
    for step in path[:-1]:
        place = place[step]
    if place[path[-1]] == value:
        return
    place[path[-1]] = value

    with pytest.raises(VerificationError):
        open_bundle(json.dumps(document, sort_keys=True).encode(), P256.public_key())


ENVELOPE = json.loads(signed_p256())["dsseEnvelope"]
MATERIAL = {"publicKey": {"hint": "SHA256:another"}, "tlogEntries": []}


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"mediaType": "application/vnd.dev.sigstore.bundle.v0.2+json"}, "Step 3"),
        ({"dsseEnvelope": ENVELOPE | {"payloadType": "application/json"}}, "Step 3"),
        ({"dsseEnvelope": ENVELOPE | {"signatures": ENVELOPE["signatures"] * 2}}, "Step 3"),
        ({"dsseEnvelope": ENVELOPE | {"signatures": []}}, "Step 3"),
        ({"verificationMaterial": MATERIAL}, "Step 4"),
        ({"note": "unsigned, and read by whoever likes"}, "Step 5"),
        ({"dsseEnvelope": ENVELOPE | {"payload": "e30="}}, "Step 6"),
    ],
    ids=["version", "type", "two", "none", "hint", "field", "payload"],
)
def test_each_step_stops_what_it_is_for(change: dict[str, Any], step: str) -> None:
    """The message names the step, so that an auditor knows what to look at."""
    document = json.loads(signed_p256()) | change

    with pytest.raises(VerificationError, match=step):
        open_bundle(rfc8785.dumps(document), P256.public_key())


@pytest.mark.parametrize(
    ("raw", "step"),
    [
        (b" " * (1 << 20) + b" ", "Step 1"),
        (b"", "Step 2"),
        (b"[" * 100_000, "Step 2"),
        (b'{"a":1,"a":1}', "Step 2"),
        (b'{"a":NaN}', "Step 2"),
        (b'{"a":-Infinity}', "Step 2"),
        (b"9" * 5000, "Step 2"),
        (b"[]", "Step 3"),
        (b"{}", "Step 3"),
    ],
    ids=["large", "empty", "deep", "twice", "nan", "infinity", "digits", "list", "bare"],
)
def test_hostile_file_stops_early(raw: bytes, step: str) -> None:
    """Files that exhaust or confuse parsers are refused before anything is made of them."""
    with pytest.raises(VerificationError, match=step):
        open_bundle(raw, P256.public_key())


def test_reformatted_bundle_is_refused() -> None:
    """The same JSON with spaces is signed all the same, but is not the file we wrote."""
    pretty = json.dumps(json.loads(signed_p256()), indent=1).encode()

    with pytest.raises(VerificationError, match="Step 5"):
        open_bundle(pretty, P256.public_key())


@each_key
def test_another_key_is_refused(bundle: bytes, key: PublicKey) -> None:
    """The key is the one given, not the one named in the file."""
    assert fingerprint(key) in bundle.decode()

    with pytest.raises(VerificationError, match="Step 4"):
        open_bundle(bundle, ec.generate_private_key(ec.SECP256R1()).public_key())


def test_file_we_write_is_rfc_8785() -> None:
    """json.dumps suffices for a document of ASCII strings; this holds it to that."""
    bundle = signed_p256()

    assert rfc8785.dumps(json.loads(bundle)) == bundle


@pytest.mark.parametrize("key", [P256.public_key(), ED25519.public_key()], ids=["p256", "ed25519"])
def test_public_key_is_read_from_pem(key: PublicKey) -> None:
    """The form that `evaluator init` writes and openssl reads."""
    assert load_public_key(pem(key)) == key


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a PEM"),
        (b"ssh-ed25519 AAAA", "not a PEM"),
        (pem(rsa.generate_private_key(65537, 2048).public_key()), "neither P-256"),
        (pem(ec.generate_private_key(ec.SECP384R1()).public_key()), "neither P-256"),
    ],
    ids=["empty", "ssh", "rsa", "p384"],
)
def test_unusable_public_key_is_refused_in_words(content: bytes, words: str) -> None:
    """A wrong key file is not a forged result, and the message tells them apart."""
    with pytest.raises(VerificationError, match=words):
        load_public_key(content)

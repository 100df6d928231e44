"""How to verify a statement without this program: lines for a shell, ready to paste.

commands(verified, bundle, public_key)     openssl and jq, cosign, oras
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from evaluator.bundle import MEDIA_TYPE, PAYLOAD_TYPE, load_public_key
from evaluator.kinds import RESULT

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.verify import Verified

EMPTY_TRUSTED_ROOT = (
    '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[],'
    '"certificateAuthorities":[],"ctlogs":[],"timestampAuthorities":[]}'
)
"""For cosign before 3.0.4, which otherwise asks a server for roots that a key makes needless."""


def commands(verified: Verified, bundle: Path, public_key: Path | None) -> list[str]:
    """Return shell lines, ready to paste, that check the same without this program.

    First openssl with jq; then cosign before and since 3.0.4, which also compare the subject
    with a file of those bytes: the submission as handed in, or the image's manifest or config.
    Then the leaf of the log, and how a result stands beside its image in a registry. Without a
    file of the public key, one is written from the trust file's.
    """
    pem = shlex.quote(str(public_key or "result-key.pub"))
    file = shlex.quote(str(bundle))
    lines = ["", "The same signature, checked without this program:", ""]
    if public_key is None:
        written = " ".join(map(shlex.quote, verified.pem.decode().splitlines()))
        lines += ["# the owner's public key", f"printf '%s\\n' {written} > {pem}"]
    shown = [*_openssl(verified, file, pem), *_cosign(verified, file, pem), *_leaf(verified, file)]
    return [*lines, *shown, *(_oras(verified, bundle) if verified.kind == RESULT else ())]


def _openssl(verified: Verified, file: str, pem: str) -> list[str]:
    check = (
        f"openssl pkeyutl -verify -pubin -inkey {pem} -rawin -in pae -sigfile sig"
        if isinstance(load_public_key(verified.pem), Ed25519PublicKey)
        else f"openssl dgst -sha256 -verify {pem} -signature sig pae"
    )
    length = '"$(wc -c < payload)"'
    return [
        "# openssl and jq: the signature, over DSSE's pre-authentication encoding",
        f"jq -rj .dsseEnvelope.payload {file} | base64 -d > payload",
        f"jq -rj '.dsseEnvelope.signatures[0].sig' {file} | base64 -d > sig",
        f"printf 'DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} %d ' {length} | cat - payload > pae",
        check,
    ]


def _cosign(verified: Verified, file: str, pem: str) -> list[str]:
    blob = _blob(verified)
    cosign = (
        f"cosign verify-blob-attestation --key {pem} --bundle {file} --type {verified.kind} "
        "--insecure-ignore-tlog=true"
    )
    return [
        f"# cosign before 3.0.4: the signature, and that {blob} is the subject",
        f"printf '%s' {shlex.quote(EMPTY_TRUSTED_ROOT)} > empty-root.json",
        f"{cosign} --new-bundle-format --trusted-root empty-root.json {blob}",
        "# cosign 3.0.4 or later: the same",
        f"{cosign} {blob}",
    ]


def _blob(verified: Verified) -> str:
    """The file whose SHA-256 is the subject's digest."""
    said = verified.predicate.get("submission", verified.predicate)
    if "digest_of" not in said:
        name = str(verified.statement["subject"][0]["name"])
        return "SUBMISSION" if name == "submission" else shlex.quote(name)
    as_handed_in = "model.onnx" if said["kind"] == "onnx" else "image.tar"
    return as_handed_in if said["digest_of"] == "file" else f"{said['digest_of']}.json"


def _leaf(verified: Verified, file: str) -> list[str]:
    return [
        f"# jq and coreutils: the log's leaf of this statement is {verified.leaf.hex()}",
        f"{{ printf '\\0'; jq -cSj .dsseEnvelope {file}; }} | sha256sum",
    ]


def _oras(verified: Verified, bundle: Path) -> list[str]:
    """How a result comes to stand beside its submission in a registry, and is found there."""
    manifest = verified.predicate["submission"]["digest_of"] == "manifest"
    subject = verified.statement["subject"][0]["digest"]["sha256"]
    digest = subject if manifest else "MANIFEST"
    # By its name alone: `oras pull` makes the path by which a file was attached.
    folder, name = (shlex.quote(str(each)) for each in (bundle.parent, bundle.name))
    attach = f'oras attach --artifact-type {MEDIA_TYPE} "$artifact" {name}:{MEDIA_TYPE}'
    discover = f'oras discover --format json --artifact-type {MEDIA_TYPE} "$artifact"'
    return [
        "# oras: the result put beside its submission in a registry, and fetched from there",
        f"artifact=REGISTRY/NAME@sha256:{digest}",
        f"(cd {folder} && {attach})",
        f"found=$({discover} | jq -r '(.referrers // .manifests)[-1].digest')",
        'oras pull "${artifact%@*}@$found"',
    ]

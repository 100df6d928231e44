"""What is attached to a digest: OCI manifests with a `subject`, and where they are listed.

A registry of distribution specification 1.1 lists them itself. For an older one, whoever attaches
keeps a list: an index under the tag sha256-HEX, as cosign, oras and notation read and write it.
Two who attach at the same moment can lose an entry of each other's there; it is looked at again
after it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.registry.documents import (
    EMPTY,
    MALFORMED,
    OCI_INDEX,
    OCI_MANIFEST,
    TITLE,
    Descriptor,
    descriptor,
    digest_of,
    packed,
)
from evaluator.registry.errors import Gone, Lied, RegistryError, TooLarge, lied
from evaluator.registry.names import DIGEST, referrers_tag, require_repository

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.registry.client import Client

_TRIES = 4
_MOST_LISTED = 2**22 - 2**16  # bytes of an index that can be read again


@dataclass(frozen=True, slots=True)
class File:
    """Something to attach."""

    name: str
    media_type: str
    content: bytes


def attach(  # noqa: PLR0913, PLR0917 - what a referrer consists of
    client: Client,
    repository: str,
    subject: Descriptor,
    artifact_type: str,
    files: Sequence[File],
    annotations: Mapping[str, str],
) -> Descriptor:
    """Attach files to a digest, one layer each; the same files again change nothing."""
    empty = client.push_blob(repository, b"{}", EMPTY)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": empty.document(),
        "layers": [_pushed(client, repository, file) for file in files] or [empty.document()],
        "subject": Descriptor(subject.media_type, subject.digest, subject.size).document(),
    }
    if annotations:
        document["annotations"] = dict(annotations)
    raw = packed(document)
    referrer = Descriptor(OCI_MANIFEST, digest_of(raw), len(raw), artifact_type, dict(annotations))
    reply = client.push_manifest(repository, referrer.digest, raw, OCI_MANIFEST)
    if reply.headers.get("OCI-Subject") != subject.digest:  # it does not list referrers itself
        _list(client, repository, subject.digest, referrer)
    return referrer


def _pushed(client: Client, repository: str, file: File) -> dict[str, Any]:
    blob = client.push_blob(repository, file.content, file.media_type)
    return {**blob.document(), "annotations": {TITLE: file.name}}


def _list(client: Client, repository: str, subject: str, referrer: Descriptor) -> None:
    """Have the list of a digest's referrers name this one, and what it named before."""
    for _ in range(_TRIES):
        listed = _listed(client, repository, subject)
        if referrer.digest in {entry.digest for entry in listed}:
            return
        entries = [entry.document() for entry in (*listed, referrer)]
        raw = packed({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
        if len(raw) > _MOST_LISTED:
            raise TooLarge(len(raw))
        client.push_manifest(repository, referrers_tag(subject), raw, OCI_INDEX)
    if referrer.digest not in {entry.digest for entry in _listed(client, repository, subject)}:
        raise RegistryError(
            "Something else keeps rewriting the list of what is attached to a digest, so it does "
            "not name what was attached now. Attach it again."
        )


def _listed(client: Client, repository: str, subject: str) -> list[Descriptor]:
    """What the list has; nothing where the tag is missing or leads to something else."""
    try:
        index = client.manifest(repository, referrers_tag(subject), (OCI_INDEX,))
        if index.media_type != OCI_INDEX:
            return []
        return [descriptor(entry) for entry in index.document()["manifests"]]
    except (Gone, Lied, *MALFORMED):  # it is of no use to anybody, and is written anew
        return []


def referrers(client: Client, repository: str, digest: str) -> list[Descriptor]:
    """What is attached to a digest, by the registry's own list or the one under the tag."""
    require_repository(repository)
    if not DIGEST.fullmatch(digest):
        return []
    found: list[Descriptor] = []
    try:
        for page in client.pages(f"/v2/{repository}/referrers/{digest}", client.pulls(repository)):
            found += [descriptor(entry) for entry in page["manifests"]]
    except Gone:
        return _listed(client, repository, digest)
    except MALFORMED as error:
        raise lied("a list of referrers is none") from error
    return found

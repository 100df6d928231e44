"""Manifests and descriptors: a registry's bytes become values, or an error that says so."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from evaluator.registry.errors import lied
from evaluator.registry.names import DIGEST

if TYPE_CHECKING:
    from collections.abc import Mapping

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
TITLE: Final = "org.opencontainers.image.title"
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_LIST)
_LARGEST = 2**53
# Whatever following a malformed document can raise.
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


def digest_of(content: bytes) -> str:
    """As a descriptor gives it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What content is called and how large it is, by somebody's word."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


def descriptor(document: dict[str, Any]) -> Descriptor:
    """Read a descriptor; one of `MALFORMED` where it is none."""
    digest, size, media_type = document["digest"], document["size"], document["mediaType"]
    if not isinstance(media_type, str) or not DIGEST.fullmatch(digest):
        raise ValueError
    if type(size) is not int or not 0 <= size <= _LARGEST:
        raise ValueError
    artifact_type, annotations = document.get("artifactType", ""), document.get("annotations") or {}
    texts = [artifact_type, *annotations.keys(), *annotations.values()]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError
    return Descriptor(media_type, digest, size, artifact_type, annotations)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index: its bytes as they came, and the digest that these have."""

    raw: bytes
    media_type: str
    digest: str

    @property
    def descriptor(self) -> Descriptor:
        """What others refer to it by."""
        return Descriptor(self.media_type, self.digest, len(self.raw))

    def document(self) -> dict[str, Any]:
        """Its JSON object, which may hold anything else; ValueError where it is none."""
        loaded = json.loads(self.raw, object_pairs_hook=_no_duplicates)
        if not isinstance(loaded, dict):
            raise ValueError  # noqa: TRY004 - one of MALFORMED is as good as another
        return loaded

    @property
    def is_referrer(self) -> bool:
        """Whether it is attached to another manifest, and no submission of its own."""
        return "subject" in self.document()


def read_manifest(raw: bytes, content_type: str) -> Manifest:
    """A manifest, known by one type and no other: which fields count hangs on it."""
    said = content_type.partition(";")[0].strip()
    manifest = Manifest(raw, said, digest_of(raw))
    try:
        document = manifest.document()
    except MALFORMED as error:
        raise lied("a manifest is no JSON object") from error
    if document.get("mediaType", said) != said or {"layers", "manifests"} <= document.keys():
        raise lied("a manifest is of two kinds at once")
    return manifest


def packed(document: Mapping[str, Any]) -> bytes:
    """The same bytes every time."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)

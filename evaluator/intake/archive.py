"""The one image of a submitted archive: its settings, and where its layers lie.

Two layouts are read: that of `docker save` (manifest.json names config and layers; old ones
link equal layers to each other) and the OCI image layout 1.1, as a tar.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.image_settings import is_own_platform
from evaluator.intake.layers import plain_path
from evaluator.intake.refusals import Incomplete, refused
from evaluator.intake.streams import Region
from evaluator.intake.tarstream import Malformed, Reader

if TYPE_CHECKING:
    from evaluator.intake.tarstream import Entry

_MAX_MEMBERS = 10_000
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_DIFF_ID = re.compile(r"sha256:[0-9a-f]{64}")
# Whatever following a malformed document can raise.
_MALFORMED = (Malformed, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Blob:
    """A member's bytes, and the digest that something in the archive gives them."""

    start: int
    size: int
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image config as a vendor wrote it, and a stored layer for each of its digests."""

    config: dict[str, Any]
    layers: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class Archive:
    """An uncompressed tar: `size` bytes of `descriptor`, from its start."""

    descriptor: int
    members: dict[str, Entry]
    places: dict[str, int]
    document_bytes: int

    def blob(self, name: str) -> Blob:
        """Where a file lies; a link inside the archive is followed once."""
        member = self._member(name)
        if member.kind == "symlink":
            name = member.link.removeprefix("../")
            member = self._member(name)
        if member.kind != "file":
            raise Malformed
        return Blob(self.places[name], member.size)

    def _member(self, name: str) -> Entry:
        if name not in self.members:
            raise Incomplete
        return self.members[name]

    def document(self, blob: Blob) -> Any:  # noqa: ANN401 - any JSON
        """A JSON file, read strictly."""
        if blob.size > self.document_bytes:
            raise refused("EVA108")
        region = Region(self.descriptor, blob.start, blob.size)
        content = b"".join(iter(region.read, b""))
        if blob.digest and f"sha256:{hashlib.sha256(content).hexdigest()}" != blob.digest:
            raise refused("EVA106")
        return json.loads(content, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)

    def described(self, descriptor: dict[str, Any]) -> Blob:
        """The blob of an OCI descriptor, which gives its digest and its size."""
        digest = _DIGEST.fullmatch(descriptor["digest"])
        if digest is None:
            raise Malformed
        found = self.blob(f"blobs/sha256/{digest[1]}")
        if found.size != descriptor["size"]:
            raise refused("EVA106")
        return Blob(found.start, found.size, digest[0])


def find_image(descriptor: int, start: int, size: int, document_bytes: int, layers: int) -> Image:
    """Find the one image of the archive at `start`; Refused where there is none."""
    try:
        archive = _opened(descriptor, start, size, document_bytes)
        image = _docker(archive) if "manifest.json" in archive.members else _oci(archive)
        diff_ids = image.config["rootfs"]["diff_ids"]
        if len(diff_ids) != len(image.layers) or not diff_ids:
            raise Malformed
        if not all(_DIFF_ID.fullmatch(each) for each in diff_ids):
            raise Malformed
    except _MALFORMED as error:
        raise refused("EVA101") from error
    if len(image.layers) > layers:
        raise refused("EVA108")
    return image


def _opened(descriptor: int, start: int, size: int, document_bytes: int) -> Archive:
    """List an archive: files, directories and links with plain names that stand once."""
    region = Region(descriptor, start, size)
    members: dict[str, Entry] = {}
    places: dict[str, int] = {}
    reader = Reader(region)
    for entry in reader:
        name = plain_path(entry.name)
        if name is None and entry.kind == "directory" and entry.name in {".", "./"}:
            continue
        if name is None or name in members or len(members) == _MAX_MEMBERS:
            raise Malformed
        if entry.kind not in {"file", "directory", "symlink"}:
            raise Malformed
        members[name], places[name] = entry, start + reader.offset
    return Archive(descriptor, members, places, document_bytes)


def _docker(archive: Archive) -> Image:
    (entry,) = archive.document(archive.blob("manifest.json"))
    config = archive.document(archive.blob(entry["Config"]))
    return Image(config, tuple(archive.blob(name) for name in entry["Layers"]))


def _oci(archive: Archive) -> Image:
    manifest = archive.document(_fitting(archive, archive.document(archive.blob("index.json"))))
    if "manifests" in manifest:  # an index in the index: one image for many platforms
        manifest = archive.document(_fitting(archive, manifest))
    config = archive.document(archive.described(manifest["config"]))
    return Image(config, tuple(archive.described(layer) for layer in manifest["layers"]))


def _fitting(archive: Archive, index: dict[str, Any]) -> Blob:
    """The one image of an index that this host can run.

    Builders put attestations beside it, as images for the platform unknown/unknown: they are
    never opened.
    """
    entries = index["manifests"]
    fitting = [entry for entry in entries if is_own_platform(entry.get("platform"))]
    if entries and not fitting:
        raise refused("EVA104")
    (entry,) = fitting
    return archive.described(entry)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise Malformed
    return dict(pairs)


def _no_constant(_: str) -> None:
    raise Malformed  # NaN and Infinity are no JSON

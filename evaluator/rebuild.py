"""The archive that the engine gets in place of the submitted one.

It holds the same layers, unpacked and hashed here, under our config and without a name,
in the two layouts that engines read: manifest.json for Docker's own image store, and an
OCI image layout (OCI image spec 1.1, image-layout.md) for containerd's.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evaluator.intake import ImageArchive

_MAX_UNPACKED = 64 * 2**30
_OCI = "application/vnd.oci.image"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A `docker save` archive in chunks, and the id that its image gets.

    Docker's own store names an image by its config's digest, containerd's by its
    manifest's; both are computed here.
    """

    ids: tuple[str, str]
    chunks: Iterator[bytes]


def rebuild(archive: ImageArchive, config: bytes) -> Rebuilt:
    """Put the layers of `archive` under `config`, which lists the same layers.

    Raises Refused for a layer whose bytes are not what its digest says, or for more than
    64 GiB in all.
    """
    layers = _layers(archive)
    manifest = _dump(
        schemaVersion=2,
        mediaType=f"{_OCI}.manifest.v1+json",
        config=_descriptor("config.v1+json", _digest(config), len(config)),
        layers=[_descriptor("layer.v1.tar", digest, size) for digest, size in layers],
    )
    entry = _descriptor("manifest.v1+json", _digest(manifest), len(manifest))
    names = [_blob(digest) for digest, _ in layers]
    image = {"Config": _blob(_digest(config)), "RepoTags": None, "Layers": names}
    documents = {
        "oci-layout": _dump(imageLayoutVersion="1.0.0"),
        "index.json": _dump(schemaVersion=2, manifests=[entry]),
        "manifest.json": json.dumps([image]).encode(),
        _blob(_digest(manifest)): manifest,
        _blob(_digest(config)): config,
    }
    return Rebuilt((_digest(config), _digest(manifest)), _archive(documents, archive, layers))


def _layers(archive: ImageArchive) -> list[tuple[str, int]]:
    """Digest and size, in bytes, of each layer when unpacked.

    An engine that knows a digest already takes its own layer instead of the bytes, so a
    digest alone would open another vendor's image.
    """
    layers = []
    left = _MAX_UNPACKED
    for number, expected in enumerate(archive.config["rootfs"]["diff_ids"]):
        digest, size = _measured(archive.layer(number), left)
        if digest != expected:
            raise Refused(
                "EVA106",
                "a layer's bytes and its digest differ. Save the image again with `docker save`; "
                "layers may be compressed with gzip or not at all.",
            )
        left -= size
        layers.append((digest, size))
    return layers


def _measured(content: Iterable[bytes], limit: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    try:
        for piece in content:
            digest.update(piece)
            size += len(piece)
            if size > limit:
                raise Refused("EVA102", "the image is larger than 64 GiB when unpacked.")
    except zlib.error:
        return "", 0
    return f"sha256:{digest.hexdigest()}", size


def _archive(
    documents: dict[str, bytes], archive: ImageArchive, layers: list[tuple[str, int]]
) -> Iterator[bytes]:
    for name, content in documents.items():
        yield from _member(name, len(content), [content])
    # Equal layers are one file.
    for (digest, size), number in {layer: number for number, layer in enumerate(layers)}.items():
        yield from _member(_blob(digest), size, archive.layer(number))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
    """One tar member: header, content and padding."""
    info = tarfile.TarInfo(name)
    info.size = size
    yield info.tobuf(tarfile.GNU_FORMAT)
    yield from content
    yield bytes(-size % tarfile.BLOCKSIZE)


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{_OCI}.{kind}", "digest": digest, "size": size}


def _dump(**document: Any) -> bytes:  # noqa: ANN401 - JSON
    return json.dumps(document).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"

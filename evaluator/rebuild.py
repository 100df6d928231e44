"""The archive that the engine gets in place of the submitted one.

It holds the layers that intake wrote, hashed here, under our config and without a name, in
the two layouts that engines read: manifest.json for Docker's own image store, and an OCI
image layout (OCI image spec 1.1, image-layout.md) for containerd's.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.image_settings import ARCHITECTURE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from evaluator.intake.door import Unpacked
    from evaluator.intake.pieces import Layer

_OCI = "application/vnd.oci.image"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A `docker save` archive in chunks, and the id that its image gets.

    Docker's own store names an image by its config's digest, containerd's by its
    manifest's; both are computed here.
    """

    ids: tuple[str, str]
    chunks: Iterator[bytes]


def rebuild(image: Unpacked, finished: Callable[[dict[str, Any]], bytes]) -> Rebuilt:
    """Put the layers of `image` under its settings; `finished` writes a config as JSON."""
    layers = [(_hashed(layer.chunks()), layer) for layer in image.layers]
    config = finished(
        {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest for digest, _ in layers]},
            "config": image.settings,
        }
    )
    manifest = _dump(
        schemaVersion=2,
        mediaType=f"{_OCI}.manifest.v1+json",
        config=_descriptor("config.v1+json", _digest(config), len(config)),
        layers=[_descriptor("layer.v1.tar", digest, layer.size) for digest, layer in layers],
    )
    entry = _descriptor("manifest.v1+json", _digest(manifest), len(manifest))
    names = [_blob(digest) for digest, _ in layers]
    archived = {"Config": _blob(_digest(config)), "RepoTags": None, "Layers": names}
    documents = {
        "oci-layout": _dump(imageLayoutVersion="1.0.0"),
        "index.json": _dump(schemaVersion=2, manifests=[entry]),
        "manifest.json": json.dumps([archived]).encode(),
        _blob(_digest(manifest)): manifest,
        _blob(_digest(config)): config,
    }
    # Equal layers are one file.
    return Rebuilt((_digest(config), _digest(manifest)), _archive(documents, dict(layers)))


def _archive(documents: dict[str, bytes], layers: dict[str, Layer]) -> Iterator[bytes]:
    for name, content in documents.items():
        yield from _member(name, len(content), [content])
    for digest, layer in layers.items():
        yield from _member(_blob(digest), layer.size, layer.chunks())
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


def _hashed(content: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in content:
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _digest(content: bytes) -> str:
    return _hashed([content])


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"

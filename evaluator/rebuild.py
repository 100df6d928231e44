"""The archive that the engine gets in place of the submitted one.

It holds the layers that intake wrote, under our config and without a name, for the two layouts that
engines read: manifest.json for Docker's own image store, and an OCI image layout (OCI image spec
1.1, image-layout.md) for containerd's. The layers come first and are hashed on their way, so that
what a digest is of is what the engine got; the documents that name them come last. An engine makes
nothing of an archive that has no such document.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.image_settings import ARCHITECTURE

if TYPE_CHECKING:
    from _hashlib import HASH
    from collections.abc import Callable, Iterable, Iterator

    from evaluator.intake.door import Unpacked

_OCI = "application/vnd.oci.image"


@dataclass(slots=True)
class Rebuilt:
    """The layers of an image under its settings; `finished` writes a config as JSON.

    `ids` are what its image can have for an id, once all `chunks` were taken: Docker's own store
    names it by its config's digest, containerd's by its manifest's.
    """

    image: Unpacked
    finished: Callable[[dict[str, Any]], bytes]
    ids: tuple[str, ...] = ()

    def chunks(self) -> Iterator[bytes]:
        """A `docker save` archive."""
        # containerd goes on with what an interrupted load left under a name, whatever it was.
        folder, names, layers = secrets.token_hex(8), list[str](), list[dict[str, Any]]()
        for number, layer in enumerate(self.image.layers):
            digest = hashlib.sha256()
            names.append(f"{folder}/{number}")
            yield from _member(names[-1], layer.size, _hashed(layer.chunks(), digest))
            layers.append(_descriptor("layer.v1.tar", digest, layer.size))
        documents, self.ids = self._documents(names, layers)
        for name, content in documents.items():
            yield from _member(name, len(content), [content])
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _documents(
        self, names: list[str], layers: list[dict[str, Any]]
    ) -> tuple[dict[str, bytes], tuple[str, ...]]:
        """What makes an image of members of these names and descriptors, and its ids."""
        config = self.finished(
            {
                "architecture": ARCHITECTURE,
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
                "config": self.image.settings,
            }
        )
        of_config = _descriptor("config.v1+json", hashlib.sha256(config), len(config))
        manifest = _dump(
            schemaVersion=2,
            mediaType=f"{_OCI}.manifest.v1+json",
            config=of_config,
            layers=layers,
        )
        entry = _descriptor("manifest.v1+json", hashlib.sha256(manifest), len(manifest))
        archived = {"Config": _blob(of_config), "RepoTags": None, "Layers": names}
        documents = {
            _blob(of_config): config,
            _blob(entry): manifest,
            "oci-layout": _dump(imageLayoutVersion="1.0.0"),
            "index.json": _dump(schemaVersion=2, manifests=[entry]),
            "manifest.json": json.dumps([archived]).encode(),
        }
        return documents, (of_config["digest"], entry["digest"])


def _member(name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
    """One tar member: header, content and padding."""
    info = tarfile.TarInfo(name)
    info.size = size
    yield info.tobuf(tarfile.GNU_FORMAT)
    yield from content
    yield bytes(-size % tarfile.BLOCKSIZE)


def _hashed(content: Iterable[bytes], digest: HASH) -> Iterator[bytes]:
    for chunk in content:
        digest.update(chunk)
        yield chunk


def _descriptor(kind: str, digest: HASH, size: int) -> dict[str, Any]:
    named = f"sha256:{digest.hexdigest()}"
    return {"mediaType": f"{_OCI}.{kind}", "digest": named, "size": size}


def _dump(**document: Any) -> bytes:  # noqa: ANN401 - JSON
    return json.dumps(document).encode()


def _blob(descriptor: dict[str, Any]) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"

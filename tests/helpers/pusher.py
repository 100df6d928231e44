"""A vendor's push without an engine: tiny images and artifacts, by plain HTTP.

    vendor = Pusher(registry.url)                             or Pusher(url, (user, password), ca)
    vendor.image("acme/model", "v1", {"predict": script})     an image of one layer
    vendor.artifact("acme/model", "v1", {"model.onnx": (ONNX, content)})  as `oras push` does

Both return the manifest's bytes; `digest_of` says what the registry knows them by.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ONNX = "application/vnd.onnx"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"


def digest_of(content: bytes) -> str:
    """As descriptors give it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def described(content: bytes, media_type: str) -> dict[str, Any]:
    """The descriptor of some content."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


@dataclass(frozen=True)
class Pusher:
    """Somebody who may push to a registry."""

    url: str
    auth: tuple[str, str] | None = None
    ca: Path | None = None

    def blob(self, repository: str, content: bytes, media_type: str) -> dict[str, Any]:
        """Upload a blob and return its descriptor."""
        place = f"{self.url}/v2/{repository}/blobs/uploads/"
        with self._session() as session:
            begun = session.post(place, timeout=20)
            begun.raise_for_status()
            place = urljoin(place, begun.headers["Location"])
            place += f"{'&' if '?' in place else '?'}digest={digest_of(content)}"
            session.put(place, data=content, timeout=20).raise_for_status()
        return described(content, media_type)

    def manifest(self, repository: str, reference: str, document: Mapping[str, Any]) -> bytes:
        """Upload a manifest under a tag, or its digest where there is none; return its bytes."""
        content = json.dumps(document).encode()
        place = f"{self.url}/v2/{repository}/manifests/{reference or digest_of(content)}"
        headers = {"Content-Type": document["mediaType"]}
        with self._session() as session:
            answer = session.put(place, data=content, headers=headers, timeout=20)
            answer.raise_for_status()
        return content

    def image(
        self,
        repository: str,
        tag: str,
        files: Mapping[str, bytes],
        platform: tuple[str, str] = ("linux", "amd64"),
    ) -> bytes:
        """Push an image of one layer whose first file is its entry point."""
        layer = tar_of(files)
        config = image_config(layer, f"/{next(iter(files))}", platform)
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(repository, config, CONFIG),
            "layers": [self.blob(repository, gzip.compress(layer, mtime=0), LAYER)],
        }
        return self.manifest(repository, tag, document)

    def artifact(
        self, repository: str, tag: str, files: Mapping[str, tuple[str, bytes]], **more: object
    ) -> bytes:
        """Push files by name, each (media type, content); `more` goes into the manifest."""
        layers = [
            {
                **self.blob(repository, content, media_type),
                "annotations": {"org.opencontainers.image.title": name},
            }
            for name, (media_type, content) in files.items()
        ]
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.unknown.artifact.v1",
            "config": self.blob(repository, b"{}", EMPTY),
            "layers": layers,
            **more,
        }
        return self.manifest(repository, tag, document)

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.auth = self.auth
        session.verify = str(self.ca) if self.ca else True
        return session


def image_config(layer: bytes, entry_point: str, platform: tuple[str, str]) -> bytes:
    """The config of an image of one layer."""
    config = {
        "architecture": platform[1],
        "os": platform[0],
        "config": {"Entrypoint": [entry_point]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
    }
    return json.dumps(config).encode()


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A layer of executable files, not compressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()

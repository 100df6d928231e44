"""A registry in memory, with what real ones do wrong; it speaks the interface of `Registry`.

    registry = FakeRegistry()
    digest = registry.push_model("acme/model", "v1", b"a model")
    registry.troubles["acme/model"] = Unreachable("...")        every request about it raises

Attached manifests lie in `attached`, by repository and digest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from evaluator.registry import Descriptor, Gone, Layout, Manifest, TooLarge
from evaluator.registry.documents import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from evaluator.registry import File

OCI = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
TITLE = "org.opencontainers.image.title"


@dataclass
class FakeRegistry:
    """Repositories of tags and manifests, and blobs."""

    contents: dict[str, dict[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    attached: dict[tuple[str, str], dict[str, tuple[File, ...]]] = field(default_factory=dict)
    troubles: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    noted: Path | None = None  # a file of what was attached, also by a process that was killed

    # What vendors do

    def push_model(
        self,
        repository: str,
        tag: str,
        model: bytes,
        recipe: bytes | None = None,
        created: str = "",
    ) -> str:
        """Push what `oras push` makes of a file, and of a recipe beside it."""
        layers = [self.part(model, "model.onnx")]
        if recipe is not None:
            layers.append(self.part(recipe, "hyperparameters.json"))
        document = {
            "config": self.part(b"{}", media_type="application/vnd.oci.empty.v1+json"),
            "layers": layers,
            "annotations": {"org.opencontainers.image.created": created},
        }
        return self.push(repository, tag, document)

    def push_image(self, repository: str, tag: str, layer: bytes, size: int | None = None) -> str:
        """Push an image of one layer, which may say another size."""
        part = self.part(layer, media_type="application/vnd.oci.image.layer.v1.tar")
        part["size"] = len(layer) if size is None else size
        config = self.part(b"{}", media_type=CONFIG)
        return self.push(repository, tag, {"config": config, "layers": [part]})

    def push(self, repository: str, tag: str, document: Mapping[str, object]) -> str:
        """Push any manifest and return its digest."""
        raw = json.dumps({"schemaVersion": 2, "mediaType": OCI, **document}).encode()
        self.contents.setdefault(repository, {})[tag] = raw
        return digest_of(raw)

    def part(
        self, content: bytes, title: str = "", media_type: str = "application/octet-stream"
    ) -> dict[str, object]:
        """Upload a blob and return its descriptor."""
        self.blobs[digest_of(content)] = content
        named = {"annotations": {TITLE: title}} if title else {}
        described = {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
        return {**described, **named}

    # What the watcher asks

    def repositories(self) -> Iterator[str]:
        """The catalog."""
        self._may("")
        return iter(list(self.contents))

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository."""
        self._may(repository)
        return list(self.contents[repository])

    def manifest(self, repository: str, reference: str) -> Manifest:
        """A manifest by tag or digest."""
        self._may(repository, f"{repository}:{reference}")
        tags = self.contents[repository]
        by_digest = {digest_of(raw): raw for raw in tags.values()}
        raw = tags.get(reference) or by_digest.get(reference)
        if raw is None:
            raise Gone("no such manifest")
        return Manifest(raw, OCI, digest_of(raw))

    def blob(self, repository: str, blob: Descriptor, file: BinaryIO) -> None:
        """Write a blob."""
        self._may(repository, blob.digest)
        file.write(self._content(blob.digest))
        file.flush()

    def pull_layout(self, repository: str, digest: str, folder: Path, most: int) -> Layout:
        """Write a model, or an image as a layout that names it."""
        self._may(repository, digest)
        manifest = self.manifest(repository, digest)
        document = manifest.document()
        size = sum(part["size"] for part in document["layers"])
        if size > most:
            raise TooLarge(size)
        if document["config"]["mediaType"] != CONFIG:
            (folder / "model.onnx").write_bytes(self._content(document["layers"][0]["digest"]))
            return Layout("onnx", folder / "model.onnx", digest, digest, size)
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        (blobs / digest.partition(":")[2]).write_bytes(manifest.raw)
        for part in (document["config"], *document["layers"]):
            path = blobs / part["digest"].partition(":")[2]
            path.write_bytes(self._content(part["digest"]))
        named = {"mediaType": OCI, "digest": digest, "size": len(manifest.raw)}
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
        return Layout("image", folder, digest, digest, size)

    def _content(self, digest: str) -> bytes:
        if digest not in self.blobs:
            raise Gone("no such blob")
        return self.blobs[digest]

    def attach(
        self,
        repository: str,
        subject: Descriptor,
        artifact_type: str,
        files: Sequence[File],
        annotations: Mapping[str, str],
    ) -> Descriptor:
        """Attach files; the same ones a second time change nothing."""
        self._may(repository, f"attach {repository}")
        said = [artifact_type, sorted(annotations.items())]
        contents = [(file.name, file.media_type, file.content.hex()) for file in files]
        raw = json.dumps([subject.digest, said, contents]).encode()
        there = self.attached.setdefault((repository, subject.digest), {})
        there[digest_of(raw)] = tuple(files)
        if self.noted:
            with self.noted.open("a") as file:
                file.write(f"{repository} {subject.digest} {files[0].name}\n")
        return Descriptor(OCI, digest_of(raw), len(raw))

    def names(self, repository: str, digest: str) -> list[str]:
        """The names of what is attached, without their ends."""
        there = self.attached.get((repository, digest), {}).values()
        return sorted(files[0].name.removesuffix(".sigstore.json") for files in there)

    def _may(self, *about: str) -> None:
        self.asked.extend(about)
        for each in about:
            if each in self.troubles:
                raise self.troubles[each]

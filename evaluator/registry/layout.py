"""A submission from a registry into a folder, as the intake reads one: a layout, or a model.

    folder/index.json, oci-layout, blobs/sha256/...     an image: `Submission("image", folder, "")`
    folder/model.onnx                                   an artifact, its hyperparameters.json apart

What a manifest declares is summed before any of it is fetched. A folder that holds a part of it
already, after a kill, is gone on with.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evaluator.errors import Refused
from evaluator.image_settings import is_own_platform
from evaluator.intake.refusals import refused
from evaluator.recipe import MAX_BYTES
from evaluator.registry.documents import (
    INDEXES,
    MALFORMED,
    MANIFESTS,
    OCI_INDEX,
    TITLE,
    descriptor,
    packed,
)
from evaluator.registry.errors import RegistryError, TooLarge

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from evaluator.registry.client import Client
    from evaluator.registry.documents import Descriptor, Manifest

MODEL = "model.onnx"
RECIPE = "hyperparameters.json"
_ONNX = "application/vnd.onnx"
CONFIGS = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
}
_MOST_LAYERS = 1000
_NO_SUBMISSION = (
    "what the registry has of that name is neither an image nor an artifact of one ONNX file, with "
    "or without a hyperparameters.json. Push an image, or `oras push REPOSITORY:TAG "
    "model.onnx:application/vnd.onnx`."
)


@dataclass(frozen=True, slots=True)
class Layout:
    """A submission that is here: `file` is a layout's directory or an ONNX file.

    `named` is the digest it was asked for by, perhaps of an index; `manifest` that of the one
    manifest that was taken. `size` is in bytes, of all that was fetched.
    """

    kind: Literal["image", "onnx"]
    file: Path
    named: str
    manifest: str
    size: int
    recipe: bytes | None = None


def pull_layout(client: Client, repository: str, digest: str, folder: Path, most: int) -> Layout:
    """Fetch the one submission behind a digest; TooLarge, with nothing fetched, above `most`.

    Refused says that the vendor pushed something else.
    """
    named = client.manifest(repository, digest)
    try:
        taken = _taken(client, repository, named)
        document = taken.document()
        if taken.media_type not in MANIFESTS or "subject" in document:
            raise _no_submission()
        config = descriptor(document["config"])
        layers = [descriptor(layer) for layer in document["layers"]]
    except MALFORMED as error:
        raise _no_submission() from error
    if len(layers) > _MOST_LAYERS:
        raise refused("EVA108")
    wanted = {blob.digest: blob for blob in (config, *layers)}
    size = sum(blob.size for blob in wanted.values())
    if size > most:
        raise TooLarge(size)
    puller = _Puller(client, repository, folder)
    file, recipe = folder, None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if config.media_type in CONFIGS:
            puller.image(wanted.values(), named, taken)
        else:
            found = artifact(layers)
            if found is None:
                raise _no_submission()
            file, recipe = folder / MODEL, puller.model(*found)
    except OSError as error:
        raise RegistryError(
            f"What the registry has cannot be written here: {error.strerror}. Make room for it."
        ) from error
    kind: Literal["image", "onnx"] = "image" if file is folder else "onnx"
    return Layout(kind, file, named.digest, taken.digest, size, recipe)


def _taken(client: Client, repository: str, named: Manifest) -> Manifest:
    """The manifest itself, or the one of an index that this host can run."""
    if named.media_type not in INDEXES:
        return named
    document = named.document()
    if "subject" in document:
        raise _no_submission()
    entries = document["manifests"]
    fitting = [entry for entry in entries if is_own_platform(entry.get("platform"))]
    if entries and not fitting:
        raise refused("EVA104")
    (entry,) = fitting
    return client.manifest(repository, descriptor(entry).digest)


def artifact(layers: Sequence[Descriptor]) -> tuple[Descriptor, Descriptor | None] | None:
    """The model among the files of an artifact, and the recipe; None where it is no submission.

    One file of ONNX's media type, or whose name ends so, with or without hyperparameters.json.
    """
    recipes = [layer for layer in layers if _name(layer) == RECIPE]
    models = [layer for layer in layers if layer.media_type == _ONNX or _is_onnx(_name(layer))]
    if len(models) != 1 or len(recipes) > 1 or len(layers) != len(models) + len(recipes):
        return None
    if any(recipe.size > MAX_BYTES for recipe in recipes):
        return None
    return models[0], recipes[0] if recipes else None


def _name(layer: Descriptor) -> str:
    """What a file was pushed as, without the folders before it."""
    return layer.annotations.get(TITLE, "").rpartition("/")[2]


def _is_onnx(name: str) -> bool:
    return name.lower().endswith(".onnx")


@dataclass(frozen=True, slots=True)
class _Puller:
    """Where from, and where to."""

    client: Client
    repository: str
    folder: Path

    def model(self, model: Descriptor, recipe: Descriptor | None) -> bytes | None:
        """Fetch the model and return the recipe."""
        self._fetch(model, self.folder / MODEL)
        if recipe is None:
            return None
        said = io.BytesIO()
        self.client.blob(self.repository, recipe, said)
        return said.getvalue()

    def image(self, blobs: Collection[Descriptor], named: Manifest, taken: Manifest) -> None:
        """Fill the folder; index.json, which makes it a layout, comes last."""
        store = self.folder / "blobs" / "sha256"
        store.mkdir(parents=True, exist_ok=True)
        for blob in blobs:
            self._fetch(blob, store / _hex(blob.digest))
        for manifest in (named, taken):
            (store / _hex(manifest.digest)).write_bytes(manifest.raw)
        entries = [named.descriptor.document()]
        (self.folder / "oci-layout").write_bytes(packed({"imageLayoutVersion": "1.0.0"}))
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        (self.folder / "index.json").write_bytes(packed(index))

    def _fetch(self, blob: Descriptor, path: Path) -> None:
        path.touch(mode=0o600)
        with path.open("r+b") as file:
            self.client.blob(self.repository, blob, file)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _no_submission() -> Refused:
    return Refused("EVA101", _NO_SUBMISSION)

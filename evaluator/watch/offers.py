"""What a manifest hands in: an image, an ONNX file (perhaps with a recipe), or nothing.

    offer = read_offer(manifest)     None: no submission

A manifest is a vendor's. It is parsed here for its kind and for what it says of sizes; what is in
an image is the intake's to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evaluator.recipe import MAX_BYTES
from evaluator.registry.documents import INDEXES, MALFORMED, MANIFESTS, TITLE, descriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.registry import Descriptor, Manifest

_CONFIGS = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
}
_ONNX = "application/vnd.onnx"
_RECIPE = "hyperparameters.json"
_MOST_LAYERS = 10_000


@dataclass(frozen=True, slots=True)
class Offer:
    """What is handed in: for an image the whole manifest, for a model one blob of it.

    `size` is what the manifest says of all it names; of an index, which names manifests, nothing.
    """

    kind: Literal["image", "onnx"]
    size: int
    model: Descriptor | None = None
    recipe: Descriptor | None = None


def read_offer(manifest: Manifest) -> Offer | None:
    """Return what a manifest hands in; None for whatever is neither an image nor one model."""
    try:
        document = manifest.document()
        if "subject" in document:  # it is attached to something: a signature, a result of ours
            return None
        if manifest.media_type in INDEXES:
            return Offer("image", 0) if isinstance(document["manifests"], list) else None
        config, layers = descriptor(document["config"]), document["layers"]
        if manifest.media_type not in MANIFESTS or len(layers) > _MOST_LAYERS:
            return None
        parts = [descriptor(layer) for layer in layers]
    except MALFORMED:
        return None
    if config.media_type in _CONFIGS:
        return Offer("image", config.size + sum(part.size for part in parts))
    return _artifact(parts)


def _artifact(parts: Sequence[Descriptor]) -> Offer | None:
    """One file whose name ends in .onnx, with or without the vendor's hyperparameters.json."""
    models = [part for part in parts if part.media_type == _ONNX or _is_onnx(_name(part))]
    recipes = [part for part in parts if _name(part) == _RECIPE]
    if len(models) != 1 or len(recipes) > 1 or len(parts) != len(models) + len(recipes):
        return None
    if any(part.size > MAX_BYTES for part in recipes):
        return None
    return Offer("onnx", models[0].size, models[0], recipes[0] if recipes else None)


def _name(part: Descriptor) -> str:
    """The name that a file was pushed under, without the folders before it."""
    return part.annotations.get(TITLE, "").rpartition("/")[2]


def _is_onnx(name: str) -> bool:
    return name.lower().endswith(".onnx")

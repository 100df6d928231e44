"""What a manifest hands in: an image, an ONNX file (perhaps with a recipe), or nothing.

    offer = read_offer(manifest)     None: no submission

A manifest is a vendor's. It is parsed here for its kind and for what it says of sizes; what is in
an image is the intake's to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evaluator.registry.documents import INDEXES, MALFORMED, MANIFESTS, descriptor
from evaluator.registry.layout import CONFIGS, artifact

if TYPE_CHECKING:
    from evaluator.registry import Descriptor, Manifest

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
    if config.media_type in CONFIGS:
        return Offer("image", config.size + sum(part.size for part in parts))
    model, recipe = artifact(parts) or (None, None)
    return Offer("onnx", model.size, model, recipe) if model else None

"""What a manifest hands in, whoever wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.registry import Descriptor, Manifest
from evaluator.watch.offers import Offer
from evaluator.watch.offers import read_offer as read

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DIGEST = "sha256:" + "1" * 64
TITLE = "org.opencontainers.image.title"


def read_offer(raw: bytes, media_type: str) -> Offer | None:
    """What a manifest of these bytes hands in."""
    return read(Manifest(raw, media_type, DIGEST))


def part(
    size: int = 10, media_type: str = "application/octet-stream", title: str = ""
) -> dict[str, Any]:
    """A descriptor."""
    named = {"annotations": {TITLE: title}} if title else {}
    return {"mediaType": media_type, "digest": DIGEST, "size": size, **named}


def image(config: str = "application/vnd.oci.image.config.v1+json", **more: Any) -> bytes:  # noqa: ANN401 - JSON
    """An image of two layers."""
    layers = [part(100, "application/vnd.oci.image.layer.v1.tar+gzip")] * 2
    return json.dumps({"config": part(7, config), "layers": layers, **more}).encode()


def artifact(*layers: dict[str, Any], **more: Any) -> bytes:  # noqa: ANN401 - JSON
    """What `oras push` writes."""
    config = part(2, "application/vnd.oci.empty.v1+json")
    return json.dumps({"config": config, "layers": layers, **more}).encode()


MODEL = part(1000, title="model.onnx")
RECIPE = part(50, "application/json", "hyperparameters.json")


def described(document: dict[str, Any]) -> Descriptor:
    """The same as a value."""
    values = document["mediaType"], document["digest"], document["size"]
    return Descriptor(*values, annotations=document.get("annotations", {}))


def test_an_image_says_how_large_it_is() -> None:
    """Docker's and OCI's own manifests, and an index, which says nothing of sizes."""
    docker = "application/vnd.docker.container.image.v1+json"

    assert read_offer(image(), OCI) == Offer("image", 207)
    assert read_offer(image(docker), DOCKER) == Offer("image", 207)
    assert read_offer(b'{"manifests": []}', INDEX) == Offer("image", 0)


def test_a_model_is_one_file_that_is_named_so() -> None:
    """With its recipe beside it, whatever the media types; folders before the name do not count."""
    unnamed = part(1000, "application/vnd.onnx")

    assert read_offer(artifact(MODEL), OCI) == Offer("onnx", 1000, described(MODEL))
    assert read_offer(artifact(unnamed), OCI) == Offer("onnx", 1000, described(unnamed))
    both = Offer("onnx", 1000, described(MODEL), described(RECIPE))
    assert read_offer(artifact(RECIPE, MODEL), OCI) == both
    capital = part(1000, title="out/My.ONNX")
    assert read_offer(artifact(capital), OCI) == Offer("onnx", 1000, described(capital))


@pytest.mark.parametrize(
    "raw",
    [
        artifact(),
        artifact(part(title="model.pt")),
        artifact(part()),
        artifact(MODEL, MODEL),
        artifact(MODEL, RECIPE, RECIPE),
        artifact(MODEL, part(title="weights.bin")),
        artifact(MODEL, part(10**6, title="hyperparameters.json")),
        artifact(MODEL, subject=part()),
        artifact({**MODEL, "size": -1}),
        artifact({**MODEL, "size": 10**30}),
        artifact({**MODEL, "size": True}),
        artifact({**MODEL, "size": "10"}),
        artifact({**MODEL, "digest": "sha512:" + "1" * 128}),
        artifact({**MODEL, "digest": "sha256:../../../../etc/passwd"}),
        artifact({**MODEL, "digest": DIGEST + "\n"}),
        artifact({**MODEL, "annotations": {TITLE: 3}}),
        image(subject=part()),
        image("application/vnd.cncf.helm.config.v1+json"),
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"config": ' + b"[" * 100_000,
        json.dumps({"config": MODEL, "layers": [MODEL] * 10_001}).encode(),
    ],
)
def test_anything_else_is_no_submission(raw: bytes) -> None:
    """Signatures, charts, several files, sizes and digests that are none: nothing is fetched."""
    assert read_offer(raw, OCI) is None


def test_another_kind_of_manifest_is_no_submission() -> None:
    """The control: the same bytes are one under their own media type."""
    assert read_offer(image(), "application/vnd.docker.distribution.manifest.v1+prettyjws") is None
    assert read_offer(image(), INDEX) is None
    assert read_offer(image(), OCI) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["config", "layers", "digest", "size", "mediaType", "annotations"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.sampled_from([OCI, DOCKER, INDEX]))
def test_no_document_raises(document: object, media_type: str) -> None:
    """A vendor writes it."""
    read_offer(json.dumps(document).encode(), media_type)

"""A submission from a registry, as the intake reads it; sizes are summed before a byte comes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from evaluator.admission import receive
from evaluator.errors import Refused
from evaluator.image_settings import ARCHITECTURE
from evaluator.intake import archive
from evaluator.registry import Gone, Lied, RegistryError, TooLarge, Unreachable
from evaluator.submission import Submission
from tests.helpers.liar import altered, cut, only, times
from tests.helpers.pusher import EMPTY, INDEX, MANIFEST, ONNX, described, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.registry import Layout
    from tests.evaluator.registry.conftest import Stall

MODEL = b"stands for a model" * 1000
PREDICT = {"predict": b"#!/bin/sh"}
MOST = 10**6
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def pull(stall: Stall, manifest: bytes, folder: Path, most: int = MOST) -> Layout:
    """Pull what acme pushed."""
    return stall.client.pull_layout("acme/model", digest_of(manifest), folder, most)


def found(folder: Path, tmp_path: Path) -> archive.Image:
    """What the intake finds in a layout."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    received = receive(Submission("image", folder, ""), scratch, MOST)
    with received.file.open("rb") as file:
        return archive.find_image(file.fileno(), 0, received.size, 2**18, 127)


def index_of(
    stall: Stall, *entries: tuple[bytes, dict[str, str] | None], kind: str = INDEX
) -> bytes:
    """Push an index of manifests with their platforms."""
    manifests = [
        {**described(raw, MANIFEST), **({"platform": platform} if platform else {})}
        for raw, platform in entries
    ]
    document = {"schemaVersion": 2, "mediaType": kind, "manifests": manifests}
    return stall.vendor.manifest("acme/model", "multi", document)


def test_an_image_becomes_a_layout_that_the_intake_reads(stall: Stall, tmp_path: Path) -> None:
    """Known by the manifest's digest, as whoever pushed it knows it."""
    raw = stall.vendor.image("acme/model", "v1", PREDICT)
    layout = pull(stall, raw, tmp_path / "layout")
    assert (layout.kind, layout.file) == ("image", tmp_path / "layout")
    assert layout.named == layout.manifest == digest_of(raw)
    assert found(layout.file, tmp_path).config["config"]["Entrypoint"] == ["/predict"]
    received = receive(Submission("image", layout.file, ""), tmp_path, MOST)
    assert (received.digest_of, f"sha256:{received.sha256}") == ("manifest", digest_of(raw))


def test_an_image_of_docker_schema_2_is_read_as_well(stall: Stall, tmp_path: Path) -> None:
    """As Docker's own image store pushes it, with the type kept."""
    oci = json.loads(stall.vendor.image("acme/model", "v1", PREDICT))
    oci["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    oci["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    raw = stall.vendor.manifest("acme/model", "v2", {**oci, "mediaType": DOCKER})
    layout = pull(stall, raw, tmp_path / "layout")
    assert layout.kind == "image"
    assert len(found(layout.file, tmp_path).layers) == 1


@pytest.mark.parametrize("kind", [INDEX, DOCKER_LIST])
def test_of_an_index_this_hosts_image_comes(stall: Stall, tmp_path: Path, kind: str) -> None:
    """And is known by the index's digest, which is what the vendor pushed."""
    other = {"os": "linux", "architecture": "s390x"}
    own = {"os": "linux", "architecture": ARCHITECTURE}
    unknown = {"os": "unknown", "architecture": "unknown"}
    images = [stall.vendor.image("acme/model", "", {"predict": bytes([n])}) for n in range(3)]
    raw = index_of(stall, *zip(images, (other, own, unknown), strict=True), kind=kind)
    layout = pull(stall, raw, tmp_path / "layout")
    assert (layout.named, layout.manifest) == (digest_of(raw), digest_of(images[1]))
    assert len(list((layout.file / "blobs" / "sha256").iterdir())) == 4
    assert len(found(layout.file, tmp_path).layers) == 1


def test_an_index_without_this_hosts_image_is_the_vendors_to_mend(
    stall: Stall, tmp_path: Path
) -> None:
    """By the rule that an archive of another platform breaks."""
    image = stall.vendor.image("acme/model", "", PREDICT)
    raw = index_of(stall, (image, {"os": "windows", "architecture": "amd64"}))
    with pytest.raises(Refused, match="EVA104"):
        pull(stall, raw, tmp_path / "layout")


@pytest.mark.parametrize("media_type", [ONNX, "application/vnd.oci.image.layer.v1.tar"])
@pytest.mark.parametrize("recipe", [None, b'{"epochs": 3}'])
def test_an_artifact_is_a_model_and_perhaps_a_recipe(
    stall: Stall, tmp_path: Path, media_type: str, recipe: bytes | None
) -> None:
    """As `oras push` makes it, with the type of an ONNX file or with none."""
    files = {"model.onnx": (media_type, MODEL)}
    if recipe:
        files["hyperparameters.json"] = ("application/json", recipe)
    raw = stall.vendor.artifact("acme/model", "v1", files)
    layout = pull(stall, raw, tmp_path / "pulled")
    assert (layout.kind, layout.recipe) == ("onnx", recipe)
    assert layout.file.name == "model.onnx"
    assert layout.file.read_bytes() == MODEL


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"chart.tgz": ("application/gzip", MODEL)},
        {"a.onnx": (ONNX, MODEL), "b.onnx": (ONNX, MODEL)},
        {"model.onnx": (ONNX, MODEL), "README.md": ("text/plain", b"x")},
        {"hyperparameters.json": ("application/json", b"{}")},
        {
            "model.onnx": (ONNX, MODEL),
            "hyperparameters.json": ("application/json", b"{}"),
            "other/hyperparameters.json": ("application/json", b"{}"),
        },
        {"model.onnx": (ONNX, MODEL), "hyperparameters.json": ("application/json", bytes(10**5))},
    ],
)
def test_any_other_artifact_is_no_submission(
    stall: Stall, tmp_path: Path, files: dict[str, tuple[str, bytes]]
) -> None:
    """The vendor is told what to push; nothing of it was fetched."""
    raw = stall.vendor.artifact("acme/model", "v1", files)
    stall.liar.asked.clear()
    with pytest.raises(Refused, match=r"EVA101.*oras push"):
        pull(stall, raw, tmp_path / "pulled")
    assert len(stall.liar.asked) == 1


def test_what_is_attached_is_no_submission(stall: Stall, tmp_path: Path) -> None:
    """A result that lies in the vendor's repository is not evaluated."""
    image = stall.vendor.image("acme/model", "v1", PREDICT)
    files = {"model.onnx": (ONNX, MODEL)}
    raw = stall.vendor.artifact("acme/model", "", files, subject=described(image, MANIFEST))
    assert stall.client.manifest("acme/model", digest_of(raw)).is_referrer
    with pytest.raises(Refused, match="EVA101"):
        pull(stall, raw, tmp_path / "pulled")


MALFORMED: list[dict[str, Any]] = [
    {},
    {"config": 3, "layers": []},
    {"config": described(b"{}", EMPTY)},
    {"config": described(b"{}", EMPTY), "layers": [{"digest": "sha256:x", "size": 1}]},
    {"config": described(b"{}", EMPTY), "layers": [{**described(b"", ONNX), "size": -1}]},
    {"config": described(b"{}", EMPTY), "layers": [{**described(b"", ONNX), "size": True}]},
    {"config": described(b"{}", EMPTY), "layers": [{**described(b"", ONNX), "annotations": 3}]},
    {"config": described(b"{}", EMPTY), "layers": {"a": 1}},
]


@pytest.mark.parametrize("document", MALFORMED)
def test_a_malformed_manifest_is_no_submission(
    stall: Stall, tmp_path: Path, document: dict[str, Any]
) -> None:
    """Whoever wrote it: nothing is fetched."""
    raw = json.dumps({"mediaType": MANIFEST, **document}).encode()
    stall.shelf.put("acme/model", "v1", raw, MANIFEST)
    with pytest.raises(Refused, match="EVA101"):
        pull(stall, raw, tmp_path / "pulled")


@pytest.mark.parametrize(
    "document", [{}, {"manifests": 3}, {"manifests": []}, {"manifests": [3]}, {"manifests": [{}]}]
)
def test_a_malformed_index_is_no_submission(
    stall: Stall, tmp_path: Path, document: dict[str, Any]
) -> None:
    """As above; an index of an index is none either."""
    raw = json.dumps({"mediaType": INDEX, **document}).encode()
    stall.shelf.put("acme/model", "v1", raw, INDEX)
    with pytest.raises(Refused, match="EVA101"):
        pull(stall, raw, tmp_path / "pulled")


def test_too_many_bytes_are_known_before_the_first(stall: Stall, tmp_path: Path) -> None:
    """An image of 20 GB, by what its manifest declares: its size is told, and nothing asked."""
    document = json.loads(stall.vendor.image("acme/model", "v1", PREDICT))
    document["layers"].append({**described(b"huge", ""), "size": 20 * 10**9})
    raw = stall.vendor.manifest("acme/model", "v2", document)
    stall.liar.asked.clear()
    with pytest.raises(TooLarge) as caught:
        pull(stall, raw, tmp_path / "layout", 10**10)
    assert caught.value.size == sum(
        part["size"] for part in (document["config"], *document["layers"])
    )
    assert len(stall.liar.asked) == 1
    assert not (tmp_path / "layout").exists()


def test_a_layer_that_stands_twice_comes_once(stall: Stall, tmp_path: Path) -> None:
    """Builders repeat the empty layer."""
    document = json.loads(stall.vendor.image("acme/model", "v1", PREDICT))
    document["layers"] *= 5
    raw = stall.vendor.manifest("acme/model", "v2", document)
    stall.liar.asked.clear()
    size = document["config"]["size"] + document["layers"][0]["size"]
    assert pull(stall, raw, tmp_path / "layout", size).size == size
    assert len(stall.liar.asked) == 3


def test_a_lie_about_a_layer_leaves_no_layout(stall: Stall, tmp_path: Path) -> None:
    """index.json is written last."""
    raw = stall.vendor.image("acme/model", "v1", PREDICT)
    stall.liar.lies.append(only("blobs", altered()))
    with pytest.raises(Lied):
        pull(stall, raw, tmp_path / "layout")
    assert not (tmp_path / "layout" / "index.json").exists()


def test_a_layer_that_is_missing_is_not_the_vendors_fault(stall: Stall, tmp_path: Path) -> None:
    """A registry that lost it, or deletes."""
    document = json.loads(stall.vendor.image("acme/model", "v1", PREDICT))
    document["layers"].append(described(b"lost", ""))
    raw = stall.vendor.manifest("acme/model", "v2", document)
    with pytest.raises(Gone):
        pull(stall, raw, tmp_path / "layout")


def test_a_pull_goes_on_where_it_was_cut(stall: Stall, tmp_path: Path) -> None:
    """In the same folder: what is here is hashed and not asked for again."""
    raw = stall.vendor.artifact("acme/model", "v1", {"model.onnx": (ONNX, MODEL)})
    stall.liar.lies.append(only("blobs", times(5, cut(100))))
    with pytest.raises(Unreachable):
        pull(stall, raw, tmp_path / "pulled")
    stall.liar.asked.clear()
    assert pull(stall, raw, tmp_path / "pulled").file.read_bytes() == MODEL
    assert [request.headers.get("range") for request in stall.liar.asked] == [None, "bytes=500-"]


def test_a_disk_without_room_is_the_hosts_trouble(stall: Stall, tmp_path: Path) -> None:
    """As any file that cannot be written: exit 3, nothing of a vendor's in the sentence."""
    raw = stall.vendor.image("acme/model", "v1", PREDICT)
    (tmp_path / "layout").write_text("a file")
    with pytest.raises(RegistryError, match="cannot be written"):
        pull(stall, raw, tmp_path / "layout")

"""The archive that the engine gets: our config, the layers' own bytes, in two layouts."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import Refused
from evaluator.intake import ImageArchive
from evaluator.rebuild import rebuild

CONFIG = b'{"config": "ours"}'
LAYERS = (b"first layer", b"second layer " * 100)


def digest_of(content: bytes) -> str:
    """As image specifications write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def archive_of(*layers: bytes, meaning: tuple[bytes, ...] = ()) -> ImageArchive:
    """An archive of `layers` as stored, whose config says that they unpack to `meaning`."""
    diff_ids = [digest_of(content) for content in meaning or layers]
    ends = [sum(map(len, layers[: number + 1])) for number in range(len(layers))]
    places = tuple((end - len(layer), len(layer)) for end, layer in zip(ends, layers, strict=True))
    return ImageArchive(io.BytesIO(b"".join(layers)), {"rootfs": {"diff_ids": diff_ids}}, places)


def members_of(chunks: Any) -> dict[str, bytes]:  # noqa: ANN401 - an iterator of bytes
    """The files of a tar, each name once."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        names = archive.getnames()
        assert len(set(names)) == len(names)
        return {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]


def test_both_layouts_name_the_same_image() -> None:
    """Docker's own store follows manifest.json, containerd's index.json; the bytes are one."""
    rebuilt = rebuild(archive_of(*LAYERS), CONFIG)
    members = members_of(rebuilt.chunks)
    blob = {digest_of(content): content for content in members.values()}
    (docker,) = json.loads(members["manifest.json"])
    (entry,) = json.loads(members["index.json"])["manifests"]
    manifest = json.loads(blob[entry["digest"]])

    assert rebuilt.ids == (digest_of(CONFIG), entry["digest"])
    assert docker["RepoTags"] is None
    assert members[docker["Config"]] == blob[manifest["config"]["digest"]] == CONFIG
    assert [members[name] for name in docker["Layers"]] == list(LAYERS)
    assert [blob[layer["digest"]] for layer in manifest["layers"]] == list(LAYERS)
    assert [layer["size"] for layer in manifest["layers"]] == [len(layer) for layer in LAYERS]


def test_a_layer_that_stands_twice_is_one_file() -> None:
    """As in an image with an empty layer after each of two steps."""
    members = members_of(rebuild(archive_of(*LAYERS, LAYERS[0]), CONFIG).chunks)
    (docker,) = json.loads(members["manifest.json"])

    assert [members[name] for name in docker["Layers"]] == [*LAYERS, LAYERS[0]]


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_gzip_layers_reach_the_engine_unpacked(parts: list[bytes]) -> None:
    """However many gzip members a layer is made of: only this program reads a vendor's gzip."""
    plain = b"".join(parts)
    packed = b"".join(gzip.compress(part, mtime=0) for part in parts)
    members = members_of(rebuild(archive_of(packed, meaning=(plain,)), CONFIG).chunks)
    (docker,) = json.loads(members["manifest.json"])

    assert members[docker["Layers"][0]] == plain


@pytest.mark.parametrize(
    "stored",
    [
        b"another layer",
        gzip.compress(b"another layer"),
        gzip.compress(b"first layer") + b"more",
        gzip.compress(b"first layer")[:12],
        b"\x1f\x8b" + bytes(20),
    ],
)
def test_bytes_that_are_not_what_the_config_says_are_refused(stored: bytes) -> None:
    """An engine would take its own layer of that digest, which another vendor may own."""
    with pytest.raises(Refused, match="EVA106"):
        rebuild(archive_of(stored, meaning=(b"first layer",)), CONFIG)


def test_an_image_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is for all layers together."""
    monkeypatch.setattr("evaluator.rebuild._MAX_UNPACKED", 100_000)
    zeros = bytes(60_000)
    packed = gzip.compress(zeros)
    archive = archive_of(packed, packed, meaning=(zeros, zeros))

    assert members_of(rebuild(archive_of(packed, meaning=(zeros,)), CONFIG).chunks)
    with pytest.raises(Refused, match="EVA102"):
        rebuild(archive, CONFIG)

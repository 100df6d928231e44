"""Archives of images, good, bad and hostile: one image comes out, or a refusal."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import Refused
from evaluator.intake import image_id, read_archive

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
LAYER = b"layer bytes"
DIFF_ID = "sha256:" + hashlib.sha256(LAYER).hexdigest()


def config(**settings: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """An image config; keywords go into its `config` part."""
    return {
        "architecture": HOST,
        "os": "linux",
        "config": {"Entrypoint": ["/predict"], **settings},
        "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
        "history": [{"created_by": "a vendor's words"}],
    }


def docker_archive(
    image: dict[str, Any] | None = None, more: Mapping[str, bytes | tarfile.TarInfo] | None = None
) -> dict[str, bytes | tarfile.TarInfo]:
    """The members of a `docker save` archive."""
    manifest = [{"Config": "c.json", "RepoTags": ["evil:latest"], "Layers": ["l/layer.tar"]}]
    return {
        "manifest.json": json.dumps(manifest).encode(),
        "c.json": json.dumps(image or config()).encode(),
        "l/layer.tar": LAYER,
        "repositories": b'{"evil": {"latest": "x"}}',
        **(more or {}),
    }


def oci_archive() -> dict[str, bytes | tarfile.TarInfo]:
    """The members of an OCI layout, as skopeo and buildx write it."""

    def blob(content: bytes) -> tuple[str, str]:
        digest = hashlib.sha256(content).hexdigest()
        return f"blobs/sha256/{digest}", f"sha256:{digest}"

    image = json.dumps(config()).encode()
    (layer, layer_digest), (image_name, image_digest) = blob(LAYER), blob(image)
    manifest = json.dumps(
        {"config": {"digest": image_digest}, "layers": [{"digest": layer_digest}]}
    ).encode()
    manifest_name, manifest_digest = blob(manifest)
    index = json.dumps({"manifests": [{"digest": manifest_digest}]}).encode()
    return {"index.json": index, manifest_name: manifest, image_name: image, layer: LAYER}


def packed(members: dict[str, bytes | tarfile.TarInfo]) -> io.BytesIO:
    """A tar of them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def rule_of(file: io.BytesIO) -> str:
    """The rule that an archive breaks."""
    with pytest.raises(Refused) as refusal:
        read_archive(file)
    return refusal.value.rule


@pytest.mark.parametrize("members", [docker_archive(), oci_archive()], ids=["docker", "oci"])
def test_the_rebuilt_archive_has_the_layers_and_no_tag(
    members: dict[str, bytes | tarfile.TarInfo],
) -> None:
    """Same layers, our settings, an id computed here, nothing else."""
    archive = read_archive(packed(members))
    text = json.dumps(archive.config).encode()
    with tarfile.open(fileobj=io.BytesIO(b"".join(archive.rebuilt(text)))) as rebuilt:
        found = {m.name: rebuilt.extractfile(m).read() for m in rebuilt}  # type: ignore[union-attr]

    assert json.loads(found.pop("manifest.json")) == [
        {"Config": "config.json", "RepoTags": None, "Layers": ["0.tar"]}
    ]
    assert found == {"config.json": text, "0.tar": LAYER}
    assert image_id(text) == "sha256:" + hashlib.sha256(text).hexdigest()


def test_only_harmless_settings_stay() -> None:
    """User, volumes, ports, labels, health checks, history and hook variables are gone."""
    image = config(
        User="0",
        Volumes={"/vol": {}},
        ExposedPorts={"80/tcp": {}},
        Labels={"a": "b"},
        Healthcheck={"Test": ["CMD", "x"]},
        OnBuild=["RUN x"],
        Env=["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all", "HTTP_PROXY=http://x", "MODEL=small"],
        WorkingDir="/app",
    )

    assert read_archive(packed(docker_archive(image))).config == {
        "architecture": HOST,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
        "config": {
            "Entrypoint": ["/predict"],
            "Env": ["PATH=/bin", "MODEL=small"],
            "WorkingDir": "/app",
        },
    }


@pytest.mark.parametrize(
    ("image", "rule"),
    [
        (config(Entrypoint=None), "EVA103"),
        (config(Entrypoint=[]), "EVA103"),
        (config(Entrypoint="/predict"), "EVA103"),
        (config() | {"architecture": "s390x"}, "EVA104"),
        (config() | {"os": "windows"}, "EVA104"),
        (config(Env=["LD_PRELOAD=/proc/self/cwd/x.so"]), "EVA105"),
        (config(Env=["LD_AUDIT=x"]), "EVA105"),
        (config(Env=["GLIBC_TUNABLES=x"]), "EVA105"),
        (config(Env=["LD_LIBRARY_PATH=/proc/self/cwd"]), "EVA105"),
        (config(Env=["A=\x1b[2J"]), "EVA105"),
        (config(Env=["A=" + "x" * 5000]), "EVA105"),
        (config(WorkingDir="/proc/self/fd/7"), "EVA107"),
        (config(WorkingDir="relative"), "EVA107"),
        (config(WorkingDir="/app/../proc"), "EVA107"),
        (config() | {"rootfs": {"type": "layers", "diff_ids": []}}, "EVA101"),
        (config() | {"rootfs": None}, "EVA101"),
    ],
)
def test_settings_that_cannot_stay_are_refused(image: dict[str, Any], rule: str) -> None:
    """Each with its rule."""
    assert rule_of(packed(docker_archive(image))) == rule


def test_a_library_path_of_the_image_stays() -> None:
    """The control of the refusals above: an ordinary LD_LIBRARY_PATH is kept."""
    image = config(Env=["LD_LIBRARY_PATH=/usr/lib/x:/opt/y"])

    kept = read_archive(packed(docker_archive(image))).config["config"]["Env"]

    assert kept == ["LD_LIBRARY_PATH=/usr/lib/x:/opt/y"]


def link(kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member that is no file."""
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"manifest.json": b"[]"},
        {"manifest.json": b"not json"},
        {"manifest.json": b"[" * 100_000},
        {"manifest.json": b'[{"Config": "c.json", "Config": "d.json", "Layers": []}]'},
        {"manifest.json": b'[{"Config": "gone.json", "Layers": []}]'},
        {"manifest.json": b'[{"Config": "manifest.json", "Layers": []}]'},
        {"manifest.json": b"[1]"},
        {"manifest.json": b"x" * (5 * 2**20)},
        docker_archive(more={"l/layer.tar": link(tarfile.SYMTYPE, "/etc/shadow")}),
        docker_archive(more={"l/layer.tar": link(tarfile.SYMTYPE, "layer.tar")}),
        docker_archive(more={"l/layer.tar": link(tarfile.LNKTYPE, "c.json")}),
        docker_archive(more={"device": link(tarfile.CHRTYPE)}),
        docker_archive(more={"fifo": link(tarfile.FIFOTYPE)}),
        {"index.json": b'{"manifests": [{"digest": "sha256:../../x"}]}'},
        {"index.json": b'{"manifests": [{"digest": 7}]}'},
        {"index.json": b'{"manifests": []}'},
    ],
)
def test_what_is_no_archive_of_one_image_is_refused(
    members: dict[str, bytes | tarfile.TarInfo],
) -> None:
    """Wrong, missing, double, linked or device members end in the same refusal."""
    assert rule_of(packed(members)) == "EVA101"


def test_two_members_of_one_name_are_refused() -> None:
    """Which of them another reader would take is not known."""
    one, two = packed(docker_archive()).getvalue(), packed({"manifest.json": b"[]"}).getvalue()
    end = one.rstrip(b"\0")
    padded = end + b"\0" * (-len(end) % 512)

    assert rule_of(io.BytesIO(padded + two)) == "EVA101"


@given(st.binary(max_size=2000))
def test_any_bytes_are_an_archive_or_refused(raw: bytes) -> None:
    """Nothing but Refused comes out of hostile bytes."""
    with pytest.raises(Refused):
        read_archive(io.BytesIO(raw))


@given(st.data())
def test_a_damaged_archive_is_read_or_refused(data: st.DataObject) -> None:
    """One byte changed anywhere."""
    raw = bytearray(packed(docker_archive()).getvalue())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        archive = read_archive(io.BytesIO(bytes(raw)))
        assert b"".join(archive.rebuilt(b"{}"))
    except Refused:
        pass

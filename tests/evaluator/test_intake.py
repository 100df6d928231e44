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
from evaluator.intake import read_archive
from evaluator.rebuild import rebuild

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


def blob(content: bytes | dict[str, Any]) -> tuple[str, str, bytes]:
    """Name, digest and bytes of an OCI blob."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    digest = hashlib.sha256(content).hexdigest()
    return f"blobs/sha256/{digest}", f"sha256:{digest}", content


def oci_archive() -> dict[str, bytes | tarfile.TarInfo]:
    """The members of an OCI layout, as skopeo writes it."""
    layer_name, layer_digest, layer = blob(LAYER)
    image_name, image_digest, image = blob(config())
    manifest_name, manifest_digest, manifest = blob(
        {"config": {"digest": image_digest}, "layers": [{"digest": layer_digest}]}
    )
    index = json.dumps({"manifests": [{"digest": manifest_digest}]}).encode()
    return {"index.json": index, manifest_name: manifest, image_name: image, layer_name: layer}


def multi_platform_archive(
    own: str = HOST, other: str = "riscv64"
) -> dict[str, bytes | tarfile.TarInfo]:
    """The members of an OCI layout as buildx writes it: an index in the index."""
    members = oci_archive()
    raw = members["index.json"]
    assert isinstance(raw, bytes)
    digest = json.loads(raw)["manifests"][0]["digest"]
    platforms = [("linux", own), ("linux", other), ("unknown", "unknown")]
    entries = [
        {"digest": digest, "platform": {"os": system, "architecture": architecture}}
        for system, architecture in platforms
    ]
    name, index_digest, index = blob({"manifests": entries})
    outer = json.dumps({"manifests": [{"digest": index_digest}]}).encode()
    return {**members, "index.json": outer, name: index}


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


@pytest.mark.parametrize(
    "members",
    [docker_archive(), oci_archive(), multi_platform_archive()],
    ids=["docker", "oci", "index"],
)
def test_each_layout_in_use_is_read(members: dict[str, bytes | tarfile.TarInfo]) -> None:
    """`docker save`, skopeo's OCI archive, and buildx's with its attestation beside the image."""
    archive = read_archive(packed(members))

    assert archive.config["config"]["Entrypoint"] == ["/predict"]
    assert [b"".join(archive.layer(0))] == [LAYER]


def test_an_index_of_other_platforms_is_refused() -> None:
    """Not as a broken archive: the rule says what to build for."""
    assert rule_of(packed(multi_platform_archive(own="s390x"))) == "EVA104"


def test_an_index_of_two_images_for_this_host_is_refused() -> None:
    """Which of them was submitted is not known."""
    assert rule_of(packed(multi_platform_archive(own=HOST, other=HOST))) == "EVA101"


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
        assert b"".join(rebuild(archive, b"{}").chunks)
    except Refused:
        pass

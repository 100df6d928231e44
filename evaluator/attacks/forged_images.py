"""Image archives that no builder would make: one for each trick that intake must stop.

Each is the smallest `docker save` or OCI archive that carries the trick, so that an engine
which is handed it directly (the positive control) falls for it. Standard library only:
`evaluator doctor --full` ships them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import struct
import tarfile
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_BASE = 0x400000


def _program() -> bytes:
    """A static ELF file of 130 bytes that ends with status 0 (x86-64; elsewhere it is only named).

    Layout from the ELF-64 object file format, version 1.5: a header, one loadable segment, code.
    """
    code = b"\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"  # xor edi, edi; mov eax, 60 (exit); syscall
    entry, size = _BASE + 0x78, 0x78 + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return ident + header + segment + code


PROGRAM = _program()


def file(name: str, content: bytes = b"", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    """A regular file of a layer."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    return member, content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """A link, device, FIFO or directory of a layer; devices are 1:3, which is /dev/null."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, target, 0o666
    if kind in {tarfile.CHRTYPE, tarfile.BLKTYPE}:
        member.devmajor, member.devminor = 1, 3
    return member, b""


def tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """An uncompressed tar, as layers and archives are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def layer(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A layer that also holds the entry point."""
    return tar([file("predict", PROGRAM, 0o755), *members])


def image_config(diff_ids: Iterable[str], **settings: object) -> dict[str, Any]:
    """An image config with these settings beside its entry point."""
    return {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": {"Entrypoint": ["/predict"], "WorkingDir": "/", **settings},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
    }


def digest(content: bytes) -> str:
    """As image specifications write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def docker_archive(
    content: bytes,
    config: dict[str, Any] | None = None,
    stored: bytes | None = None,
    tags: Iterable[str] | None = None,
) -> list[tuple[tarfile.TarInfo, bytes]]:
    """The members of a `docker save` archive with one layer, `stored` in place of its content."""
    settings = json.dumps(config or image_config([digest(content)])).encode()
    manifest = {"Config": "config.json", "RepoTags": tags, "Layers": ["layer/layer.tar"]}
    return [
        file("layer/layer.tar", content if stored is None else stored),
        file("config.json", settings),
        file("manifest.json", json.dumps([manifest]).encode()),
    ]


def with_settings(**settings: object) -> bytes:
    """An ordinary archive whose config has these settings."""
    content = layer()
    return tar(docker_archive(content, image_config([digest(content)], **settings)))


def with_members(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An ordinary archive whose layer has these members."""
    return tar(docker_archive(layer(*members)))


def layer_by_reference(diff_id: str = f"sha256:{'5' * 64}") -> bytes:
    """Another vendor's layer, by its digest alone: an engine that has it asks for no bytes."""
    members = docker_archive(b"", image_config([diff_id]))
    return tar(members[1:])


def tag_overwrite(tag: str = "evaluator-forged/stolen:latest") -> bytes:
    """A name that belongs to another image; `docker load` moves it."""
    return tar(docker_archive(layer(), tags=[tag]))


def _diff_id_mismatch() -> bytes:
    return tar(docker_archive(layer(), stored=layer(file("other", b"other"))))


def _gzip_bomb() -> bytes:
    """200 MB of zeros in 0.2 MB."""
    content = layer(file("zeros", bytes(200_000_000)))
    return tar(docker_archive(content, stored=gzip.compress(content, 9, mtime=0)))


def _other_architecture() -> bytes:
    content = layer()
    other = "arm64" if ARCHITECTURE == "amd64" else "amd64"
    config = image_config([digest(content)]) | {"architecture": other}
    return tar(docker_archive(content, config))


def _duplicate_manifest() -> bytes:
    """Which of two manifests counts depends on the reader; the last one won."""
    members = docker_archive(layer())
    manifest = json.dumps([{"Config": "other.json", "RepoTags": None, "Layers": []}]).encode()
    return tar([file("manifest.json", manifest), *members])


def _layer_is_a_link() -> bytes:
    """In place of a layer, a link to a file of the host."""
    members = docker_archive(layer())
    return tar([special("layer/layer.tar", tarfile.SYMTYPE, "/etc/passwd"), *members[1:]])


def _outer_traversal() -> bytes:
    return tar([*docker_archive(layer()), file("../../tmp/evaluator-forged", b"x")])


def file_with_capabilities() -> tuple[tarfile.TarInfo, bytes]:
    """A program that every user may start with CAP_NET_RAW (struct vfs_cap_data, version 2)."""
    member, content = file("capable", PROGRAM, 0o755)
    value = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    member.pax_headers = {"SCHILY.xattr.security.capability": value.decode("latin-1")}
    return member, content


def _index(*platforms: tuple[str, str]) -> bytes:
    """An OCI archive whose index holds one image under each of these platforms."""
    content = layer()
    blobs = [content, json.dumps(image_config([digest(content)])).encode()]
    descriptors = [{"digest": digest(blob), "size": len(blob)} for blob in blobs]
    manifest = {"schemaVersion": 2, "config": descriptors[1], "layers": descriptors[:1]}
    blobs.append(json.dumps(manifest).encode())
    entries = [
        {
            "digest": digest(blobs[2]),
            "size": len(blobs[2]),
            "platform": {"os": system, "architecture": architecture},
        }
        for system, architecture in platforms
    ]
    return oci_archive({"schemaVersion": 2, "manifests": entries}, blobs)


def oci_archive(index: dict[str, Any], blobs: Iterable[bytes]) -> bytes:
    """An OCI image layout in a tar."""
    members = [file(f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob) for blob in blobs]
    layout = file("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    return tar([layout, file("index.json", json.dumps(index).encode()), *members])


_HEALTH = {"Test": ["CMD-SHELL", "/predict"], "Interval": 1_000_000_000}
_NVIDIA = ("VISIBLE_DEVICES=all", "DRIVER_CAPABILITIES=all", "MOFED=enabled", "IMEX_CHANNELS=0")
_ESCAPES = {"\x1b[2Jname": "\x1b]0;owned\x07"}

FORGED: dict[str, Callable[[], bytes]] = {
    "img-tag-overwrite": tag_overwrite,
    "img-layer-by-reference": layer_by_reference,
    "img-diffid-mismatch": _diff_id_mismatch,
    "img-env-ldpreload-hook": partial(with_settings, Env=["LD_PRELOAD=/proc/self/cwd/x.so"]),
    "img-env-nvidia": partial(with_settings, Env=[f"NVIDIA_{line}" for line in _NVIDIA]),
    "img-volume": partial(with_settings, Volumes={"/vol": {}}),
    "img-healthcheck": partial(with_settings, Healthcheck=_HEALTH),
    "img-user-root": partial(with_settings, User="0"),
    "img-workdir": partial(with_settings, WorkingDir="/proc/self/fd/7"),
    "img-stopsignal": partial(with_settings, StopSignal="SIGCONT"),
    "img-onbuild": partial(with_settings, OnBuild=["RUN touch /onbuild"]),
    "img-gz-bomb": _gzip_bomb,
    "img-traversal": partial(with_members, file("../outside", b"x")),
    "img-traversal-absolute": partial(with_members, file("/outside", b"x")),
    "img-traversal-symlink": partial(
        with_members, special("way", tarfile.SYMTYPE, "/opt"), file("way/outside", b"x")
    ),
    "img-traversal-hardlink": partial(
        with_members, special("shadow", tarfile.LNKTYPE, "../../../etc/passwd")
    ),
    "img-traversal-outer": _outer_traversal,
    "img-traversal-layer-link": _layer_is_a_link,
    "img-arch": _other_architecture,
    "img-big-config": partial(with_settings, Labels={"big": "x" * 5_000_000}),
    "img-duplicate-members": _duplicate_manifest,
    "img-ansi-label": partial(with_settings, Labels=_ESCAPES),
    "img-index-two-images": partial(_index, ("linux", ARCHITECTURE), ("linux", ARCHITECTURE)),
    "img-index-other-platform": partial(_index, ("linux", "s390x"), ("unknown", "unknown")),
    "img-index-blob-traversal": partial(
        oci_archive, {"manifests": [{"digest": "sha256:../../../etc/passwd", "size": 1}]}, ()
    ),
    "fs-setuid-in-layer": partial(with_members, file("rootly", PROGRAM, 0o4755)),
    "fs-device-node-in-layer": partial(with_members, special("null", tarfile.CHRTYPE)),
    "fs-filecaps-in-layer": partial(with_members, file_with_capabilities()),
    "fs-mountpoint-symlink": partial(with_members, special("input", tarfile.SYMTYPE, "/opt")),
    "fs-image-volume": partial(with_settings, Volumes={"/vol": {}}),
}

# The rule that refuses it, or "sanitised": what comes out no longer has the trick.
EXPECTED: dict[str, str] = dict.fromkeys(FORGED, "sanitised") | {
    "img-layer-by-reference": "EVA101",
    "img-diffid-mismatch": "EVA106",
    "img-env-ldpreload-hook": "EVA105",
    "img-workdir": "EVA107",
    "img-gz-bomb": "EVA206",
    "img-traversal": "EVA202",
    "img-traversal-absolute": "EVA202",
    "img-traversal-symlink": "EVA202",
    "img-traversal-hardlink": "EVA207",
    "img-traversal-outer": "EVA101",
    "img-traversal-layer-link": "EVA101",
    "img-arch": "EVA104",
    "img-big-config": "EVA108",
    "img-duplicate-members": "EVA101",
    "img-index-two-images": "EVA101",
    "img-index-other-platform": "EVA104",
    "img-index-blob-traversal": "EVA101",
    "fs-device-node-in-layer": "EVA201",
    "fs-mountpoint-symlink": "EVA203",
}

"""An image archive, rebuilt rather than trusted.

The engine merges an image's settings into every container and obeys the tags in an
archive. So a submitted archive never reaches it: it gets a new one with the same
layers, settings reduced to what a run needs, no tag, and an id computed here.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from evaluator.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_MEMBERS = 10_000
_MAX_JSON = 4 * 2**20
_CHUNK = 2**20
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# Read by the dynamic loader or the C library before a program starts, and by the
# container runtime's own hooks: CVE-2025-23266 was an LD_PRELOAD.
_FORBIDDEN = re.compile(r"LD_(?!LIBRARY_PATH$)\w+|GCONV_PATH|MALLOC_\w+|GLIBC_TUNABLES")
_LIBRARY_PATH = re.compile(r"(/(usr|opt|lib|lib64)(/[\w.+-]+)*:?)*")
# Set by common base images and meant for a host's hooks or network; dropped in silence.
_DROPPED = re.compile(r"NVIDIA_\w+|CUDA_VERSION|\w+_proxy", re.IGNORECASE)
# Whatever reading a malformed archive or document of it can raise.
_MALFORMED = (
    tarfile.TarError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
)
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,127})=([\x20-\x7e]{0,4096})")


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """Where the layers lie in the submitted file, and the settings that may stay."""

    file: BinaryIO
    config: dict[str, Any]
    layers: tuple[tuple[int, int], ...]  # offset and size in bytes

    def rebuilt(self, config: bytes) -> Iterator[bytes]:
        """A `docker save` archive of the same layers under `config`, in chunks."""
        names = [f"{index}.tar" for index in range(len(self.layers))]
        manifest = [{"Config": "config.json", "RepoTags": None, "Layers": names}]
        yield from _member("manifest.json", io.BytesIO(json.dumps(manifest).encode()))
        yield from _member("config.json", io.BytesIO(config))
        for name, (offset, size) in zip(names, self.layers, strict=True):
            self.file.seek(offset)
            yield from _member(name, self.file, size)
        yield bytes(2 * tarfile.BLOCKSIZE)


def image_id(config: bytes) -> str:
    """The id that an engine gives to an image of this config (OCI image spec, ImageID)."""
    return f"sha256:{hashlib.sha256(config).hexdigest()}"


def read_archive(file: BinaryIO) -> ImageArchive:
    """Find the one image of a `docker save` or OCI archive; Refused where there is none."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            members = _members(archive)
            config, layers = _image(archive, members)
            return ImageArchive(
                file, _reduced(config, len(layers)), tuple(_place(members, n) for n in layers)
            )
    except _MALFORMED as error:
        raise Refused(
            "EVA101",
            "the file is no image archive of one image. Make it with `docker save IMAGE -o FILE`, "
            "uncompressed.",
        ) from error


def _members(archive: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    members: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        name = member.name.removeprefix("./")
        if name in members or len(members) > _MAX_MEMBERS:
            raise ValueError("a name stands twice, or there are too many")
        if not (member.isreg() or member.isdir() or member.issym()):
            raise ValueError("neither file, directory nor link")
        members[name] = member
    return members


def _image(
    archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo]
) -> tuple[dict[str, Any], list[str]]:
    """The config and the layers' names, from either of the two layouts in use."""
    if "manifest.json" in members:
        (image,) = _json(archive, members, "manifest.json")
        return _json(archive, members, image["Config"]), list(image["Layers"])
    (entry,) = _json(archive, members, "index.json")["manifests"]
    manifest = _json(archive, members, _blob(entry))
    return (
        _json(archive, members, _blob(manifest["config"])),
        [_blob(layer) for layer in manifest["layers"]],
    )


def _blob(descriptor: dict[str, Any]) -> str:
    algorithm, digest = descriptor["digest"].split(":")
    return f"blobs/{algorithm}/{digest}"


def _json(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> Any:  # noqa: ANN401 - any JSON
    member = members[name]
    file = archive.extractfile(member) if member.isreg() else None
    if file is None or member.size > _MAX_JSON:
        raise ValueError("no small regular file")
    return json.loads(file.read(), object_pairs_hook=_no_duplicates)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _place(members: dict[str, tarfile.TarInfo], name: str) -> tuple[int, int]:
    """Offset and size of a layer; `docker save` links equal layers to each other."""
    member = members[name]
    if member.issym():
        member = members[member.linkname.removeprefix("../")]
    if not member.isreg() or member.sparse is not None:
        raise ValueError("a layer is no regular file")
    return member.offset_data, member.size


def _reduced(config: dict[str, Any], layers: int) -> dict[str, Any]:
    """The settings that stay: entry point, working directory, and harmless variables."""
    settings = config.get("config") or {}
    if len(config["rootfs"]["diff_ids"]) != layers:
        raise ValueError("layers and their digests differ in number")
    host = _ARCHITECTURES.get(platform.machine())
    if (config["os"], config["architecture"]) != ("linux", host):
        raise Refused("EVA104", f"the image must be built for linux/{host}.")
    entrypoint = settings.get("Entrypoint")
    if not _strings(entrypoint):
        raise Refused(
            "EVA103",
            "the image has no ENTRYPOINT. It is started as `docker run IMAGE predict`, so the "
            'Dockerfile needs a line like ENTRYPOINT ["/predict"].',
        )
    return {
        "architecture": config["architecture"],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": config["rootfs"]["diff_ids"]},
        "config": {
            "Entrypoint": entrypoint,
            "Env": _variables(settings.get("Env") or []),
            "WorkingDir": _working_directory(settings.get("WorkingDir") or "/"),
        },
    }


def _strings(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _variables(entries: list[str]) -> list[str]:
    kept = {}
    for entry in entries:
        match = _VARIABLE.fullmatch(entry)
        if not match:
            raise Refused("EVA105", "an ENV entry is no NAME=value of at most 4 KiB plain text.")
        name, value = match.groups()
        outside = name == "LD_LIBRARY_PATH" and not _LIBRARY_PATH.fullmatch(value)
        if _FORBIDDEN.fullmatch(name) or outside:
            raise Refused(
                "EVA105",
                "the image sets a variable that steers the dynamic loader or the C library (LD_*, "
                "GCONV_PATH, MALLOC_*, GLIBC_TUNABLES). Remove that ENV line; LD_LIBRARY_PATH may "
                "name directories under /usr, /opt and /lib.",
            )
        if not _DROPPED.fullmatch(name):
            kept[name] = value
    return [f"{name}={value}" for name, value in kept.items()]


def _working_directory(path: str) -> str:
    """A plain directory of the image's own: CVE-2024-21626 was a WORKDIR below /proc."""
    plain = re.fullmatch(r"(/[\w.-]+)*/?", path) and not {".", ".."} & set(path.split("/"))
    if not plain or re.match(r"/(proc|sys|dev|input|output|tmp)(/|$)", path):
        raise Refused("EVA107", "WORKDIR must be a plain absolute directory of the image itself.")
    return path


def _member(name: str, content: BinaryIO, size: int | None = None) -> Iterator[bytes]:
    """One tar member: header, content and padding."""
    info = tarfile.TarInfo(name)
    info.size = content.seek(0, io.SEEK_END) if size is None else size
    if size is None:
        content.seek(0)
    yield info.tobuf(tarfile.GNU_FORMAT)
    left = info.size
    while left:
        chunk = content.read(min(_CHUNK, left))
        if not chunk:
            raise Refused("EVA101", "the archive ends in the middle of a layer.")
        left -= len(chunk)
        yield chunk
    yield bytes(-info.size % tarfile.BLOCKSIZE)

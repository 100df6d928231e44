"""An image archive, rebuilt rather than trusted.

The engine merges an image's settings into every container and obeys the tags in an
archive. So a submitted archive never reaches it: it gets a new one with the same
layers, settings reduced to what a run needs, no tag, and an id computed here.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from evaluator.errors import Refused
from evaluator.image_settings import reduced

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_MEMBERS = 10_000
_MAX_JSON = 4 * 2**20
_MAX_UNPACKED = 64 * 2**30
_CHUNK = 2**20

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


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """Where the layers lie in the submitted file, and the settings that may stay."""

    file: BinaryIO
    config: dict[str, Any]
    layers: tuple[tuple[int, int], ...]  # offset and size in bytes

    def require_own_layers(self) -> None:
        """Refuse layers whose bytes are not what their digests say.

        An engine that knows a digest already takes its own layer instead of the bytes, so
        a digest alone would open another vendor's image.
        """
        for place, digest in zip(self.layers, self.config["rootfs"]["diff_ids"], strict=True):
            if digest != f"sha256:{self._unpacked_digest(*place)}":
                raise Refused(
                    "EVA106",
                    "a layer's bytes and its digest differ. Save the image again with `docker "
                    "save`; layers may be compressed with gzip or not at all.",
                )

    def rebuilt(self, config: bytes) -> Iterator[bytes]:
        """A `docker save` archive of the same layers under `config`, in chunks."""
        names = [f"{index}.tar" for index in range(len(self.layers))]
        manifest = json.dumps(
            [{"Config": "config.json", "RepoTags": None, "Layers": names}]
        ).encode()
        yield from _member("manifest.json", len(manifest), [manifest])
        yield from _member("config.json", len(config), [config])
        for name, (offset, size) in zip(names, self.layers, strict=True):
            self.file.seek(offset)
            yield from _member(name, size, _chunks(self.file, size))
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _unpacked_digest(self, offset: int, size: int) -> str:
        self.file.seek(offset)
        digest, unpacked = hashlib.sha256(), 0
        try:
            for piece in _unpacked(_chunks(self.file, size)):
                digest.update(piece)
                unpacked += len(piece)
                if unpacked > _MAX_UNPACKED:
                    raise Refused("EVA102", "a layer is larger than 64 GiB when unpacked.")
        except zlib.error:
            return ""
        return digest.hexdigest()


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
                file, reduced(config, len(layers)), tuple(_place(members, n) for n in layers)
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


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A layer as its digest means it: gzip undone, anything else as it is."""
    first = next(chunks, b"")
    if not first.startswith(b"\x1f\x8b"):
        yield first
        yield from chunks
        return
    gzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for chunk in chain((first,), chunks):
        yield gzip.decompress(chunk, _CHUNK)
        while gzip.unconsumed_tail:
            yield gzip.decompress(gzip.unconsumed_tail, _CHUNK)
    yield gzip.flush()


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes of `file`."""
    while size:
        chunk = file.read(min(_CHUNK, size))
        if not chunk:
            raise Refused("EVA101", "the archive ends in the middle of a layer.")
        size -= len(chunk)
        yield chunk


def _member(name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
    """One tar member: header, content and padding."""
    info = tarfile.TarInfo(name)
    info.size = size
    yield info.tobuf(tarfile.GNU_FORMAT)
    yield from content
    yield bytes(-size % tarfile.BLOCKSIZE)

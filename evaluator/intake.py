"""A submitted image archive, read but never passed on.

The engine merges an image's settings into every container and obeys the tags in an
archive. So a submitted archive never reaches it: `rebuild` makes a new one with the same
layers, settings reduced to what a run needs, no tag, and an id computed by us.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from evaluator.errors import Refused
from evaluator.image_settings import is_own_platform, reduced, wrong_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_MEMBERS = 10_000
_MAX_JSON = 4 * 2**20
_CHUNK = 2**16  # a gzip of many tiny members is copied this much for each
_GZIP = zlib.MAX_WBITS | 16  # as inflateInit2 of zlib.h wants it

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


class Incomplete(Refused):
    """The archive names a file that it does not hold."""

    def __init__(self) -> None:
        super().__init__(
            "EVA101",
            "the archive names a file that is not in it. Make it again with `docker save IMAGE -o "
            "FILE`.",
        )


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """Where the layers lie in the submitted file, and the settings that may stay."""

    file: BinaryIO
    config: dict[str, Any]
    layers: tuple[tuple[int, int], ...]  # offset and size in bytes

    def layer(self, number: int) -> Iterator[bytes]:
        """The content of a layer, unpacked; zlib.error where it is no gzip after all."""
        offset, size = self.layers[number]
        self.file.seek(offset)
        return _unpacked(_chunks(self.file, size))


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
    manifest = _json(archive, members, _entry(_json(archive, members, "index.json")))
    if "manifests" in manifest:  # an index in the index: one image for many platforms
        manifest = _json(archive, members, _entry(manifest))
    return (
        _json(archive, members, _blob(manifest["config"])),
        [_blob(layer) for layer in manifest["layers"]],
    )


def _entry(index: dict[str, Any]) -> str:
    """The one image of an OCI index that this host can run.

    Builders put attestations beside it, as images for the platform unknown/unknown.
    """
    entries = index["manifests"]
    fitting = [entry for entry in entries if is_own_platform(entry.get("platform"))]
    if entries and not fitting:
        raise wrong_platform()
    (entry,) = fitting
    return _blob(entry)


def _blob(descriptor: dict[str, Any]) -> str:
    algorithm, digest = descriptor["digest"].split(":")
    return f"blobs/{algorithm}/{digest}"


def _member(members: dict[str, tarfile.TarInfo], name: str) -> tarfile.TarInfo:
    if name not in members:
        raise Incomplete
    return members[name]


def _json(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> Any:  # noqa: ANN401 - any JSON
    member = _member(members, name)
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
    member = _member(members, name)
    if member.issym():
        member = _member(members, member.linkname.removeprefix("../"))
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
    gzip = zlib.decompressobj(_GZIP)
    for chunk in chain((first,), chunks):
        left = chunk
        while left:
            if gzip.eof:  # a gzip file may be several, one after the other (RFC 1952, 2.2)
                gzip = zlib.decompressobj(_GZIP)
            yield gzip.decompress(left, _CHUNK)
            left = gzip.unused_data or gzip.unconsumed_tail
    yield gzip.flush()


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes of `file`."""
    while size:
        chunk = file.read(min(_CHUNK, size))
        if not chunk:
            raise Refused("EVA101", "the archive ends in the middle of a layer.")
        size -= len(chunk)
        yield chunk

"""An OCI image layout as a directory: packed into one tar, known by what its index names."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from typing import TYPE_CHECKING

from evaluator.errors import OwnerError
from evaluator.image_settings import is_own_platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INDEX = "index.json"
_MAX_INDEX = 2**22  # bytes
_MAX_FILES = 10_000
_CHUNK = 2**20
_NO_LAYOUT = OwnerError(
    "The directory is no OCI image layout of one image for this platform. Make one with `skopeo "
    "copy` or `docker buildx build --output type=oci,tar=false`, or give an archive."
)


def subject(layout: Path) -> str:
    """The sha256, in hexadecimal, of the one image or index that index.json names."""
    try:
        with os.fdopen(
            os.open(layout / INDEX, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        ) as file:
            entries = json.loads(file.read(_MAX_INDEX))["manifests"]
        (entry,) = [entry for entry in entries if is_own_platform(entry.get("platform"))]
        algorithm, _, digest = entry["digest"].partition(":")
        if algorithm != "sha256" or len(bytes.fromhex(digest)) != 32:
            raise _NO_LAYOUT
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _NO_LAYOUT from error
    return str(digest)


def packed(layout: Path) -> Iterator[bytes]:
    """The layout's regular files as a tar, the same bytes every time; links are not followed."""
    count = 0
    for folder, folders, names, descriptor in os.fwalk(layout, follow_symlinks=False):
        folders.sort()
        for name in sorted(names):
            count += 1
            if count > _MAX_FILES:
                raise _NO_LAYOUT
            inside = os.path.relpath(os.path.join(folder, name), layout)  # noqa: PTH118 - fwalk's
            yield from _member(inside, name, descriptor)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(inside: str, name: str, folder: int) -> Iterator[bytes]:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        raise OwnerError("A file of the OCI layout cannot be read: a link, perhaps.") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _NO_LAYOUT
        info = tarfile.TarInfo(inside)
        info.size = left = status.st_size
        yield info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        while left and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
        if left:
            raise OwnerError("A file of the OCI layout changed while it was read. Try again.")
        yield bytes(-info.size % tarfile.BLOCKSIZE)

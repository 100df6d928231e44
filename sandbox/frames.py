"""Numbers that a program of ours reports while it runs: read, bounded, and shown to the operator.

A vendor's own container is never attached. Even our trainer runs a vendor's model, so what comes
here is taken as hostile: frames of 64 bytes, eight whole numbers each, of which only so many are
read; everything else of the stream is dropped.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import docker.errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import APIClient

FRAME = struct.Struct("<8q")
MOST = 2**24  # bytes: days of frames, two in a second
_HEADER = struct.Struct(">BxxxL")  # the engine's own: which stream, and how many bytes follow
_STDERR = 2

Frame = tuple[int, ...]


@contextmanager
def reported(
    client: APIClient, container: str, frames: Callable[[Frame], None] | None
) -> Iterator[None]:
    """Call `frames` with each frame on the container's stderr, until the block ends.

    The connection is closed before the container is killed or removed: an engine that waits for
    us to read would hang in that.
    """
    if frames is None:
        yield
        return
    attached = client.attach_socket(container, params={"stderr": 1, "stream": 1})
    connection: Any = attached._sock  # noqa: SLF001 - the SDK wraps the socket in a reader
    reader = threading.Thread(target=_read, args=(connection, frames), daemon=True)
    reader.start()
    try:
        with _shut(connection):
            yield
    finally:
        reader.join()
        with suppress(OSError, docker.errors.DockerException):
            attached.close()


def _read(connection: socket.socket, frames: Callable[[Frame], None]) -> None:
    """Read the engine's stream to its end or to MOST bytes, and then listen no more.

    Whoever ends the container meanwhile must not find the engine waiting for us.
    """
    rest, left = b"", MOST
    with suppress(OSError), _shut(connection):
        while left > 0:
            stream, size = _HEADER.unpack(_exactly(connection, _HEADER.size))
            content = _exactly(connection, min(size, left))
            left -= len(content) + _HEADER.size
            if stream != _STDERR:
                continue
            rest += content
            while len(rest) >= FRAME.size:
                frame, rest = FRAME.unpack(rest[: FRAME.size]), rest[FRAME.size :]
                frames(frame)


@contextmanager
def _shut(connection: socket.socket) -> Iterator[None]:
    """Take nothing more at the end of the block, whatever its end was."""
    try:
        yield
    finally:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or OSError where the stream ends before."""
    parts = []
    while size:
        part = connection.recv(min(size, 65536))
        if not part:
            raise ConnectionResetError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)

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
HEADER = struct.Struct(">BxxxL")  # the engine's own: which stream, and how many bytes follow
_STDERR = 2

Frame = tuple[int, ...]


@contextmanager
def reported(
    client: APIClient, container: str, frames: Callable[[Frame], None] | None
) -> Iterator[None]:
    """Call `frames` with each frame on the container's stderr, until the block ends."""
    if frames is None:
        yield
        return
    with attached(client, container, ("stderr",), lambda stream: _read(stream, frames)):
        yield


@contextmanager
def attached(
    client: APIClient,
    container: str,
    streams: tuple[str, ...],
    read: Callable[[socket.socket], None],
    last: float = 0.0,
) -> Iterator[None]:
    """Have `read` take what a container prints, in a thread of its own, until the block ends.

    The connection is closed before the container is killed or removed: an engine that waits for
    us to read would hang in that. A `read` that ends early hangs nobody: the engine drops the rest.
    """
    params = {"stream": 1, **dict.fromkeys(streams, 1)}
    wrapped = client.attach_socket(container, params=params)
    connection: Any = wrapped._sock  # noqa: SLF001 - the SDK wraps the socket in a reader
    reader = threading.Thread(target=read, args=(connection,), daemon=True)
    reader.start()
    try:
        with shut(connection):
            yield
            reader.join(last)  # seconds for what an ended container printed last
    finally:
        reader.join()
        with suppress(OSError, docker.errors.DockerException):
            wrapped.close()


def _read(connection: socket.socket, frames: Callable[[Frame], None]) -> None:
    """Read the engine's stream to its end or to MOST bytes, and then listen no more.

    Whoever ends the container meanwhile must not find the engine waiting for us.
    """
    rest, left = b"", MOST
    with suppress(OSError), shut(connection):
        while left > 0:
            stream, size = HEADER.unpack(exactly(connection, HEADER.size))
            content = exactly(connection, min(size, left))
            left -= len(content) + HEADER.size
            if stream != _STDERR:
                continue
            rest += content
            while len(rest) >= FRAME.size:
                frame, rest = FRAME.unpack(rest[: FRAME.size]), rest[FRAME.size :]
                frames(frame)


@contextmanager
def shut(connection: socket.socket) -> Iterator[None]:
    """Take nothing more at the end of the block, whatever its end was."""
    try:
        yield
    finally:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or OSError where the stream ends before."""
    parts = []
    while size:
        part = connection.recv(min(size, 65536))
        if not part:
            raise ConnectionResetError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)

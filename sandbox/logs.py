"""What a container prints, for its own vendor alone: a rehearsal listens, an official run never.

The engine is asked for the same container, to the byte: it is attached to before its start, and a
program inside finds the same pipe, whether somebody listens or not. Once enough was read nobody
listens any more, and the engine drops the rest as it always does.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sandbox.frames import HEADER, attached, exactly, shut

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from docker import APIClient

    from sandbox.spec import Spec

    Log = Callable[[str, bytes], None]

LOG_BYTES = 2**20
_LAST = 2.0  # seconds for the engine to pass on what an ended container printed last


@contextmanager
def listening(client: APIClient, container: str, spec: Spec, log: Log | None) -> Iterator[None]:
    """Give `log` the verb and what the container printed, once the block has ended.

    Standard output and error, as they came, at most LOG_BYTES + 1: one more tells that it was cut.
    A container that reports frames has no log beside them.
    """
    if log is None or spec.frames:
        yield
        return
    printed, ended = bytearray(), threading.Event()

    def read(connection: socket.socket) -> None:
        try:
            _read(connection, printed)
        finally:
            ended.set()

    try:
        with attached(client, container, ("stdout", "stderr"), read):
            yield
            ended.wait(_LAST)
    finally:
        log(spec.verb, bytes(printed))


def _read(connection: socket.socket, printed: bytearray) -> None:
    """Read the engine's stream to its end or to one byte past LOG_BYTES, then listen no more."""
    with suppress(OSError), shut(connection):
        while len(printed) <= LOG_BYTES:
            _, left = HEADER.unpack(exactly(connection, HEADER.size))
            while left and len(printed) <= LOG_BYTES:
                part = exactly(connection, min(left, 4096, LOG_BYTES + 1 - len(printed)))
                printed += part
                left -= len(part)

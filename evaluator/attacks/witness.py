"""What reaches the host while a technique is tried: listeners, and files that must not change."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


class Witness:
    """Listens on this host and watches files, for as long as the block lasts.

    `targets` is what the probe is told; `seen()` names what reached the host: "tcp", "udp",
    "loopback", "abstract", and "tiles" or "manifest" for a changed file.
    """

    def __init__(self, folder: Path, host: str) -> None:
        """`folder` gets the stand-in inputs; `host` is an address that a bridge could reach."""
        self.tiles = folder / "tiles.npy"
        self.manifest = folder / "manifest.json"
        self.marker = secrets.token_hex(16)
        self.targets: dict[str, object] = {"marker": self.marker, "host": host}
        self._arrived: set[str] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start to listen."""
        self.tiles.write_bytes(secrets.token_bytes(2**16))
        for name, family, kind, address in (
            ("tcp", socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", 0)),  # noqa: S104 - a witness
            ("loopback", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("udp", socket.AF_INET, socket.SOCK_DGRAM, ("0.0.0.0", 0)),  # noqa: S104 - as above
            ("abstract", socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.marker}"),
        ):
            self._listen(name, socket.socket(family, kind), address)
        self.targets["abstract"] = self.marker
        for path in (self.tiles, self.manifest):
            if path.exists():
                path.chmod(0o444)
        self._before = self._digests()
        self.targets["tiles_sha256"] = self._before["tiles"]
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._stack.close()

    def seen(self) -> frozenset[str]:
        """What has reached the host so far."""
        after = self._digests()
        changed = {name for name, digest in after.items() if digest != self._before[name]}
        return frozenset(self._arrived | changed)

    def _digests(self) -> dict[str, str]:
        return {"tiles": hashlib.sha256(self.tiles.read_bytes()).hexdigest()}

    def _listen(self, name: str, server: socket.socket, address: tuple[str, int] | str) -> None:
        self._stack.callback(_close, server)
        server.bind(address)
        if server.type == socket.SOCK_STREAM:
            server.listen()
        if server.family == socket.AF_INET:
            self.targets[f"{name}_port"] = server.getsockname()[1]
        threading.Thread(target=self._receive, args=(name, server), daemon=True).start()

    def _receive(self, name: str, server: socket.socket) -> None:
        with suppress(OSError):  # the socket was closed: the block has ended
            while True:
                connection = server.accept()[0] if server.type == socket.SOCK_STREAM else server
                connection.settimeout(2)
                with suppress(TimeoutError):
                    if self.marker.encode() in connection.recv(4096):
                        self._arrived.add(name)
                if connection is not server:
                    connection.close()
                else:
                    connection.settimeout(None)


def _close(server: socket.socket) -> None:
    with suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
    server.close()


def own_address() -> str:
    """An address of this host that others could reach; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # TEST-NET-1 of RFC 5737
        return str(probe.getsockname()[0])
    return os.uname().nodename

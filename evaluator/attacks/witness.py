"""What reaches the host while a technique is tried: listeners, and files that must not change."""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
import socket
import struct
import threading
import time
import zlib
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

_DAY = 86_400
_AT_FDCWD = -100  # of linux/fcntl.h
_PORT = 9  # "discard" of RFC 863, where this host cannot listen


class Witness:
    """Listens on this host and watches files, for as long as the block lasts.

    `targets` is what the probe is told; `seen()` names what reached the host: "tcp", "tcp6", "udp",
    "loopback", "abstract", "engine" for a stand-in of the engine's socket, "tiles" for a changed
    file, "atime" for one that was read, "created" for a new one; "answers" and "recipe" are what a
    training gets beside its tiles. `proofs` are the CRC-32 of secrets that the probe is not told:
    "labels" and "holdout" of files beside the tiles, "path" of the folder's name, "resolver" of
    the address that this host asks for names.
    """

    def __init__(self, folder: Path, host: str, host6: str = "::1") -> None:
        """`folder` gets the stand-in inputs; a bridge could reach the host's two addresses."""
        self.folder = folder
        self.tiles = folder / "tiles.npy"
        self.manifest = folder / "manifest.json"
        self.answers = folder / "answers.npy"
        self.recipe = folder / "hyperparameters.json"
        self.marker = secrets.token_hex(16)
        self.targets: dict[str, object] = {"marker": self.marker, "host": host, "host6": host6}
        self.proofs = {
            "path": zlib.crc32(folder.name.encode()),
            "resolver": zlib.crc32(_name_server().encode()),
        }
        self._arrived: set[str] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start to listen."""
        self.tiles.write_bytes(secrets.token_bytes(2**16))
        self.answers.write_bytes(secrets.token_bytes(2**10))
        self.recipe.write_text("{}")
        for name, family, kind, address in (
            ("tcp", socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", 0)),  # noqa: S104 - a witness
            ("loopback", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("udp", socket.AF_INET, socket.SOCK_DGRAM, ("0.0.0.0", 0)),  # noqa: S104 - as above
            ("abstract", socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.marker}"),
        ):
            self._listen(name, socket.socket(family, kind), address)
        self._listen_where_possible()
        self.targets["abstract"] = self.marker
        self._write_labels()
        for path in (self.tiles, self.manifest, self.answers, self.recipe):
            if path.exists():
                path.chmod(0o444)
        self._before = self._digests()
        self.targets["tiles_sha256"] = self._before["tiles"]
        self._forget_reads()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._stack.close()

    def seen(self) -> frozenset[str]:
        """What has reached the host so far."""
        if self.tiles.stat().st_atime > time.time() - _DAY:
            self._arrived.add("atime")
        after = self._digests()
        self._forget_reads()  # that one was ours
        changed = {name for name, digest in after.items() if digest != self._before[name]}
        changed |= {"created"} if (self.folder / "created").exists() else set()
        return frozenset(self._arrived | changed)

    def _forget_reads(self) -> None:
        old = time.time() - 2 * _DAY  # more than a day ago: the next read is noted
        os.utime(self.tiles, (old, old))

    def _listen_where_possible(self) -> None:
        self.targets["tcp6_port"] = _PORT
        with suppress(OSError):  # a host without IPv6
            self._listen("tcp6", socket.socket(socket.AF_INET6), ("::", 0))
        folder = os.open(self.folder, os.O_PATH)
        # Past the descriptor, since a socket's own path may have 107 bytes only.
        path = f"/proc/self/fd/{folder}/engine.sock"
        self._listen("engine", socket.socket(socket.AF_UNIX), path)
        os.close(folder)
        (self.folder / "engine.sock").chmod(0o660)

    def _write_labels(self) -> None:
        for name in ("labels", "holdout"):
            secret = secrets.token_bytes(64)
            file = self.folder / f"{name}.npy"
            file.write_bytes(secret)
            file.chmod(0o444)
            self.proofs[name] = zlib.crc32(secret)
        labels = self.folder / "labels.npy"
        self.targets["labels_path"] = str(labels)
        kind, handle = _handle(labels)
        self.targets |= {"handle_type": kind, "handle": handle.hex()}

    def _digests(self) -> dict[str, str]:
        files = {"tiles": self.tiles, "answers": self.answers, "recipe": self.recipe}
        return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}

    def _listen(self, name: str, server: socket.socket, address: tuple[str, int] | str) -> None:
        self._stack.callback(_close, server)
        server.bind(address)
        if server.type == socket.SOCK_STREAM:
            server.listen()
        if server.family != socket.AF_UNIX:
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


def _name_server() -> str:
    """The name server of this host, behind systemd-resolved where that is in use."""
    for path in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        with suppress(OSError):
            lines = [line.split() for line in path.read_text().splitlines()]
            servers = [words[1] for words in lines if words[:1] == ["nameserver"]]
            if servers and not servers[0].startswith("127."):
                return servers[0]
    return ""


def _handle(path: Path) -> tuple[int, bytes]:
    """Type and content of a file's handle, as name_to_handle_at(2) has it; empty where none is."""
    handle = ctypes.create_string_buffer(struct.pack("Ii128x", 128, 0))
    mount = ctypes.c_int()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.name_to_handle_at(_AT_FDCWD, bytes(path), handle, ctypes.byref(mount), 0) == -1:
        return 0, b""
    size, kind = struct.unpack_from("Ii", handle.raw)
    return kind, handle.raw[8 : 8 + size]


def own_address() -> str:
    """An address of this host that others could reach; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # TEST-NET-1 of RFC 5737
        return str(probe.getsockname()[0])
    return os.uname().nodename

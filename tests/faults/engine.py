"""A Docker engine that may be broken, and a door in front of it."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import docker

if TYPE_CHECKING:
    from collections.abc import Callable

SOON = 60  # seconds; anything later is a hang
OPERATORS = 54321  # a group that no host has: it may use the engine
_NOTHING = "(?!)"  # matches no request


def wait_for(happened: Callable[[], object], what: str) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + SOON
    while not happened():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.01)


class Engine:
    """A Docker engine beside the host's, with its own data, socket and containerd."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        paths = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        options = [f"--{name}={self.folder / path}" for name, path in paths.items()]
        options += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        options += [f"--group={OPERATORS}", f"--host={self.address}"]
        for stale in ("pid", "exec/containerd/containerd.pid"):  # of a killed one: perhaps a zombie
            (self.folder / stale).unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            # In a network of its own: an engine without a bridge takes the host's docker0 away.
            command = ["unshare", "--net", "dockerd", *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self._answers, "the engine of these tests")

    def _answers(self) -> bool:
        with suppress(docker.errors.DockerException):
            return bool(self.client().ping())
        return False

    def client(self) -> docker.APIClient:
        """A client of it."""
        return docker.APIClient(base_url=self.address, version="auto", timeout=SOON)

    def send(self, signum: signal.Signals) -> None:
        """Send it a signal, and wait for its end."""
        assert self._process is not None
        self._process.send_signal(signum)
        self._process.wait(SOON)

    def remove(self) -> None:
        """Stop it, and remove all that it had."""
        client = self.client()
        for container in client.containers(all=True):
            client.remove_container(container["Id"], force=True)
        self.send(signal.SIGTERM)
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        for mounted in [line.split()[1] for line in mounts if str(self.folder) in line]:
            subprocess.run(["umount", "--lazy", mounted], check=False)
        shutil.rmtree(self.folder)


class _Hold:
    """One request that is to be held: here, let go, answered."""

    def __init__(self, request: str) -> None:
        self.request, self.taken, self.drop = request, False, False
        self.reached, self.opened, self.done = (threading.Event() for _ in range(3))

    def release(self, *, drop: bool = False) -> None:
        """Let it go, and wait for its end."""
        self.drop = drop
        self.opened.set()
        assert self.done.wait(SOON)


class Door:
    """A socket in front of the engine's, where a request can be held before the engine sees it."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.address = f"unix://{path}"
        self._engine = engine.address.removeprefix("unix://")
        self._current = _Hold(_NOTHING)
        door = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                door._pass(self.connection)

        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def hold(self, request: str) -> None:
        """From now on hold the first request whose first line matches."""
        self._current = _Hold(request)

    def wait(self) -> None:
        """Wait until that request is here, whole, and its sender waits for an answer."""
        assert self._current.reached.wait(SOON), f"no {self._current.request}"

    def let_go(self, *, drop: bool = False) -> None:
        """Pass the request on and wait for the engine's answer, or break the connection."""
        self._current.release(drop=drop)

    def hold_next(self, request: str) -> None:
        """Let the held request go, and hold the first after it that matches this one."""
        held = self._current
        self.hold(request)
        held.release()

    def close(self) -> None:
        """Let everything go."""
        self._current.opened.set()
        self._server.shutdown()
        self._server.server_close()

    def _pass(self, client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            chunk = client.recv(2**16)
            if not chunk:
                return
            request += chunk
        head, _, body = request.partition(b"\r\n\r\n")
        hold = self._current
        if not hold.taken and re.search(hold.request, head.decode().partition("\r\n")[0]):
            hold.taken = True
            self._hold(hold, client, head, body)
        else:
            self._forward(client, head, body)

    def _hold(self, hold: _Hold, client: socket.socket, head: bytes, body: bytes) -> None:
        length = re.search(rb"content-length: (\d+)", head.lower())
        chunked = b"transfer-encoding: chunked" in head.lower()
        wanted = int(length[1]) if length else 0
        while not body.endswith(b"\r\n0\r\n\r\n") if chunked else len(body) < wanted:
            body += client.recv(2**20)
        hold.reached.set()
        hold.opened.wait(SOON)
        if not hold.drop:
            self._forward(client, head, body)
        hold.done.set()

    def _forward(self, client: socket.socket, head: bytes, body: bytes) -> None:
        # One request for each connection, so that each has its first line at its start.
        head = re.sub(rb"(?i)connection: keep-alive", b"Connection: close", head)
        with socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
            engine.connect(self._engine)
            engine.sendall(head + b"\r\n\r\n" + body)
            threading.Thread(target=_pump, args=(client, engine), daemon=True).start()
            _pump(engine, client)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(2**16):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)

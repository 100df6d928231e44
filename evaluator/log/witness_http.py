"""The witness's HTTP: one path, small bodies, little patience, few connections at a time."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

from evaluator.errors import EvaluatorError

if TYPE_CHECKING:
    from collections.abc import Callable

BODY_CAP: Final = 1 << 18
"""Bytes: 63 hashes and a checkpoint with all the signatures it may carry."""
PATIENCE: Final = 15.0
"""Seconds from the first byte to the last."""
_CONNECTIONS: Final = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, and what goes with it."""

    status: HTTPStatus
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"


class Server(ThreadingHTTPServer):
    """Answers POST /add-checkpoint with what `add_checkpoint` makes of its body."""

    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        add_checkpoint: Callable[[bytes], Reply],
        patience: float = PATIENCE,
    ) -> None:
        self.add_checkpoint = add_checkpoint
        self.patience = patience
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def process_request(self, request: object, client_address: object) -> None:
        """Hang up where too many are connected already."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)  # type: ignore[arg-type]
        else:
            self.shutdown_request(request)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Cut off whoever is still sending, or not reading, when patience ends."""
        timer = threading.Timer(self.patience, _hang_up, [request])
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            timer.cancel()
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away."""


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "witness"
    sys_version = ""

    def do_POST(self) -> None:
        """Answer a request for a cosignature."""
        if self.path != "/add-checkpoint":
            self._answer(Reply(HTTPStatus.NOT_FOUND))
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10):
            self._answer(Reply(HTTPStatus.LENGTH_REQUIRED))
        elif int(length) > BODY_CAP:
            self._answer(Reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
        else:
            body = self.rfile.read(int(length))
            self._answer(
                self._decide(body) if len(body) == int(length) else Reply(HTTPStatus.BAD_REQUEST)
            )

    def _decide(self, body: bytes) -> Reply:
        try:
            return self.server.add_checkpoint(body)
        except (OSError, EvaluatorError) as error:  # its own disk: nothing was signed
            self.log_error("The witness's folder cannot be used (%s).", type(error).__name__)
            return Reply(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _answer(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log the status alone: what was asked is a stranger's words."""
        del size
        self.log_message("%s", int(code) if isinstance(code, int) else code)

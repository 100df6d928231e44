"""What the watcher says of itself over HTTP, and the registry's notifications: loopback alone.

    GET  /healthz     200, or 503 and why
    GET  /metrics     for Prometheus
    POST /notify      the registry has something new; with the token of --notify-token-file

A notification is a hint to look now. Nothing in it is believed: what there is, the round finds out.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AT_ONCE = 8
_MOST_BYTES = 2**20
_PATIENCE = 5.0  # seconds without a byte, after which a client is hung up on


@dataclass(frozen=True, slots=True)
class Answers:
    """What the pages are made of; `token` None means that nobody may notify."""

    troubles: Callable[[], list[str]]
    metrics: Callable[[], str]
    hint: Callable[[], None]
    token: bytes | None


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of --listen; OwnerError for any address that others can reach."""
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError as error:
        raise OwnerError("--listen is an address and a port, such as 127.0.0.1:9464.") from error
    if not address.is_loopback or not 0 <= number < 2**16:
        raise OwnerError(
            "The watcher listens on loopback alone (127.0.0.1 or [::1]): what it says tells when "
            "runs end. Let a proxy with a login stand before it, if others must read it."
        )
    return str(address), number


class _Handler(BaseHTTPRequestHandler):
    """One request; `answers` is set by the server that makes it."""

    server: _Server
    timeout = _PATIENCE
    server_version, sys_version = "evaluator", ""

    def do_GET(self) -> None:
        answers = self.server.answers
        if self.path == "/healthz":
            troubles = answers.troubles()
            self._send(
                503 if troubles else 200, "".join(f"{each}\n" for each in troubles or ["ok"])
            )
        elif self.path == "/metrics":
            self._send(200, answers.metrics(), "text/plain; version=0.0.4; charset=utf-8")
        else:
            self._send(404, "not found\n")

    def do_POST(self) -> None:
        answers = self.server.answers
        if self.path != "/notify" or answers.token is None:
            self._send(404, "not found\n")
            return
        given = self.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, b"Bearer " + answers.token):
            self._send(401, "the token is another one\n")
            return
        length = self.headers.get("Content-Length", "0")
        size = int(length) if length.isascii() and length.isdigit() else _MOST_BYTES + 1
        if size > _MOST_BYTES:
            self._send(413, "too large\n")
            return
        if is_news(self.rfile.read(size)):
            answers.hint()
        self._send(202, "")

    def _send(self, code: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a request line is somebody else's words."""


def is_news(body: bytes) -> bool:
    """Whether something may have been pushed; docker-registry tells of our own pulls as well."""
    try:
        actions = {event["action"] for event in json.loads(body)["events"]}
    except (ValueError, LookupError, TypeError, RecursionError):
        return True  # another registry's words
    return "push" in actions


class _Server(ThreadingHTTPServer):
    """A few requests at once; whoever comes beyond them is hung up on."""

    daemon_threads = True
    answers: Answers

    def __init__(self, address: tuple[str, int]) -> None:
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's own types
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hung up."""


@contextmanager
def listening(address: tuple[str, int], answers: Answers) -> Iterator[int]:
    """Answer for as long as the block lasts; yields the port. OwnerError where it is taken."""
    try:
        server = _Server(address)
    except OSError as error:
        raise OwnerError(
            f"Nothing can listen at {address[0]} port {address[1]}: {error.strerror}. Give another "
            "address with --listen."
        ) from error
    server.answers = answers
    thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

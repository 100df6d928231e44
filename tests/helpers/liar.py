"""A registry that lies on demand: between a client and a real one, or a whole one in this process.

    with lying(registry.url) as liar:          a proxy; clients are given liar.url
    with lying(Shelf().answer) as liar:        no registry behind it: tests/helpers/shelf.py
        liar.lies.append(lie)                  from now on; remove it, and it is honest again
        liar.asked                             every request, with its headers

A lie is a function (request, response) -> response, such as `only(request_pattern, lie)` of

    status(500), header("Retry-After", "1"), content(b"other"), cut(100), hang(3), endless()

`times(2, lie)` is told twice and never again. `cut` closes the connection within the body, `hang`
sleeps before the answer, `endless` sends zeros until the client leaves.
"""

from __future__ import annotations

import re
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Answering = Callable[["Request"], "Response"]
    Lie = Callable[["Request", "Response"], "Response"]

_HOP_BY_HOP = {"connection", "transfer-encoding", "host", "keep-alive"}


@dataclass(frozen=True)
class Request:
    """What a client asked; header names are lower-case."""

    method: str
    target: str
    headers: dict[str, str]
    content: bytes

    @property
    def path(self) -> str:
        """Without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The first value of each."""
        return {key: values[0] for key, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass(frozen=True)
class Response:
    """What it is told, and how: `cut` is after so many bytes, `wait` in seconds before it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    cut: int | None = None
    wait: float = 0
    endless: bool = False
    raw: bytes | None = None
    """Sent as it is, in the place of everything else; again and again where `endless`."""


@dataclass
class Liar:
    """A server, honest as long as there are no lies."""

    url: str
    lies: list[Lie] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    leaving: threading.Event = field(default_factory=threading.Event)


@contextmanager
def lying(behind: str | Answering, tls: tuple[Path, Path] | None = None) -> Iterator[Liar]:
    """Serve at a loopback port, with the certificate and key of `tls`, while the block lasts."""
    answer = _forwarding(behind) if isinstance(behind, str) else behind
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    liar = Liar(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}")
    own = {"liar": liar, "answer": staticmethod(answer)}
    server.RequestHandlerClass = type("Handler", (_Handler,), own)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield liar
    finally:
        liar.leaving.set()
        server.shutdown()
        thread.join()
        server.socket.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    liar: Liar
    answer: Answering

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Every method is served alike: do_GET, do_PUT and so on."""
        if name.startswith("do_"):
            return self._served
        raise AttributeError(name)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client left
            self.close_connection = True

    def _served(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        self.liar.asked.append(request)
        response = self.answer(request)
        for lie in [*self.liar.lies]:
            response = lie(request, response)
        self._tell(response)

    def _tell(self, response: Response) -> None:
        self.liar.leaving.wait(response.wait)
        if response.raw is not None:
            self.wfile.write(response.raw)
            while response.endless and not self.liar.leaving.wait(0.02):
                self.wfile.write(response.raw)
            self.close_connection = True
            return
        self.send_response(response.status)
        length = {} if response.endless else {"Content-Length": str(len(response.content))}
        for name, value in {**length, **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.content[: response.cut])
        while response.endless and not self.liar.leaving.is_set():
            self.wfile.write(bytes(2**16))
        self.close_connection |= response.cut is not None or response.endless

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def _forwarding(upstream: str) -> Answering:
    session = requests.Session()
    session.trust_env = False
    own = urlsplit(upstream).netloc

    def forward(request: Request) -> Response:
        headers = {k: v for k, v in request.headers.items() if k not in _HOP_BY_HOP}
        answer = session.request(
            request.method,
            f"{upstream}{request.target}",
            headers={"Accept-Encoding": "identity", **headers},
            data=request.content,
            allow_redirects=False,
            timeout=60,
        )
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
        if "Location" in kept:  # relative, so that the client comes here again
            kept["Location"] = kept["Location"].partition(own)[2] or kept["Location"]
        return Response(answer.status_code, kept, answer.content)

    return forward


def only(pattern: str, lie: Lie) -> Lie:
    """Tell it where "METHOD /path?query" holds the pattern."""

    def told(request: Request, response: Response) -> Response:
        asked = f"{request.method} {request.target}"
        return lie(request, response) if re.search(pattern, asked) else response

    return told


def times(count: int, lie: Lie) -> Lie:
    """Tell it so many times."""
    left = [count]

    def told(request: Request, response: Response) -> Response:
        if left[0] == 0:
            return response
        changed = lie(request, response)
        left[0] -= changed is not response
        return changed

    return told


def status(code: int, **headers: str) -> Lie:
    """Another status and no body; `Retry_After` is the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _, response: replace(response, status=code, headers=named, content=b"")


def header(name: str, value: str) -> Lie:
    """One header more, or another."""
    return lambda _, response: replace(response, headers={**response.headers, name: value})


def content(said: bytes) -> Lie:
    """Another body, of a length that fits it."""

    def told(_: Request, response: Response) -> Response:
        kept = {k: v for k, v in response.headers.items() if k.lower() != "content-length"}
        return replace(response, content=said, headers=kept)

    return told


def altered() -> Lie:
    """The last byte is another one."""

    def told(_: Request, response: Response) -> Response:
        last = bytes([response.content[-1] ^ 1]) if response.content else b""
        return replace(response, content=response.content[:-1] + last)

    return told


def cut(after: int) -> Lie:
    """Close the connection after so many bytes of the body."""
    return lambda _, response: replace(response, cut=after)


def hang(seconds: float) -> Lie:
    """Answer late."""
    return lambda _, response: replace(response, wait=seconds)


def endless() -> Lie:
    """Go on with zeros after the body."""
    return lambda _, response: replace(response, endless=True)


def raw(answer: bytes) -> Lie:
    """Bytes that may be no HTTP."""
    return lambda _, response: replace(response, raw=answer)

"""HTTP with a registry that may be slow, broken or hostile: bounded, and told in our own errors.

    with http.exchange(Ask("GET", url, scope)) as answer: ...     one exchange; Broken: try again
    reply = http.fetch(Ask(...), most)                            with retries, read to its end

Credentials go to the registry and to the token server that it names, and to no other host: a
redirect, to a blob store say, is followed without them, and never from HTTPS to plain HTTP. Every
byte of a body is counted, and the whole of an answer has a deadline.
"""

from __future__ import annotations

import http.client
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests
import urllib3.exceptions
from requests.utils import get_environ_proxies

from evaluator.registry.connections import open_session
from evaluator.registry.errors import Broken, TooLarge, denied, lied, untrusted
from evaluator.registry.names import joined, origin_of
from evaluator.registry.patience import Patience, seconds_asked
from evaluator.registry.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from evaluator.registry.credentials import Credentials
    from evaluator.registry.names import Origin

_TIMEOUTS = (10.0, 30.0)  # seconds to connect, and between two bytes
_SECONDS = 120  # for any body, and one more for each of these many bytes
_BYTES_A_SECOND = 2**17
_CHUNK = 2**20
_REDIRECTS = 5
_MOVED = {301, 302, 303, 307, 308}
_LATER = {408, 425, 429, 500, 502, 503, 504}
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"  # OpenSSL's name, which stands in each error made of it
# Whatever requests, and what lies below it, can raise of a connection or an answer.
_TROUBLE = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; `scope` is what a token has to allow for it, in the token server's words."""

    method: str
    url: str
    scope: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with its whole body, from `url`."""

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body is still to be read."""

    url: str
    status: int
    headers: Mapping[str, str]
    _response: requests.Response

    def chunks(self, most: int) -> Iterator[bytes]:
        """The body as it comes; TooLarge with the first byte beyond `most`, Broken half way."""
        if self.headers.get("Content-Encoding", "identity") != "identity":
            raise lied("it is compressed, which was not asked for")  # and could be a bomb
        deadline = time.monotonic() + _SECONDS + most / _BYTES_A_SECOND
        size = 0
        while True:
            try:
                chunk = self._response.raw.read1(_CHUNK, decode_content=False)
            except _TROUBLE as error:
                raise Broken from error
            if not chunk:
                return
            size += len(chunk)
            if size > most:
                raise TooLarge(size)
            if time.monotonic() > deadline:
                raise Broken
            yield chunk

    def read(self, most: int) -> bytes:
        """The whole body."""
        content = b"".join(self.chunks(most))
        if content and self.headers.get("Content-Length", str(len(content))) != str(len(content)):
            raise Broken  # urllib3 says so itself, unless the header makes no sense
        return content


class Http:
    """A registry's HTTP, with whoever this host is to it. For one thread."""

    def __init__(
        self,
        registry: Origin,
        credentials: Credentials | None,
        ca: Path | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.registry = registry
        self.sleep = sleep
        self._session = open_session(ca)
        self._tokens = Tokens(registry, credentials, self._once)

    def fetch(self, ask: Ask, most: int) -> Reply:
        """Ask until there is an answer, and read it to its end."""
        patience = Patience(self.sleep)
        while True:
            try:
                with self.exchange(ask) as answer:
                    content = answer.read(most) if ask.method != "HEAD" else b""
                    return Reply(answer.url, answer.status, answer.headers, content)
            except Broken as error:
                patience.wait(error)

    @contextmanager
    def exchange(self, ask: Ask) -> Iterator[Answer]:
        """One answer, wherever redirects lead; Denied where credentials do not help."""
        with ExitStack() as held:
            response = self._authorized(ask, held)
            url = ask.url
            for _ in range(_REDIRECTS):
                if response.status_code not in _MOVED or ask.method not in {"GET", "HEAD"}:
                    break
                url = self._elsewhere(url, response.headers.get("Location", ""))
                own = origin_of(url) == self.registry
                authorization = self._tokens.known(ask.scope) if own else None
                response = self._send(ask, url, authorization, held)
            else:
                raise lied("redirects do not end")
            if response.status_code in _LATER:
                raise Broken(seconds_asked(response.headers.get("Retry-After")))
            if response.status_code in {401, 403}:
                raise denied()
            yield Answer(url, response.status_code, response.headers, response)

    def _authorized(self, ask: Ask, held: ExitStack) -> requests.Response:
        """The registry's own answer, with the credentials it asks for."""
        response = self._send(ask, ask.url, self._tokens.known(ask.scope), held)
        if response.status_code != 401:
            return response
        authorization = self._tokens.obtain(response.headers.get("WWW-Authenticate", ""), ask.scope)
        return self._send(ask, ask.url, authorization, held)

    def _elsewhere(self, url: str, location: str) -> str:
        """Where a redirect leads, if anybody may be sent there."""
        target = joined(url, location)
        found = origin_of(target)
        plain = self.registry.scheme == "http"
        if found is None or (found.scheme == "http" and not (plain and found.is_loopback)):
            raise lied("a redirect leads nowhere, or away from HTTPS")
        return target

    def _once(self, ask: Ask, authorization: str | None, most: int) -> Reply:
        """One request of the token server's, which is never redirected."""
        with ExitStack() as held:
            response = self._send(ask, ask.url, authorization, held)
            if response.status_code in _LATER:
                raise Broken(seconds_asked(response.headers.get("Retry-After")))
            answer = Answer(ask.url, response.status_code, response.headers, response)
            return Reply(ask.url, answer.status, answer.headers, answer.read(most))

    def _send(
        self, ask: Ask, url: str, authorization: str | None, held: ExitStack
    ) -> requests.Response:
        headers = {**ask.headers, "Accept-Encoding": "identity"}
        if authorization:
            headers["Authorization"] = authorization
        try:
            response = self._session.request(
                ask.method,
                url,
                headers=headers,
                data=ask.content,
                stream=True,
                timeout=_TIMEOUTS,
                allow_redirects=False,
                proxies=_proxies(url),
            )
        except _TROUBLE as error:
            raise untrusted() if _UNTRUSTED in str(error) else Broken() from error
        held.enter_context(closing(response))
        return response


def _proxies(url: str) -> dict[str, str]:
    """The environment's, but for this host, to which nothing goes by way of another."""
    found = origin_of(url)
    return {} if found and found.is_loopback else get_environ_proxies(url)

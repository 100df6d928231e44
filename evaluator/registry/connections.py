"""Connections that trust one more CA, and that no endless header can hold."""

from __future__ import annotations

import http.cookiejar
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from pathlib import Path

    from urllib3.poolmanager import PoolManager

HEADER_SECONDS = 90.0
"""Until the last byte of an answer's header. A socket's time-out is between two bytes."""


def open_session(ca: Path | None) -> requests.Session:
    """A session that reads nothing of the user's, keeps no cookies, and trusts `ca` as well."""
    session = requests.Session()
    session.trust_env = False  # a .netrc would be sent to whoever a redirect names
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "submission-evaluator"
    adapter = _Adapter(_trust(ca))
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def _trust(ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if ca is not None:
            context.load_verify_locations(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise OwnerError("The registry's CA certificate cannot be read as PEM.") from error
    return context


class _Hurried(HTTPConnection):
    def getresponse(self) -> Any:  # noqa: ANN401 - urllib3's response
        """Hang up on whoever never comes to the end of a header; 100 Continue is one, again."""
        timer = threading.Timer(HEADER_SECONDS, _hang_up, (self.sock,))
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()
        finally:
            timer.cancel()


class _HurriedTls(_Hurried, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Hurried


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _HurriedTls


def _hang_up(connection: socket.socket | None) -> None:
    with suppress(OSError):
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - theirs
        super().init_poolmanager(*arguments, **options, ssl_context=self._trust)
        _hurried(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - theirs
        manager = super().proxy_manager_for(*arguments, **options, ssl_context=self._trust)
        return _hurried(manager)


def _hurried(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager

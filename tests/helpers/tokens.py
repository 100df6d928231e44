"""A token server for docker-registry: every user has a namespace, as at a hosted registry.

    with token_server(folder, {"acme": ("acme/*",), "zenith": ("zenith/*",)}) as tokens:
        with local_registry(folder, auth=tokens.auth) as registry:
            Pusher(registry.url, ...)           speaks no tokens; use `evaluator.registry` or oras

A user's password is its name and "-secret". READER may read everything, list repositories, and
attach to everything. By the Docker token specification: a GET with basic authentication is answered
with a JWT whose `access` says what of the asked scopes is granted.
"""

from __future__ import annotations

import base64
import fnmatch
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from tests.helpers.registry import certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

READER = "evaluator"
SERVICE = "evaluator-test-registry"
ISSUER = "evaluator-test-tokens"


def password_of(user: str) -> str:
    """What a user logs in with."""
    return f"{user}-secret"


@dataclass
class Tokens:
    """A running token server; `asked` are the scopes that were asked for, in order."""

    realm: str
    auth: dict[str, Any]
    asked: list[tuple[str, str]] = field(default_factory=list)
    seconds: int = 300  # that a token lasts


@contextmanager
def token_server(folder: Path, users: Mapping[str, tuple[str, ...]]) -> Iterator[Tokens]:
    """Grant each user its repositories, by shell pattern, for as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, certificate, key = certificates(folder)
    signer = _Signer(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    realm = f"http://127.0.0.1:{server.server_port}/token"
    token = {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(ca)}
    tokens = Tokens(realm, {"token": token})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            user = _user(self.headers.get("Authorization", ""))
            asked = parse_qs(urlsplit(self.path).query).get("scope", [])
            scopes = [scope for line in asked for scope in line.split()]
            tokens.asked += [(user, scope) for scope in scopes]
            if user not in {READER, *users}:
                self._answer(401, {"errors": [{"code": "UNAUTHORIZED"}]})
                return
            access = [_granted(user, users.get(user, ()), scope) for scope in scopes]
            jwt = signer.token(user, access, tokens.seconds)
            self._answer(200, {"token": jwt, "expires_in": tokens.seconds})

        def log_message(self, *_: object) -> None:
            """Stay silent."""

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield tokens
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _user(authorization: str) -> str:
    """Who logs in, or nobody."""
    scheme, _, encoded = authorization.partition(" ")
    user, _, password = base64.b64decode(encoded).decode().partition(":")
    return user if scheme == "Basic" and password == password_of(user) else ""


def _granted(user: str, patterns: tuple[str, ...], scope: str) -> dict[str, Any]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    own = any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    allowed = user == READER or (kind == "repository" and own)
    return {"type": kind, "name": name, "actions": actions.split(",") if allowed else []}


class _Signer:
    """Signs tokens as docker-registry 2.8 checks them: by the certificate in the header."""

    def __init__(self, certificate: Path, key: Path) -> None:
        der = load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)
        x5c = [base64.b64encode(der).decode()]
        self._header = _packed({"typ": "JWT", "alg": "ES256", "x5c": x5c})
        loaded = load_pem_private_key(key.read_bytes(), None)
        self._key: EllipticCurvePrivateKey = loaded  # type: ignore[assignment]  # ours is one

    def token(self, user: str, access: list[dict[str, Any]], seconds: int) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "nbf": now - 10,
            "iat": now,
            "exp": now + seconds,
            "jti": str(time.monotonic_ns()),
            "access": access,
        }
        signed = f"{self._header}.{_packed(claims)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ECDSA(SHA256())))
        return f"{signed}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _packed(document: dict[str, Any]) -> str:
    return _base64(json.dumps(document).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

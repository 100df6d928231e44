"""What a registry wants to see before it answers: nothing, a password, or a token for it.

The Docker token specification: a 401 names a token server, the realm, which takes the password and
gives a token for a while and for one scope, such as repository:acme/model:pull.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from urllib.request import parse_http_list, parse_keqv_list

from evaluator.registry.documents import MALFORMED
from evaluator.registry.errors import denied, lied, odd
from evaluator.registry.names import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.registry.credentials import Credentials
    from evaluator.registry.names import Origin
    from evaluator.registry.transport import Ask, Reply

    Once = Callable[[Ask, str | None, int], Reply]

_MOST_ANSWER = 2**20  # bytes
_MOST_CHALLENGE = 8192  # characters
_SECONDS = 60.0  # that a token lasts where nobody says how long
_EARLIER = 10.0  # seconds before its end that a token is no longer used
_CLIENT = "submission-evaluator"


class Tokens:
    """The Authorization headers of one registry, each for its scope."""

    def __init__(self, registry: Origin, credentials: Credentials | None, once: Once) -> None:
        self._registry, self._credentials, self._once = registry, credentials, once
        self._known: dict[str, tuple[str, float]] = {}
        self._basic: str | None = None

    def known(self, scope: str) -> str | None:
        """The header that was right a moment ago."""
        header, until = self._known.get(scope, (None, 0.0))
        return header if time.monotonic() < until else self._basic

    def obtain(self, challenge: str, scope: str) -> str:
        """The header that a 401 asks for; Denied where this host cannot have it."""
        self._known.pop(scope, None)
        self._basic = None
        scheme, said = _parsed(challenge)
        if scheme == "bearer":
            token, seconds = self._token(said, scope)
            self._known[scope] = f"Bearer {token}", time.monotonic() + seconds - _EARLIER
            return self._known[scope][0]
        if scheme == "basic" and self._credentials and not self._credentials.refresh:
            self._basic = self._credentials.basic
            return self._basic
        raise denied()

    def _token(self, said: dict[str, str], scope: str) -> tuple[str, float]:
        realm = said.get("realm", "")
        self._require_realm(realm)
        reply = self._asked(realm, {"service": said.get("service", ""), "scope": scope})
        if reply.status in {400, 401, 403, 404}:
            raise denied()
        if reply.status != 200:
            raise odd(reply.status)
        try:
            answer = json.loads(reply.content)
            token = answer.get("token") or answer["access_token"]
            seconds = float(answer.get("expires_in") or _SECONDS)
            if not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
                raise ValueError
        except MALFORMED as error:
            raise lied("what should be a token is none") from error
        return token, seconds

    def _asked(self, realm: str, query: dict[str, str]) -> Reply:
        from evaluator.registry.transport import Ask  # noqa: PLC0415 - which imports this module

        known = self._credentials
        if known and known.refresh:  # OAuth 2, as `docker login` at a cloud's registry leaves it
            form = {"grant_type": "refresh_token", "refresh_token": known.password}
            form |= {**query, "client_id": _CLIENT}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            content = urlencode(form).encode()
            return self._once(Ask("POST", realm, "", headers, content), None, _MOST_ANSWER)
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        return self._once(Ask("GET", url, ""), known.basic if known else None, _MOST_ANSWER)

    def _require_realm(self, realm: str) -> None:
        """Passwords go over HTTPS; in plain only where the registry itself is on this host."""
        found = origin_of(realm)
        plain = self._registry.scheme == "http"
        own = found is not None and plain and found.host == self._registry.host
        if found is None or (found.scheme != "https" and not own):
            raise lied("it sends passwords to a token server without HTTPS")


def _parsed(challenge: str) -> tuple[str, dict[str, str]]:
    """Scheme and parameters of WWW-Authenticate; Bearer is preferred where several are offered."""
    if len(challenge) > _MOST_CHALLENGE:
        raise lied("its demand for credentials is endless")
    try:
        found = _offered(challenge)
    except MALFORMED as error:
        raise lied("its demand for credentials makes no sense") from error
    for wanted in ("bearer", "basic"):
        if wanted in found:
            return wanted, found[wanted]
    return "", {}


def _offered(challenge: str) -> dict[str, dict[str, str]]:
    """The parameters of each scheme."""
    found: dict[str, dict[str, str]] = {}
    scheme = ""
    for part in parse_http_list(challenge):
        first, _, rest = part.partition(" ")
        if "=" not in first:
            scheme, part = first.lower(), rest.strip()  # noqa: PLW2901 - without its scheme
            found.setdefault(scheme, {})
        if "=" in part and scheme:
            found[scheme] |= {key.lower(): value for key, value in parse_keqv_list([part]).items()}
    return found

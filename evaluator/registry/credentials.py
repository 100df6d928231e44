"""Who this host is to a registry: from `docker login`, a file of one line, or the environment.

read_credentials(path, registry)     from either kind of file
found_credentials(registry)          the environment's, or else Docker's own config.json
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator.errors import OwnerError
from evaluator.registry.names import origin_of

USER_VARIABLE = "EVALUATOR_REGISTRY_USER"
PASSWORD_VARIABLE = "EVALUATOR_REGISTRY_PASSWORD"  # noqa: S105 - the variable's name
_MOST = 2**20  # bytes
_HELPER = re.compile(r"[\w-]{1,64}")
_HELPER_SECONDS = 30
# Docker Hub is known by this name wherever credentials are kept.
_HUB = {"docker.io", "index.docker.io", "registry-1.docker.io"}
_HUB_KEY = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password; where `refresh`, the password is an OAuth 2 refresh token."""

    user: str
    password: str = field(repr=False)
    refresh: bool = False

    @property
    def basic(self) -> str:
        """As the Authorization header gives them."""
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def found_credentials(registry: str) -> Credentials | None:
    """What the environment or Docker's own configuration has for this registry."""
    user, password = os.environ.get(USER_VARIABLE), os.environ.get(PASSWORD_VARIABLE)
    if user and password:
        return Credentials(user, password)
    folder = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    path = Path(folder) / "config.json"
    return read_credentials(path, registry) if path.is_file() else None


def read_credentials(path: Path, registry: str) -> Credentials | None:
    """What a file has for this registry: Docker's config.json, or one line USER:PASSWORD."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise OwnerError("The file with the registry's credentials cannot be read.") from error
    if not text.lstrip().startswith("{"):
        user, separator, password = text.strip().partition(":")
        if not separator or "\n" in password:
            raise _no_credentials()
        return Credentials(user, password)
    try:
        return _from_docker(json.loads(text), registry)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise _no_credentials() from error


def _no_credentials() -> OwnerError:
    return OwnerError(
        "The file with the registry's credentials is neither a config.json as `docker login` "
        "writes it nor one line USER:PASSWORD."
    )


def _from_docker(config: dict[str, Any], registry: str) -> Credentials | None:
    host = _host(registry)
    helper = _by_host(config.get("credHelpers") or {}, host) or config.get("credsStore")
    if helper:
        return _from_helper(helper, _HUB_KEY if host in _HUB else host)
    entry = _by_host(config.get("auths") or {}, host)
    if not entry:
        return None
    user, _, password = (
        base64.b64decode(entry.get("auth") or "", validate=True).decode().partition(":")
    )
    token = entry.get("identitytoken")
    if token:
        return Credentials(user, token, refresh=True)
    user, password = entry.get("username") or user, entry.get("password") or password.rstrip("\0")
    return Credentials(user, password) if user else None


def _by_host(entries: dict[str, Any], host: str) -> Any:  # noqa: ANN401 - as the file has it
    hosts = _HUB if host in _HUB else {host}
    return next((entry for key, entry in entries.items() if _host(key) in hosts), None)


def _host(registry: str) -> str:
    """HOST[:PORT] of any of the ways in which config.json names a registry."""
    netloc = registry.partition("://")[2] or registry
    netloc = netloc.partition("/")[0].lower()
    found = origin_of(f"https://{netloc}")
    return netloc.removesuffix(":443") if found else netloc


def _from_helper(name: str, host: str) -> Credentials | None:
    """What the program docker-credential-NAME has; None where it has nothing."""
    if not _HELPER.fullmatch(name):
        raise _no_credentials()
    try:
        done = subprocess.run(
            [f"docker-credential-{name}", "get"],  # found on PATH, as Docker finds it
            input=host.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OwnerError(
            "Docker's config.json names a credential helper that does not start or does not end. "
            f"Try `docker-credential-{name} list`."
        ) from error
    if done.returncode != 0:  # "credentials not found in native keychain"
        return None
    said = json.loads(done.stdout[:_MOST])
    refresh = said["Username"] == "<token>"
    return Credentials(said["Username"], said["Secret"], refresh=refresh)

"""Addresses and names by the grammar of the OCI distribution specification; nothing else is asked.

origin("https://registry.example:5000")     loopback addresses may speak plain HTTP
require_repository(name), require_reference(tag_or_digest)
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from evaluator.errors import OwnerError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_LONGEST = 255
_LONGEST_URL = 8192
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a URL leads: scheme, host and port, which are its alone."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it lies on this host, by its name: nobody else is asked what a name means."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def origin_of(url: str) -> Origin | None:
    """The origin of an absolute URL; None where it is none of HTTP, or says who somebody is."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return Origin(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])


def joined(url: str, place: str) -> str:
    """The URL that a header of an answer from `url` means; nothing where it means none."""
    try:
        return urljoin(url, place) if 0 < len(place) <= _LONGEST_URL else ""
    except ValueError:
        return ""


def origin(address: str) -> Origin:
    """A registry's origin from what an operator wrote: a URL, or HOST[:PORT] as in image names."""
    found = origin_of(address if "://" in address else f"https://{address}")
    if found and "://" not in address and found.is_loopback:
        port = found.port if re.search(r":\d+$", address) else _PORTS["http"]
        found = Origin("http", found.host, port)
    rest = address.partition("://")[2] or address
    if found is None or re.search(r"[/?#\s]", rest.removesuffix("/")):
        raise OwnerError(
            "The registry's address is https://HOST or https://HOST:PORT, with nothing after it. "
            "Repositories are named elsewhere, credentials are kept elsewhere."
        )
    if found.scheme == "http" and not found.is_loopback:
        raise OwnerError(
            "Plain HTTP is for registries on this host, at a loopback address. Use https://, or "
            "put a proxy that speaks TLS before the registry."
        )
    return found


def is_repository(name: object) -> bool:
    """Whether a registry may have a repository of this name."""
    return (
        isinstance(name, str) and len(name) <= _LONGEST and _REPOSITORY.fullmatch(name) is not None
    )


def is_tag(name: object) -> bool:
    """Whether a repository may have a tag of this name."""
    return isinstance(name, str) and _TAG.fullmatch(name) is not None


def is_referrers_tag(tag: str) -> bool:
    """Whether tools keep under this tag what is attached to a digest."""
    return re.fullmatch(r"sha256-[0-9a-f]{64}(\..*)?", tag) is not None


def referrers_tag(digest: str) -> str:
    """The tag of the index of a digest's referrers, where a registry has no API for them."""
    return digest.replace(":", "-")


def require_repository(name: str) -> None:
    """OwnerError for what cannot be asked for."""
    if not is_repository(name):
        raise OwnerError(
            "That is no repository's name: lower-case letters, digits, and . _ - / between them."
        )


def require_reference(reference: str) -> None:
    """OwnerError for what is neither a tag nor a SHA-256 digest."""
    if not is_tag(reference) and not DIGEST.fullmatch(reference):
        raise OwnerError("That is neither a tag nor sha256: with 64 hexadecimal digits.")

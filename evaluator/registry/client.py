"""A registry read and written: names, tags, manifests and blobs, none of them taken at its word.

Raw bytes are hashed here. An answer is bounded in bytes, a list in names and in pages.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlsplit

from evaluator.registry.blobs import fetch_blob
from evaluator.registry.documents import (
    INDEXES,
    MALFORMED,
    MANIFESTS,
    Descriptor,
    digest_of,
    read_manifest,
)
from evaluator.registry.errors import gone, lied, odd
from evaluator.registry.names import (
    DIGEST,
    is_repository,
    is_tag,
    joined,
    origin,
    origin_of,
    require_reference,
    require_repository,
)
from evaluator.registry.transport import Ask, Http

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from evaluator.registry.credentials import Credentials
    from evaluator.registry.documents import Manifest
    from evaluator.registry.transport import Reply

MOST_MANIFEST = 4 * 2**20
"""Bytes of a manifest, and of a page of a list."""
MOST_NAMES = 200_000
"""In a list, on all its pages."""
_MOST_PAGES = 1000
_PAGE = 1000  # names that are asked for at once
_UPLOADS = 2  # times that a blob's upload is begun
_CATALOG = "registry:catalog:*"


class Client:
    """One registry, for one thread: `sleep` waits between attempts."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        ca: Path | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._origin = origin(url)
        more = {"sleep": sleep} if sleep else {}
        self._http = Http(self._origin, credentials, ca, **more)

    def repositories(self) -> Iterator[str]:
        """Every repository that the registry lists; Denied or Gone where it lists none."""
        return self._named(f"/v2/_catalog?n={_PAGE}", _CATALOG, "repositories", is_repository)

    def tags(self, repository: str) -> list[str]:
        """Every tag of a repository; names that nobody can ask for are left out."""
        require_repository(repository)
        path = f"/v2/{repository}/tags/list?n={_PAGE}"
        return list(self._named(path, self.pulls(repository), "tags", is_tag))

    def _named(
        self, path: str, scope: str, key: str, allowed: Callable[[object], bool]
    ) -> Iterator[str]:
        count = 0
        for page in self.pages(path, scope):
            names = _names(page, key, allowed)
            count += len(names)
            if count > MOST_NAMES:
                raise lied("a list of names does not end")
            yield from names

    def manifest(
        self, repository: str, reference: str, accept: Sequence[str] = (*MANIFESTS, *INDEXES)
    ) -> Manifest:
        """A manifest or index; what a digest names has that digest, or it is Lied."""
        require_repository(repository)
        require_reference(reference)
        url = f"{self._origin.url}/v2/{repository}/manifests/{reference}"
        ask = Ask("GET", url, self.pulls(repository), {"Accept": ", ".join(accept)})
        reply = _found(self._http.fetch(ask, MOST_MANIFEST))
        manifest = read_manifest(reply.content, reply.headers.get("Content-Type", ""))
        promised = reply.headers.get("Docker-Content-Digest", manifest.digest)
        if promised.startswith("sha256:") and promised != manifest.digest:
            raise lied("a manifest has another digest than it says")
        if DIGEST.fullmatch(reference) and reference != manifest.digest:
            raise lied("a manifest has another digest than was asked for")
        return manifest

    def blob(self, repository: str, blob: Descriptor, file: BinaryIO) -> None:
        """Write a blob to a file, open for reading and writing, that may hold a beginning of it.

        Where the connection breaks, the rest is asked for. What does not come to the descriptor's
        size and digest is Lied, and what was written of it stays in the file.
        """
        require_repository(repository)
        url = f"{self._origin.url}/v2/{repository}/blobs/{blob.digest}"
        fetch_blob(self._http, Ask("GET", url, self.pulls(repository)), blob, file)

    def push_blob(self, repository: str, content: bytes, media_type: str) -> Descriptor:
        """Upload a blob, unless the repository has it."""
        require_repository(repository)
        blob = Descriptor(media_type, digest_of(content), len(content))
        place = f"{self._origin.url}/v2/{repository}/blobs"
        scope = _push(repository)
        for _ in range(_UPLOADS):
            if self._http.fetch(Ask("HEAD", f"{place}/{blob.digest}", scope), 0).status == 200:
                return blob
            begun = self._http.fetch(Ask("POST", f"{place}/uploads/", scope), MOST_MANIFEST)
            if begun.status != 202:
                raise odd(begun.status)
            url = self._within(begun.url, begun.headers.get("Location", ""))
            url += f"{'&' if '?' in url else '?'}digest={quote(blob.digest)}"
            headers = {"Content-Type": "application/octet-stream"}
            ended = self._http.fetch(Ask("PUT", url, scope, headers, content), MOST_MANIFEST)
            if ended.status == 201:
                return blob
        raise odd(ended.status)  # an upload that broke off may be unknown afterwards, once

    def push_manifest(
        self, repository: str, reference: str, content: bytes, media_type: str
    ) -> Reply:
        """Put a manifest under a tag or its own digest; the answer says what was done with it."""
        require_repository(repository)
        require_reference(reference)
        url = f"{self._origin.url}/v2/{repository}/manifests/{reference}"
        headers = {"Content-Type": media_type}
        ask = Ask("PUT", url, _push(repository), headers, content)
        reply = self._http.fetch(ask, MOST_MANIFEST)
        if reply.status != 201:
            raise odd(reply.status)
        return reply

    def pages(self, path: str, scope: str) -> Iterator[Any]:
        """The JSON of a list, page by page, as Link headers lead on within the registry."""
        url, seen = f"{self._origin.url}{path}", set[str]()
        while url:
            if url in seen or len(seen) == _MOST_PAGES:
                raise lied("a list of names does not end")
            seen.add(url)
            reply = _found(self._http.fetch(Ask("GET", url, scope), MOST_MANIFEST))
            try:
                yield json.loads(reply.content)
            except MALFORMED as error:
                raise lied("a list of names is no JSON") from error
            url = self._next(url, reply.headers.get("Link", ""))

    @staticmethod
    def pulls(repository: str) -> str:
        """The scope of a token that reads a repository."""
        return f"repository:{repository}:pull"

    def _next(self, url: str, link: str) -> str:
        """Where the next page is; nothing after the last."""
        found = re.match(r'\s*<([^<>]{1,8192})>\s*;\s*rel="?next"?', link)
        return self._within(url, found[1]) if found else ""

    def _within(self, url: str, place: str) -> str:
        """A place that the registry names, which has to be its own."""
        target = joined(url, place)
        if origin_of(target) != self._origin or not urlsplit(target).path.startswith("/v2/"):
            raise lied("it leads to another host in the middle of a list or an upload")
        return target


def _found(reply: Reply) -> Reply:
    if reply.status == 404:
        raise gone()
    if reply.status != 200:
        raise odd(reply.status)
    return reply


def _push(repository: str) -> str:
    return f"repository:{repository}:pull,push"


def _names(page: Any, key: str, allowed: Callable[[object], bool]) -> list[str]:  # noqa: ANN401
    """The names on a page of a list, without those that nobody can ask for."""
    try:
        names = page[key] or []  # null where every tag was deleted
        if not isinstance(names, list):
            raise TypeError
    except MALFORMED as error:
        raise lied("a list of names is none") from error
    return [name for name in names if allowed(name)]

"""A whole registry in a dictionary, for tests without a program: `lying(Shelf().answer)`.

It speaks what distribution specification 1.1 asks of a registry: Range, lists in pages, uploads,
and, with `lists_referrers`, the referrers API.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.helpers.liar import Response
from tests.helpers.pusher import INDEX, digest_of

if TYPE_CHECKING:
    from tests.helpers.liar import Request

_PLACE = re.compile(r"/v2/(.+)/(manifests|blobs|tags|referrers)/(.+)")


@dataclass
class Shelf:
    """Content by repository; `login` is the Authorization header that is asked for, if any."""

    lists_referrers: bool = False
    page: int = 1000
    login: str = ""
    blobs: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    manifests: dict[str, dict[str, tuple[str, bytes]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    tags: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def answer(self, request: Request) -> Response:
        """Answer as an honest registry would."""
        if self.login and request.headers.get("authorization") != self.login:
            return Response(401, {"WWW-Authenticate": 'Basic realm="shelf"'})
        if request.path == "/v2/_catalog":
            return self._list("repositories", sorted({*self.tags, *self.manifests}), request)
        place = _PLACE.fullmatch(request.path)
        if place is None:
            return Response(404)
        repository, kind, name = place.groups()
        if kind == "tags":
            return self._list("tags", sorted(self.tags[repository]), request)
        kinds = {"referrers": self._referrers, "manifests": self._manifest, "blobs": self._blob}
        return kinds[kind](repository, name, request)

    def put(self, repository: str, tag: str, content: bytes, media_type: str) -> str:
        """Put a manifest under its digest and a tag; returns the digest."""
        digest = digest_of(content)
        self.manifests[repository][digest] = (media_type, content)
        if tag:
            self.tags[repository][tag] = digest
        return digest

    def _list(self, key: str, names: list[str], request: Request) -> Response:
        rest = [name for name in names if name > request.query.get("last", "")]
        page = rest[: self.page]
        more = f'<{request.path}?last={page[-1]}>; rel="next"' if len(rest) > len(page) else ""
        headers = {"Link": more} if more else {}
        return Response(200, headers, json.dumps({key: page}).encode())

    def _manifest(self, repository: str, name: str, request: Request) -> Response:
        if request.method == "PUT":
            tag = "" if name.startswith("sha256:") else name
            self.put(repository, tag, request.content, request.headers["content-type"])
            subject = json.loads(request.content).get("subject")
            listed = self.lists_referrers and subject
            return Response(201, {"OCI-Subject": subject["digest"]} if listed else {})
        digest = self.tags[repository].get(name, name)
        if digest not in self.manifests[repository]:
            return Response(404)
        media_type, content = self.manifests[repository][digest]
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest}
        return Response(200, headers, content)

    def _referrers(self, repository: str, subject: str, _: Request) -> Response:
        if not self.lists_referrers:
            return Response(404)
        entries = []
        for digest, (media_type, content) in self.manifests[repository].items():
            document: dict[str, Any] = json.loads(content)
            if document.get("subject", {}).get("digest") == subject:
                entry = {"mediaType": media_type, "digest": digest, "size": len(content)}
                more = {key: document[key] for key in ("artifactType",) if key in document}
                entries.append({**entry, **more})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        return Response(200, {"Content-Type": INDEX}, json.dumps(index).encode())

    def _blob(self, repository: str, name: str, request: Request) -> Response:
        if request.method == "POST":
            return Response(202, {"Location": f"/v2/{repository}/blobs/uploads/1?state=x"})
        if request.method == "PUT":
            if digest_of(request.content) != request.query["digest"]:
                return Response(400)
            self.blobs[repository][request.query["digest"]] = request.content
            return Response(201)
        content = self.blobs[repository].get(name)
        return Response(404) if content is None else _ranged(content, request)


def _ranged(content: bytes, request: Request) -> Response:
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    if asked is None:
        return Response(200, {}, content)
    start = int(asked[1])
    if start >= len(content):
        return Response(416)
    said = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Response(206, {"Content-Range": said}, content[start:])

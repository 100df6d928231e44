"""Names and manifests: bounded, followed within the registry, hashed here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from evaluator.registry import Gone, Lied, Registry, RegistryError, TooLarge
from tests.helpers.liar import Response, content, header, only
from tests.helpers.pusher import INDEX, MANIFEST, digest_of

if TYPE_CHECKING:
    from tests.evaluator.registry.conftest import Stall
    from tests.helpers.liar import Request

ABSENT = "sha256:" + "1" * 64
HUGE = 4 * 2**20 + 1


def test_lists_are_read_page_by_page(stall: Stall) -> None:
    """As many as the registry has, in its order."""
    stall.shelf.page = 3
    names = [f"acme/model-{number}" for number in range(10)]
    for name in names:
        stall.shelf.tags[name] = {f"v{number}": "" for number in range(7)}
    assert list(stall.client.repositories()) == names
    assert stall.client.tags("acme/model-0") == [f"v{number}" for number in range(7)]


@pytest.mark.parametrize(
    "link",
    [
        '<https://registry.example/v2/_catalog?last=x>; rel="next"',
        '<http://127.0.0.1:1/v2/_catalog?last=x>; rel="next"',
        '<//registry.example/v2/x>; rel="next"',
        '</elsewhere>; rel="next"',
        '</v2/_catalog?n=1000>; rel="next"',
        "<http://[>; rel=next",
    ],
)
def test_a_list_leads_nowhere_else_and_not_in_circles(stall: Stall, link: str) -> None:
    """Credentials would follow it."""
    stall.liar.lies.append(header("Link", link))
    with pytest.raises(Lied):
        list(stall.client.repositories())
    assert len(stall.liar.asked) == 1


@pytest.mark.parametrize("link", ["nonsense", '</v2/x>; rel="prev"', "<", "", ";" * 8000])
def test_a_link_that_is_none_ends_the_list(stall: Stall, link: str) -> None:
    """There is no next page."""
    stall.liar.lies.append(header("Link", link))
    assert list(stall.client.repositories()) == []


def test_a_list_without_end_is_a_lie(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page names another one."""
    monkeypatch.setattr("evaluator.registry.client._MOST_PAGES", 20)

    def more(request: Request, _: Response) -> Response:
        last = int(request.query.get("last", 0)) + 1
        link = {"Link": f'</v2/_catalog?last={last}>; rel="next"'}
        return Response(200, link, b'{"repositories": ["a"]}')

    stall.liar.lies.append(more)
    with pytest.raises(Lied, match="does not end"):
        list(stall.client.repositories())
    assert len(stall.liar.asked) == 20


def test_a_list_has_only_so_many_names(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    """On all its pages together."""
    monkeypatch.setattr("evaluator.registry.client.MOST_NAMES", 6)
    stall.shelf.page = 3
    stall.shelf.tags["acme/model"] = {f"v{number}": "" for number in range(6)}
    assert len(stall.client.tags("acme/model")) == 6
    stall.shelf.tags["acme/model"]["v6"] = ""
    with pytest.raises(Lied, match="does not end"):
        stall.client.tags("acme/model")


def test_names_that_nobody_can_ask_for_are_left_out(stall: Stall) -> None:
    """A path, an escape sequence, no text at all: they reach nobody."""
    said = {"repositories": ["../etc", "acme/model", "\x1b[31m", "A", 3, None, ["a"], "b\n"]}
    stall.liar.lies.append(content(json.dumps(said).encode()))
    assert list(stall.client.repositories()) == ["acme/model"]


def test_a_repository_whose_tags_were_deleted_has_none(stall: Stall) -> None:
    """docker-registry says null."""
    stall.liar.lies.append(content(b'{"name": "acme/model", "tags": null}'))
    assert stall.client.tags("acme/model") == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"3", b'{"tags": 3}', b'{"tags": {"a": 1}}', b"\xff", b"[" * 100_000]
)
def test_a_list_of_another_form_is_a_lie(stall: Stall, body: bytes) -> None:
    """Whatever it is."""
    stall.liar.lies.append(content(body))
    with pytest.raises(Lied):
        stall.client.tags("acme/model")


def test_a_manifest_is_known_by_the_bytes_that_came(stall: Stall) -> None:
    """By tag and by digest alike, with the type that its referrers name it by."""
    raw = stall.vendor.image("acme/model", "v1", {"predict": b""})
    manifest = stall.client.manifest("acme/model", "v1")
    assert (manifest.raw, manifest.digest, manifest.media_type) == (raw, digest_of(raw), MANIFEST)
    assert stall.client.manifest("acme/model", manifest.digest) == manifest
    assert (manifest.descriptor.size, manifest.is_referrer) == (len(raw), False)
    with pytest.raises(Gone):
        stall.client.manifest("acme/model", ABSENT)


def test_a_manifest_of_another_digest_is_a_lie(stall: Stall) -> None:
    """Where the digest was asked for, and where the header gives it."""
    raw = stall.vendor.image("acme/model", "v1", {"predict": b""})
    stall.liar.lies.append(only("GET.*manifests", content(b"{}")))
    for reference in ("v1", digest_of(raw)):
        with pytest.raises(Lied, match="digest"):
            stall.client.manifest("acme/model", reference)
    stall.liar.lies.append(header("Docker-Content-Digest", digest_of(b"{}")))
    with pytest.raises(Lied, match="asked for"):
        stall.client.manifest("acme/model", digest_of(raw))
    assert stall.client.manifest("acme/model", "v1").raw == b"{}"


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        b"",
        b'{"a": 1, "a": 2}',
        json.dumps({"mediaType": INDEX}).encode(),
        json.dumps({"layers": [], "manifests": []}).encode(),
    ],
)
def test_a_manifest_is_of_one_kind(stall: Stall, document: bytes) -> None:
    """Two readers that take it for two things would be misled (CVE-2021-41190)."""
    digest = stall.shelf.put("acme/model", "v1", document, MANIFEST)
    with pytest.raises(Lied):
        stall.client.manifest("acme/model", digest)


def test_a_manifest_is_bounded(stall: Stall) -> None:
    """By what registries take: 4 MiB."""
    stall.liar.lies.append(content(bytes(HUGE)))
    with pytest.raises(TooLarge):
        stall.client.manifest("acme/model", "v1")


def test_errors_say_nothing_of_the_names(stall: Stall) -> None:
    """They go into the operator's log, where no vendor writes."""
    with pytest.raises(RegistryError, match="no such") as caught:
        Registry(stall.liar.url).manifest("acme/secret-name", "secret-tag")
    assert "secret" not in str(caught.value)

"""What is attached to a digest is found there, once, by the registry's list or the one we keep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from evaluator.registry import Denied, Descriptor, File, Lied, RegistryError
from tests.helpers.liar import Response, content, header, only, status, times
from tests.helpers.pusher import EMPTY, INDEX, MANIFEST, described, digest_of

if TYPE_CHECKING:
    from tests.evaluator.registry.conftest import Stall
    from tests.helpers.liar import Request

TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
FILES = [File("result.sigstore.json", TYPE, b"{}"), File("proof", "text/plain", b"x")]
NOTES = {"dev.sigstore.bundle.content": "dsse-envelope"}
SUBJECT = Descriptor(MANIFEST, "sha256:" + "1" * 64, 123)
TAG = "sha256-" + "1" * 64


def attach(stall: Stall, files: list[File] | None = None) -> Descriptor:
    """Attach to SUBJECT."""
    return stall.client.attach(
        "acme/model", SUBJECT, TYPE, FILES if files is None else files, NOTES
    )


def listed(stall: Stall) -> list[str]:
    """The digests in the list that we keep."""
    manifest = stall.client.manifest("acme/model", TAG)
    return [entry["digest"] for entry in manifest.document()["manifests"]]


def test_what_is_attached_is_an_oci_manifest_with_a_subject(stall: Stall) -> None:
    """One layer for each file, by its name; the config is the empty one."""
    referrer = attach(stall)
    document = stall.client.manifest("acme/model", referrer.digest).document()
    assert document["subject"] == {"mediaType": MANIFEST, "digest": SUBJECT.digest, "size": 123}
    assert document["artifactType"] == TYPE
    assert document["config"] == described(b"{}", EMPTY)
    assert document["annotations"] == NOTES
    names = [layer["annotations"]["org.opencontainers.image.title"] for layer in document["layers"]]
    assert names == ["result.sigstore.json", "proof"]
    assert stall.shelf.blobs["acme/model"][digest_of(b"x")] == b"x"


@pytest.mark.parametrize("lists_referrers", [False, True])
def test_the_same_attached_again_changes_nothing(stall: Stall, lists_referrers: bool) -> None:  # noqa: FBT001 - a row
    """The same digest, and one entry; another file is another entry."""
    stall.shelf.lists_referrers = lists_referrers
    first = attach(stall)
    before = dict(stall.shelf.tags["acme/model"])
    assert attach(stall) == first
    assert stall.shelf.tags["acme/model"] == before
    other = attach(stall, [File("another", "text/plain", b"y")])
    found = stall.client.referrers("acme/model", SUBJECT.digest)
    assert [each.digest for each in found] == [first.digest, other.digest]
    assert {each.artifact_type for each in found} == {TYPE}
    assert (TAG in stall.shelf.tags["acme/model"]) is not lists_referrers


def test_nothing_attached_is_nothing_found(stall: Stall) -> None:
    """By either list."""
    assert stall.client.referrers("acme/model", SUBJECT.digest) == []
    stall.shelf.lists_referrers = True
    assert stall.client.referrers("acme/model", SUBJECT.digest) == []
    assert stall.client.referrers("acme/model", "sha256:no digest/../..") == []


def test_what_others_attached_stays_in_the_list(stall: Stall) -> None:
    """Signatures of the vendor's own, with whatever their entries say."""
    theirs = {**described(b"theirs", MANIFEST), "artifactType": "x/y", "annotations": {"a": "b"}}
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs]}
    stall.vendor.manifest("acme/model", TAG, document)
    ours = attach(stall)
    manifest = stall.client.manifest("acme/model", TAG)
    entries = manifest.document()["manifests"]
    assert entries[0] == theirs
    assert [entry["digest"] for entry in entries] == [theirs["digest"], ours.digest]


@pytest.mark.parametrize(
    ("media_type", "junk"),
    [
        (MANIFEST, b'{"layers": []}'),
        (INDEX, b"[]"),
        (INDEX, b'{"manifests": 3}'),
        (INDEX, b'{"manifests": [{"digest": "x"}]}'),
        (INDEX, b'{"manifests": [], "manifests": []}'),
    ],
)
def test_junk_under_the_tag_does_not_keep_a_result_back(
    stall: Stall, media_type: str, junk: bytes
) -> None:
    """A vendor may push anything there; it is replaced by a list."""
    stall.shelf.put("acme/model", TAG, junk, media_type)
    ours = attach(stall)
    assert listed(stall) == [ours.digest]


def test_an_entry_that_another_overwrote_is_written_again(stall: Stall) -> None:
    """Two who attach at once: whoever loses its entry sees it and adds it again."""
    empty = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()

    def overwritten(_: Request, response: Response) -> Response:
        stall.shelf.put("acme/model", TAG, empty, INDEX)
        return Response(201, dict(response.headers))

    put = only(f"PUT /v2/acme/model/manifests/{TAG}", overwritten)
    stall.liar.lies.append(times(2, put))
    assert attach(stall).digest in listed(stall)
    stall.liar.lies[:] = [put]
    with pytest.raises(RegistryError, match="keeps rewriting"):
        attach(stall, [File("new", "x/y", b"z")])


def test_a_push_that_is_not_allowed_is_denied(stall: Stall) -> None:
    """To read may be allowed, to push not."""
    stall.liar.lies.append(only("^(POST|PUT)", status(403)))
    with pytest.raises(Denied):
        attach(stall)


def test_an_upload_goes_to_the_registry_alone(stall: Stall) -> None:
    """A Location elsewhere would get the content, and the credentials."""
    stall.liar.lies.append(only("^POST", header("Location", "http://127.0.0.1:1/v2/x")))
    with pytest.raises(Lied, match="another host"):
        attach(stall)


def test_an_upload_that_broke_off_is_begun_anew(stall: Stall) -> None:
    """Registries forget an upload after an error."""
    stall.liar.lies.append(only("^PUT.*uploads", times(1, status(404))))
    assert stall.client.push_blob("acme/model", b"x", "y").digest == digest_of(b"x")
    stall.liar.lies += [only("^PUT.*uploads", status(400)), only("^HEAD", status(404))]
    with pytest.raises(RegistryError, match="status 400"):
        stall.client.push_blob("acme/model", b"other", "y")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"manifests": [{"digest": 3}]}', b"x"])
def test_a_list_of_referrers_of_another_form_is_a_lie(stall: Stall, body: bytes) -> None:
    """Of the registry's own list."""
    stall.shelf.lists_referrers = True
    stall.liar.lies.append(only("referrers", content(body)))
    with pytest.raises(Lied):
        stall.client.referrers("acme/model", SUBJECT.digest)

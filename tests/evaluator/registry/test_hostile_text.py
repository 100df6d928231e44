"""Any text in a header, any bytes in a body: a value or an error of ours, never another."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.registry import Credentials, Denied, Lied, RegistryError, Unreachable, errors
from evaluator.registry.documents import MALFORMED, Descriptor, descriptor, read_manifest
from evaluator.registry.names import joined, origin, origin_of
from evaluator.registry.patience import LONGEST, seconds_asked
from evaluator.registry.tokens import Tokens
from evaluator.registry.transport import Ask, Reply
from tests.helpers.pusher import MANIFEST

ORIGIN = origin("https://registry.example")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
CHALLENGE = st.text() | st.lists(
    st.sampled_from(
        ["Bearer ", "Basic ", "realm=", '"https://a.example/t"', '"', ",", "=", "scope", " ", "\\"]
    )
).map("".join)


@given(challenge=CHALLENGE, answer=JSON)
def test_any_demand_for_credentials(challenge: str, answer: object) -> None:
    """A header that can be sent, or a RegistryError; the password goes over HTTPS alone."""
    asked: list[str] = []

    def once(ask: Ask, _: str | None, __: int) -> Reply:
        asked.append(ask.url)
        return Reply(ask.url, 200, {}, json.dumps(answer).encode())

    tokens = Tokens(ORIGIN, Credentials("acme", "secret"), once)
    with suppress(Denied, Lied):
        header = tokens.obtain(challenge, "repository:acme/model:pull")
        assert header.isascii()
        assert header.isprintable()
    assert all(url.startswith("https://") for url in asked)


def test_a_demand_as_it_should_be_is_met() -> None:
    """The control of the above."""
    answer = json.dumps({"token": "abc"}).encode()
    tokens = Tokens(ORIGIN, None, lambda ask, *_: Reply(ask.url, 200, {}, answer))
    said = 'Basic realm="x", Bearer realm="https://a.example/t",service="s"'
    assert tokens.obtain(said, "scope") == "Bearer abc"


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()), st.text())
def test_any_manifest(raw: bytes, content_type: str) -> None:
    """Its bytes and their digest, or Lied."""
    with suppress(Lied):
        manifest = read_manifest(raw, content_type)
        assert manifest.raw == raw
        assert isinstance(manifest.is_referrer, bool)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "mediaType": JSON,
            "digest": JSON | st.just("sha256:" + "1" * 64),
            "size": JSON,
            "annotations": JSON,
            "artifactType": JSON,
        },
    )
    | JSON
)
def test_any_descriptor(document: object) -> None:
    """A size that can be, a digest that is one, and text; or one of the errors that are caught."""
    with suppress(*MALFORMED):
        found = descriptor(document)  # type: ignore[arg-type]  # anything, on purpose
        assert found.size >= 0
        assert len(found.digest) == 71
        assert json.dumps(found.document())


def test_a_descriptor_as_it_should_be_is_read() -> None:
    """The control of the above."""
    said = Descriptor(MANIFEST, "sha256:" + "1" * 64, 3, "x/y", {"a": "b"})
    assert descriptor(said.document()) == said


@given(st.text())
def test_any_place_and_any_time(text: str) -> None:
    """Of Location, Link and Retry-After."""
    assert isinstance(joined("https://registry.example/v2/", text), str)
    origin_of(joined("https://registry.example/v2/", text))
    assert 0 <= seconds_asked(text) <= LONGEST


@pytest.mark.parametrize(
    "error",
    [
        errors.unreachable(),
        errors.untrusted(),
        errors.denied(),
        errors.gone(),
        errors.lied("x"),
        errors.odd(418),
        errors.TooLarge(1),
    ],
)
def test_every_error_says_what_to_do_next(error: RegistryError) -> None:
    """What, why, what next: at least two sentences, printable."""
    assert str(error).count(". ") >= 1
    assert str(error).isprintable()
    assert isinstance(errors.Broken(), Unreachable)

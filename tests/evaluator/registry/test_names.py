"""What may be asked of whom: addresses, repositories, tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import OwnerError
from evaluator.registry import Registry, is_referrers_tag
from evaluator.registry.names import is_repository, is_tag, origin, origin_of


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("registry.example", "https://registry.example:443"),
        ("registry.example:5000", "https://registry.example:5000"),
        ("https://registry.example/", "https://registry.example:443"),
        ("https://127.0.0.1:5000", "https://127.0.0.1:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("localhost:443", "http://localhost:443"),
        ("localhost", "http://localhost:80"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_an_address_is_https_unless_it_is_on_this_host(address: str, url: str) -> None:
    """As Docker takes addresses in image names, and as URLs say."""
    assert origin(address).url == url


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://registry.example",
        "http://127.0.0.1.example",
        "http://10.0.0.1:5000",
        "ftp://registry.example",
        "https://user:secret@registry.example",
        "https://registry.example/v2",
        "https://registry.example?x",
        "https://registry.example:port",
        "https://registry.example:99999",
        "https://registry.example\n",
        "file:///etc/passwd",
    ],
)
def test_an_address_of_another_kind_is_the_operators_mistake(address: str) -> None:
    """Plain HTTP beyond this host, a path, a password in the URL."""
    with pytest.raises(OwnerError):
        origin(address)


@given(st.text(alphabet="htps:/@[].?#%\\ \n\0\u202e0123456789abc", max_size=60))
def test_no_url_of_a_registrys_makes_the_parser_fail(url: str) -> None:
    """A redirect's target is any text; what is no URL is nobody's."""
    found = origin_of(url)
    assert found is None or found.scheme in {"http", "https"}


@pytest.mark.parametrize("name", ["acme/model", "a", "acme/sub/model-1.2__x"])
def test_a_repository_is_named_as_the_specification_says(name: str) -> None:
    """Such a name may be asked for."""
    assert is_repository(name)


@pytest.mark.parametrize(
    "name",
    ["", "Acme/model", "acme//model", "../etc", "acme/model/", "a b", "a\n", "é", "a" * 256, 1],
)
def test_any_other_name_is_never_asked_for(name: object) -> None:
    """So no name of a registry's ends up in a path, a URL or a terminal."""
    assert not is_repository(name)
    with pytest.raises(OwnerError):
        Registry("https://registry.example").tags(str(name) if name != 1 else "A")


def test_tags_have_the_specifications_letters() -> None:
    """And those of referrers are told from a vendor's."""
    assert is_tag("v1.0_x-2")
    assert not is_tag("../x")
    assert not is_tag("v1\n")
    assert is_referrers_tag("sha256-" + "a" * 64)
    assert is_referrers_tag("sha256-" + "a" * 64 + ".sig")
    assert not is_referrers_tag("sha256-abc")


def test_a_reference_is_a_tag_or_a_digest() -> None:
    """Nothing else is put into a URL."""
    with pytest.raises(OwnerError, match="neither a tag nor"):
        Registry("https://registry.example").manifest("acme/model", "sha256:abc")

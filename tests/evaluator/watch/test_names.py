"""Whose a repository is, whatever a registry calls it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.watch.names import hands_in, vendor_of


@pytest.mark.parametrize(
    ("repository", "prefix", "vendor"),
    [
        ("acme/model", "", "acme"),
        ("acme/models/large", "", "acme"),
        ("eval/acme/model", "eval", "acme"),
        ("eval/2026/acme/model", "/eval/2026/", "acme"),
        ("acme", "", None),
        ("eval/acme", "eval", None),
        ("evaluation/acme/model", "eval", None),
        ("acme/model", "eval", None),
        ("acme/../zenith/model", "", None),
        ("acme//model", "", None),
        ("/acme/model", "", None),
        ("Acme/model", "", None),
        ("acme/model\n", "", None),
        ("acme/\x1b[31mmodel", "", None),
        ("acme/" + "a" * 300, "", None),
    ],
)
def test_a_repository_belongs_to_the_vendor_of_its_path(
    repository: str, prefix: str, vendor: str | None
) -> None:
    """By whole components, and only where the name is one that a registry may have."""
    assert vendor_of(repository, prefix) == vendor


@given(st.text(max_size=40), st.sampled_from(["", "eval", "a/b"]))
def test_no_name_is_read_as_two_vendors(repository: str, prefix: str) -> None:
    """What comes out stands between slashes in what went in, right after the prefix."""
    vendor = vendor_of(repository, prefix)
    if vendor is not None:
        assert f"/{repository}/".startswith(f"/{prefix}/{vendor}/".replace("//", "/"))


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("v1", True),
        ("latest", True),
        ("sha256-" + "a" * 64, False),
        ("sha256-" + "a" * 64 + ".sig", False),
        ("sha256-" + "a" * 63, True),
        ("", False),
        ("a b", False),
        ("v1\n", False),
        ("a" * 129, False),
    ],
)
def test_tags_of_attachments_hand_nothing_in(tag: str, wanted: bool) -> None:  # noqa: FBT001 - a table
    """Neither the watcher's own nor a vendor's signature is a submission."""
    assert hands_in(tag) == wanted

"""Whose a repository is: PREFIX/VENDOR/ANYTHING belongs to the vendor of that name.

Names and tags come from a registry, so each is matched in full before anything is done with it.
"""

from __future__ import annotations

from evaluator.registry.names import is_referrers_tag, is_repository, is_tag


def vendor_of(repository: str, prefix: str) -> str | None:
    """Return the path component that names the vendor; None where the repository is nobody's."""
    if not is_repository(repository):
        return None
    before = prefix.strip("/").split("/") if prefix.strip("/") else []
    parts = repository.split("/")
    if parts[: len(before)] != before or len(parts) < len(before) + 2:
        return None
    return parts[len(before)]


def hands_in(tag: str) -> bool:
    """Whether a tag may name a submission; not where tools keep what is attached to a digest."""
    return is_tag(tag) and not is_referrers_tag(tag)

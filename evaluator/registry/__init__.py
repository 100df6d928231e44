"""A client of OCI registries, which are not trusted: what they send is hashed, counted and bounded.

    registry = Registry("https://registry.example:5000", credentials, ca)
    registry.repositories(), .tags(repository), .manifest(repository, tag_or_digest)
    registry.blob(repository, descriptor, file)
    registry.pull_layout(repository, digest, folder, most)     a submission, as the intake reads one
    registry.attach(repository, subject, type, files, annotations), .referrers(repository, digest)

Errors are `RegistryError`s, with no word of the registry's in them.
"""

from evaluator.registry.credentials import Credentials, found_credentials, read_credentials
from evaluator.registry.documents import Descriptor, Manifest
from evaluator.registry.errors import Denied, Gone, Lied, RegistryError, TooLarge, Unreachable
from evaluator.registry.layout import Layout
from evaluator.registry.names import is_referrers_tag
from evaluator.registry.referrers import File
from evaluator.registry.registry import Registry

__all__ = [
    "Credentials",
    "Denied",
    "Descriptor",
    "File",
    "Gone",
    "Layout",
    "Lied",
    "Manifest",
    "Registry",
    "RegistryError",
    "TooLarge",
    "Unreachable",
    "found_credentials",
    "is_referrers_tag",
    "read_credentials",
]

"""A registry as the rest of the product sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.registry.client import Client
from evaluator.registry.layout import pull_layout
from evaluator.registry.referrers import attach, referrers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from evaluator.registry.documents import Descriptor
    from evaluator.registry.layout import Layout
    from evaluator.registry.referrers import File


class Registry(Client):
    """Reads names, manifests and blobs; pulls submissions; attaches what they are due."""

    def pull_layout(self, repository: str, digest: str, folder: Path, most: int) -> Layout:
        """Fetch the one submission behind a digest into a folder; see layout.py."""
        return pull_layout(self, repository, digest, folder, most)

    def attach(
        self,
        repository: str,
        subject: Descriptor,
        artifact_type: str,
        files: Sequence[File],
        annotations: Mapping[str, str],
    ) -> Descriptor:
        """Attach files to a digest; see referrers.py."""
        return attach(self, repository, subject, artifact_type, files, annotations)

    def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        """List what is attached to a digest; see referrers.py."""
        return referrers(self, repository, digest)

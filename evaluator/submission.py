"""What a vendor hands in, and where it lies: an ONNX file, an image archive, or an image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evaluator.errors import OwnerError
from evaluator.oci_layout import INDEX

_ID = re.compile(r"(sha256:)?[0-9a-f]{12,64}")
_PINNED = re.compile(r"[a-zA-Z0-9][\w./:-]{0,255}@sha256:[0-9a-f]{64}")
_TAGGED = re.compile(r"[a-zA-Z0-9][\w./:-]{0,255}")


@dataclass(frozen=True, slots=True)
class Unfetched:
    """What a registry says of bytes that are too many to fetch."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Submission:
    """A file or OCI layout directory on this host, or an image that the engine knows or can pull.

    `file` is None for the latter and `reference` empty for the former. What is `unfetched` is
    neither: it is handed in to be refused.
    """

    kind: Literal["onnx", "image"]
    file: Path | None
    reference: str
    unfetched: Unfetched | None = None


def parse_submission(text: str) -> Submission:
    """What SUBMISSION on the command line means; OwnerError where it means nothing."""
    path = Path(text)
    if (path / INDEX).is_file():
        return Submission("image", path, "")
    if path.exists() and not path.is_file():  # a FIFO or a device would never end
        raise OwnerError(
            "A directory is a submission where it is an OCI image layout, with an index.json; a "
            "device or a pipe never is. Give model.onnx, an archive made by `docker save`, a "
            "layout, a local image id, or name@sha256:digest."
        )
    if path.is_file():
        return Submission("onnx" if path.suffix == ".onnx" else "image", path, "")
    if _PINNED.fullmatch(text) or _ID.fullmatch(text):
        return Submission("image", None, text)
    if (
        path.suffix in {".onnx", ".tar", ".gz", ".zst"}
        or "/" in text[:1]
        or not _TAGGED.fullmatch(text)
    ):
        raise OwnerError("There is no such file. Check the path of the submission.")
    raise OwnerError(
        "A tag can move, so images are named by content: give name@sha256:digest, or the id that "
        "`docker image inspect --format '{{.Id}}' NAME` prints. (There is no file of this name.)"
    )

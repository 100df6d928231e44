"""Models that were trained on the owner's tiles, kept for the owner alone.

    adapted/RUN/model.tar     what `train` left, packed by a container of ours, opaque here
    adapted/RUN/submission    the submission as it was received
    adapted/RUN/about.json    what is known of it

The vendor never gets any of it, and nothing here looks into the archive: it is unpacked in the
sandbox, for `evaluator run --adapted RUN`.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

import sandbox
from evaluator.admission import Received
from evaluator.errors import OwnerError
from evaluator.files import write_new

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.job import Job
    from evaluator.workspace import Workspace

MODEL, SUBMISSION, ABOUT = "model.tar", "submission", "about.json"


class _About(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    vendor: str
    kind: Literal["onnx", "image"]
    digest_of: Literal["file", "manifest", "config"]
    sha256: str
    size: int
    content: str


@dataclass(frozen=True, slots=True)
class Adapted:
    """One that was kept."""

    vendor: str
    received: Received
    model: Path


@dataclass(frozen=True, slots=True)
class Keeping:
    """A job that may keep its model; `kept` is the same job once the model has its place."""

    job: Job
    place: Path | None = None
    about: _About | None = None
    submission: Path | None = None

    def kept(self) -> Job:
        """Give the archive its place, if there is one, and say where."""
        archive = self.job.keep
        if not (self.place and self.about and self.submission and archive and archive.exists()):
            return replace(self.job, keep=None)
        if not archive.stat().st_size:  # nothing was trained
            return replace(self.job, keep=None)
        self.place.mkdir(mode=0o700, parents=True)
        archive.chmod(0o444)  # a container's uid reads it; nobody else enters the directory
        archive.rename(self.place / MODEL)
        os.link(self.submission, self.place / SUBMISSION)
        write_new(self.place / ABOUT, self.about.model_dump_json().encode(), 0o600)
        return replace(self.job, keep=self.place / MODEL)


@contextmanager
def keep_adapted(
    workspace: Workspace, job: Job, vendor: str, received: Received, *, wanted: bool
) -> Iterator[Keeping]:
    """A job whose model is kept where that is wanted; what was kept goes where the block fails."""
    if not wanted:
        yield Keeping(job)
        return
    archive = job.scratch / MODEL
    write_new(archive, b"", 0o600)
    place = workspace.adapted / job.run
    about = _About(
        vendor=vendor,
        kind=received.kind,
        digest_of=received.digest_of,
        sha256=received.sha256,
        size=received.size,
        content=received.content,
    )
    try:
        yield Keeping(replace(job, keep=archive), place, about, received.file)
    except BaseException:
        with sandbox.uninterrupted():
            if not workspace.result(vendor, job.run).exists():  # else it came just too late
                shutil.rmtree(place, ignore_errors=True)
        raise


def open_adapted(workspace: Workspace, run: str) -> Adapted:
    """The model that a run kept; OwnerError where there is none."""
    place = workspace.adapted / run
    try:
        about = _About.model_validate_json((place / ABOUT).read_bytes())
    except (OSError, ValidationError) as error:
        raise OwnerError(
            f"There is no adapted model of a run {run}. Models are kept where evaluator.toml says "
            "keep_adapted_model = true, once their training went well."
        ) from error
    received = Received(
        kind=about.kind,
        digest_of=about.digest_of,
        sha256=about.sha256,
        size=about.size,
        file=place / SUBMISSION,
        content=about.content,
    )
    return Adapted(about.vendor, received, place / MODEL)


def sweep_adapted(workspace: Workspace) -> None:
    """Remove what a killed run kept: no result of it was released."""
    places = [each for each in workspace.adapted.glob("*") if not sandbox.is_alive(each.name)]
    if not places:
        return  # a list of every result is for nothing then
    # Looked for only now: a run of another slot that has ended meanwhile has its result by then.
    released = {path.name.partition(".")[0] for path in workspace.results()}
    for place in places:
        if place.name not in released:
            shutil.rmtree(place)

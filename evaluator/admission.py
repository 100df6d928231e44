"""Admission: what a submission must be before any of it sees a tile."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

import sandbox
from evaluator.errors import OwnerError, Refused, SubmissionError
from evaluator.intake import ImageArchive, Incomplete, read_archive
from evaluator.onnx_check import RECORD, read_check, require_accepted
from evaluator.rebuild import rebuild
from sandbox import Mount, SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from evaluator.job import Job, Run
    from evaluator.submission import Submission

MODEL = "/submission/model.onnx"
_CHUNK = 2**20
_ONNX_LIMIT = 2 * 2**30  # a protobuf message cannot be larger


@dataclass(frozen=True, slots=True)
class Received:
    """A submission as bytes: what a vendor can recognise it by, and our copy of it."""

    kind: Literal["onnx", "image"]
    digest_of: Literal["file", "manifest", "config"]
    sha256: str
    size: int
    file: Path


@dataclass(frozen=True, slots=True)
class Admitted:
    """What may run: an image of the engine's, and the files it needs beside the tiles."""

    image: str
    inputs: tuple[Mount, ...]


def receive(submission: Submission, scratch: Path, most: int) -> Received:
    """Copy the submission into `scratch`, hashing it on the way.

    Of a file larger than `most` bytes only digest and size are taken: it will be refused.
    An image of the local engine comes as the archive that the engine saves of it, and is
    known by the digest it was named by.
    """
    target = scratch / "submission"
    if submission.file is None:
        return _receive_image(submission.reference, target, most)
    try:
        with submission.file.open("rb") as file:
            digest, size = _copy(iter(lambda: file.read(_CHUNK), b""), target, most)
    except PermissionError as error:
        raise OwnerError("The submission's file cannot be read. Check its permissions.") from error
    return Received(submission.kind, "file", digest, size, target)


def _receive_image(reference: str, target: Path, most: int) -> Received:
    try:
        with sandbox.held_image(reference) as image:
            _, size = _copy(sandbox.save_image(image), target, most)
    except sandbox.NotAvailable as error:
        raise OwnerError(str(error)) from error
    pinned = "@" in reference
    digest = (reference if pinned else image).rpartition("sha256:")[2]
    by_manifest = pinned or sandbox.ids_are_manifests()
    return Received("image", "manifest" if by_manifest else "config", digest, size, target)


def _copy(chunks: Iterable[bytes], target: Path, most: int) -> tuple[str, int]:
    """Write a private file that a container's uid can read; returns sha256 and size."""
    digest, size = hashlib.sha256(), 0
    try:
        with target.open("xb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                if size <= most:
                    file.write(chunk)
            os.fchmod(file.fileno(), 0o444)
            return digest.hexdigest(), size
    except OSError as error:
        raise SandboxError(
            f"The submission cannot be copied into the workspace: {error.strerror}."
        ) from error


@contextmanager
def admit(received: Received, job: Job, run: Run) -> Iterator[Admitted]:
    """Yield what may run; Refused or another SubmissionError where nothing may.

    An ONNX submission is a container submission whose image is ours.
    """
    if not 0 < received.size <= job.largest:
        rule = "EVA301" if received.kind == "onnx" else "EVA102"
        raise Refused(rule, f"the file has {received.size} bytes; 1 to {job.largest} are allowed.")
    if received.kind == "onnx":
        yield _admit_onnx(received, job, run)
        return
    try:
        yield Admitted(_load(received, job), ())
    finally:
        sandbox.remove_images(job.run)


def _admit_onnx(received: Received, job: Job, run: Run) -> Admitted:
    """Let our runner load the model, in a container without tiles."""
    if received.size > _ONNX_LIMIT:
        raise Refused("EVA301", "an ONNX file cannot be larger than 2 GiB.")
    model = Mount(received.file, MODEL)
    outcome = run(job.check(model, RECORD.size), job.scratch, job.seccomp)
    if outcome.status is not sandbox.Status.OK:
        raise SubmissionError(outcome.status, "the model could not be loaded.")
    check = read_check(outcome.output)
    require_accepted(check, job.dataset.shape, job.dataset.dtype, len(job.dataset.classes))
    if job.gpus and not check.cuda:
        raise SandboxError(
            "A GPU was asked for and the ONNX runner got none, so nothing was run. Check the "
            "driver and the container toolkit, or set gpus = 0 in evaluator.toml."
        )
    return Admitted(job.runner(), (model,))


def _load(received: Received, job: Job) -> str:
    """Give the engine the rebuilt image and return its id."""
    with received.file.open("rb") as file:
        archive = _read(file, saved_here=received.digest_of != "file")
        rebuilt = rebuild(archive, sandbox.labelled(archive.config, job.run))
        try:
            return sandbox.load_image(rebuilt.chunks, rebuilt.ids)
        except sandbox.NotLoadable as error:
            raise Refused(
                "EVA106",
                "the engine cannot make an image of these layers. Save the image again with "
                "`docker save`, and see that `docker load` takes it.",
            ) from error


def _read(file: BinaryIO, *, saved_here: bool) -> ImageArchive:
    try:
        return read_archive(file)
    except Incomplete as error:
        if not saved_here:
            raise
        raise SandboxError(
            "The Docker engine saved the image without all of its layers, so nothing was run. Its "
            "containerd image store does so where images share layers (moby issue 49473). Take an "
            "archive made by `docker save` from the vendor instead."
        ) from error

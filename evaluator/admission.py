"""Admission: what a submission must be before any of it sees a tile."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sandbox
from evaluator.errors import OwnerError, Refused, SubmissionError
from evaluator.intake.door import unpacked
from evaluator.intake.refusals import Incomplete, refused
from evaluator.kept_images import kept_images
from evaluator.oci_layout import packed, subject
from evaluator.onnx_check import RECORD, limits_file, read_check, require_accepted
from evaluator.rebuild import rebuild
from sandbox import Mount, SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from evaluator.admission_policy import AdmissionPolicy
    from evaluator.job import Job, Run
    from evaluator.submission import Submission

MODEL = "/submission/model.onnx"
PULLED = "pulled.json"
_CHUNK = 2**20

DigestOf = Literal["file", "manifest", "config"]


@dataclass(frozen=True, slots=True)
class Received:
    """A submission as bytes: what a vendor can recognise it by, and our copy of it.

    `sha256` is the former's digest, `content` that of the copy: they differ for an image that
    was named by its digest.
    """

    kind: Literal["onnx", "image"]
    digest_of: DigestOf
    sha256: str
    size: int
    file: Path
    content: str = ""


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
    if submission.file.is_dir():
        digest = subject(submission.file)
        content, size = _copy(packed(submission.file), target, most)
        return Received("image", "manifest", digest, size, target, content)
    try:
        with submission.file.open("rb") as file:
            digest, size = _copy(iter(lambda: file.read(_CHUNK), b""), target, most)
    except PermissionError as error:
        raise OwnerError("The submission's file cannot be read. Check its permissions.") from error
    return Received(submission.kind, "file", digest, size, target, digest)


def _receive_image(reference: str, target: Path, most: int) -> Received:
    pinned = "@" in reference
    digest_of: DigestOf = "manifest" if pinned or sandbox.ids_are_manifests() else "config"
    digest = reference.rpartition("sha256:")[2]
    try:
        with sandbox.held_image(reference, target.with_name(PULLED), most) as image:
            content, size = _copy(sandbox.save_image(image), target, most)
    except sandbox.NotAvailable as error:
        raise OwnerError(str(error)) from error
    except sandbox.TooLarge as error:
        return Received("image", digest_of, digest, error.size, target)
    if not pinned:
        digest = image.rpartition("sha256:")[2]
    return Received("image", digest_of, digest, size, target, content)


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
    kept = kept_images(job.known_images, job.scratch, job.admission)
    try:
        image = kept.find(received.content) or _load(received, job, kept.owner)
        kept.remember(received.content, image)
        yield Admitted(image, ())
    finally:
        kept.prune()


def _admit_onnx(received: Received, job: Job, run: Run) -> Admitted:
    """Let our runner load the model, in a container without tiles."""
    rules = job.admission.onnx
    if received.size > rules.bytes:
        raise Refused("EVA301", f"an ONNX file has at most {rules.bytes} bytes here.")
    limits = job.scratch / "admission.json"
    limits.write_text(limits_file(rules))
    limits.chmod(0o444)  # a container's uid reads it; nobody else enters the directory
    inputs = (Mount(received.file, MODEL), Mount(limits, "/input/admission.json"))
    outcome = run(job.check(inputs, RECORD.size), job.scratch, job.seccomp)
    if outcome.status is not sandbox.Status.OK:
        raise SubmissionError(outcome.status, "the model could not be loaded.")
    check = read_check(outcome.output)
    dataset = job.dataset
    require_accepted(check, dataset.shape, dataset.dtype, len(dataset.classes), rules)
    if job.gpus and not check.cuda:
        raise SandboxError(
            "A GPU was asked for and the ONNX runner got none, so nothing was run. Check the "
            "driver and the container toolkit, or set gpus = 0 in evaluator.toml."
        )
    return Admitted(job.runner(), inputs)


def _load(received: Received, job: Job, owner: str) -> str:
    """Give the engine the rebuilt image and return its id."""
    try:
        with unpacked(received.file, job.scratch, job.admission.image) as image:
            rebuilt = rebuild(image, lambda config: sandbox.labelled(config, owner))
            return sandbox.load_image(rebuilt.chunks, rebuilt.ids)
    except sandbox.NotLoadable as error:
        raise refused("EVA106") from error
    except Incomplete as error:
        if received.digest_of == "file":
            raise
        raise SandboxError(
            "The Docker engine saved the image without all of its layers, so nothing was run. Its "
            "containerd image store does so where images share layers (moby issue 49473). Take an "
            "archive made by `docker save` from the vendor instead."
        ) from error


def sweep_images(scratch: Path, record: Path, admission: AdmissionPolicy) -> None:
    """Remove the images that a killed run left in the engine; the caller holds the host's lock.

    `scratch` holds a directory for each run, and `record` says which images are kept.
    """
    for note in scratch.glob(f"*/{PULLED}"):
        sandbox.remove_pulled(note)
    kept_images(record, scratch, admission).prune()

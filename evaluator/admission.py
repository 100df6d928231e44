"""Admission: what a submission must be before any of it sees a tile."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sandbox
from evaluator.errors import OwnerError, Refused, SubmissionError
from evaluator.incoming import copied
from evaluator.intake.refusals import Incomplete, refused
from evaluator.kept_images import kept_images
from evaluator.oci_layout import packed, subject
from evaluator.onnx_check import RECORD, limits_file, read_check, require_accepted
from evaluator.rebuild import Rebuilt
from evaluator.recipe import Recipe
from evaluator.training_check import read_plan, require_trainable
from sandbox import Mount, SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from evaluator.admission_policy import AdmissionPolicy
    from evaluator.incoming import Incoming
    from evaluator.job import Job, Steps
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
    """What may run: images of the engine's, and the files they need beside the tiles.

    `inputs` are those of the baseline, `tuned_inputs` those of the prediction after training.
    `ours` says that the programs are, so that the model alone is the vendor's.
    """

    image: str
    inputs: tuple[Mount, ...] = ()
    trainer: str = ""
    trainer_inputs: tuple[Mount, ...] = ()
    tuned_inputs: tuple[Mount, ...] = ()
    ours: bool = False


def receive(
    submission: Submission, scratch: Path, most: int, incoming: Incoming | None = None
) -> Received:
    """Copy the submission into `scratch`, hashing it on the way.

    Of a file larger than `most` bytes only digest and size are taken: it will be refused.
    With `incoming`, a large file goes on where an interrupted copy of it ended.
    An image of the local engine comes as the archive that the engine saves of it, and is
    known by the digest it was named by. Of what is unfetched there is nothing to copy.
    """
    target = scratch / "submission"
    if submission.unfetched:
        declared = submission.unfetched
        target.touch(0o444)  # should it be allowed by the time it runs, there is nothing in it
        digest_of: DigestOf = "file" if submission.kind == "onnx" else "manifest"
        return Received(submission.kind, digest_of, declared.sha256, declared.size, target)
    if submission.file is None:
        return _receive_image(submission.reference, target, most)
    if submission.file.is_dir():
        digest = subject(submission.file)
        content, size = _copy(packed(submission.file), target, most)
        return Received("image", "manifest", digest, size, target, content)
    try:
        with submission.file.open("rb") as file:
            whole = copied(file, target, most, incoming) if incoming else None
            digest, size = whole or _copy(iter(lambda: file.read(_CHUNK), b""), target, most)
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
def admit(received: Received, job: Job, steps: Steps) -> Iterator[Admitted]:
    """Yield what may run; Refused or another SubmissionError where nothing may.

    An ONNX submission is a container submission whose images are ours.
    """
    if not 0 < received.size <= job.largest:
        rule = "EVA301" if received.kind == "onnx" else "EVA102"
        raise Refused(rule, f"the file has {received.size} bytes; 1 to {job.largest} are allowed.")
    if received.kind == "onnx":
        yield _admit_onnx(received, job, steps)
        return
    kept = kept_images(job.known_images, job.scratch, job.admission)
    try:
        image = kept.find(received.content) or _load(received, job, kept.owner)
        kept.remember(received.content, image)
        yield Admitted(image, trainer=image, trainer_inputs=_recipe(job, job.recipe))
    finally:
        kept.prune()


def _recipe(job: Job, recipe: bytes | None) -> tuple[Mount, ...]:
    """What the vendor asks of the training, where it asks anything."""
    if recipe is None:
        return ()
    return (_readable(job, "hyperparameters.json", recipe),)


def _readable(job: Job, name: str, content: bytes) -> Mount:
    """A file of ours that a container reads as /input/NAME; nobody else enters its directory."""
    path = job.scratch / name
    path.write_bytes(content)
    path.chmod(0o444)
    return Mount(path, f"/input/{name}")


def _admit_onnx(received: Received, job: Job, steps: Steps) -> Admitted:
    """Let our runner load the model, and our trainer where it is to be trained, without tiles."""
    rules = job.admission.onnx
    if received.size > rules.bytes:
        raise Refused("EVA301", f"an ONNX file has at most {rules.bytes} bytes here.")
    model = Mount(received.file, MODEL)
    limits = _readable(job, "admission.json", limits_file(rules).encode())
    runner = job.images.runner()
    waits = job.training is None and not job.adapted  # nothing comes between check and predict
    check = read_check(_checked(job, steps, runner, (model, limits), waits=waits))
    dataset = job.dataset
    classes = None if dataset.task == "regression" else len(dataset.classes)
    require_accepted(check, dataset.shape, dataset.dtype, classes, rules)
    _require_gpu(job, live=check.cuda)
    if job.training is None or job.adapted:
        return Admitted(runner, (model, limits), tuned_inputs=(limits,), ours=True)
    trainer = job.images.trainer()
    inputs = (model, limits, *_recipe(job, job.recipe or Recipe().canonical()))
    plan = read_plan(_planned(job, steps, trainer, inputs))
    require_trainable(plan, job.compute)
    _require_gpu(job, live=plan.cuda)
    return Admitted(runner, (model, limits), trainer, inputs, (limits,), ours=True)


def _planned(job: Job, steps: Steps, trainer: str, inputs: tuple[Mount, ...]) -> bytes:
    """What our trainer says of a model; nothing where it was killed over it, which is an answer."""
    outcome = steps.run(job.check(trainer, inputs, RECORD.size))
    return outcome.output if outcome.status is sandbox.Status.OK else b""


def _checked(
    job: Job, steps: Steps, image: str, inputs: tuple[Mount, ...], *, waits: bool
) -> bytes:
    """What a program of ours says of a model, having met no tile."""
    outcome = steps.run(job.check(image, inputs, RECORD.size, waits=waits))
    if outcome.status is not sandbox.Status.OK:
        raise SubmissionError(outcome.status, "the model could not be loaded.")
    return outcome.output


def _require_gpu(job: Job, *, live: bool) -> None:
    if job.gpus and not live:
        raise SandboxError(
            "A GPU was asked for and our image for ONNX models got none, so nothing was run. Check "
            "the driver and the container toolkit, or set gpus = 0 in evaluator.toml."
        )


def _load(received: Received, job: Job, owner: str) -> str:
    """Give the engine the rebuilt image and return its id."""
    # Neither models nor images that are known need the intake.
    from evaluator.intake.door import unpacked  # noqa: PLC0415
    from evaluator.intake.handed import image_facts  # noqa: PLC0415

    try:
        marks = job.seen is not None
        with unpacked(received.file, job.scratch, job.admission.image, marks=marks) as image:
            if job.seen:
                job.seen(image_facts(image, received.size))
            rebuilt = Rebuilt(image, lambda config: sandbox.labelled(config, owner))
            return sandbox.load_image(rebuilt.chunks(), lambda: rebuilt.ids)
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

"""A stand-in for a workspace: random tiles and a key of its own, so that no try meets a secret."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import sandbox
from evaluator.admission import Received, admit, receive
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.sealed import open_dataset
from evaluator.evaluate import evaluate
from evaluator.job import Job
from evaluator.onnx_check import RECORD
from evaluator.proof import Proof
from evaluator.record import Issuer, reserve, write_record
from evaluator.signing import generate_key, load_key
from evaluator.submission import Submission
from evaluator.workspace import Workspace, init
from sandbox import Outcome, SandboxPolicy, Spec, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Literal

    from evaluator.admission import Admitted
    from evaluator.attacks.probing import Bench
    from evaluator.evaluate import Evaluation
    from evaluator.job import Run
    from sandbox import Limits

CLASSES = ("barley", "corn", "wheat")
HELD_OUT = 24
VENDOR = "stand-in"
_LARGEST = 2**30
_ACCEPTED = RECORD.pack(*[0] * 24)


def stand_in_workspace(bench: Bench) -> Workspace:
    """The workspace of a bench: made at the first call, with 48 tiles of which 24 are held out."""
    workspace = Workspace(bench.scratch / "stand-in")
    if workspace.root.exists():
        return workspace
    source = bench.scratch / "source"
    source.mkdir()
    random = np.random.default_rng()
    np.save(source / "tiles.npy", random.integers(0, 256, (2 * HELD_OUT, 8, 8), np.uint8))
    np.save(source / "labels.npy", np.arange(2 * HELD_OUT, dtype=np.uint8) % len(CLASSES))
    init(workspace.root, class_sizes=False)
    generate_key(workspace.key, workspace.public_key)
    rules = ImportRules(classes=CLASSES, rare=1)
    import_tiles(workspace.data, source, rules, holdout=HELD_OUT, progress=lambda *_: None)
    return workspace


def stand_in_job(bench: Bench, limits: Limits | None = None) -> Job:
    """A run on the stand-in tiles, with the limits of the bench or others."""
    limits = limits or bench.limits
    run = secrets.token_hex(8)
    workspace = stand_in_workspace(bench)
    scratch = bench.scratch / run
    scratch.mkdir(mode=0o700)
    policy = SandboxPolicy(
        runtime=bench.runtime,
        tmp_bytes=limits.tmp,
        shm_bytes=limits.shm,
        processes=limits.processes,
        open_files=limits.open_files,
        check_seconds=round(limits.seconds),
        predict_seconds=round(limits.seconds),
        require=(),
        sha256="0" * 64,
    )
    return Job(
        run=run,
        dataset=open_dataset(workspace.data),
        policy=policy,
        admission=bench.admission,
        seccomp=bench.seccomp,
        proof=Proof("SEALED", bench.probe, (), ()),
        scratch=scratch,
        cpus=limits.cpus,
        memory=limits.memory,
        gpus=(),
        largest=_LARGEST,
        runner=bench.runner,
    )


@contextmanager
def admitted(
    content: bytes, kind: Literal["image", "onnx"], job: Job, run: Run = sandbox.run
) -> Iterator[Admitted]:
    """Take forged bytes through the door that every submission takes.

    Raises SubmissionError where they are refused, as for any other.
    """
    file = job.scratch / ("model.onnx" if kind == "onnx" else "image.tar")
    file.write_bytes(content)
    received = receive(Submission(kind, file, ""), job.scratch, job.largest)
    with admit(received, job, run) as found:
        yield found


def evaluated(act: str, job: Job, bench: Bench) -> Evaluation:
    """Evaluate an act of the probe's as a submission, by the main flow itself."""

    def run(spec: Spec, scratch: Path, seccomp: str) -> Outcome:
        if spec.verb == "check":  # an image of ours needs none
            return Outcome(Status.OK, _ACCEPTED, 0, 0.0)
        return sandbox.run(replace(spec, image=bench.probe, verb=act), scratch, seccomp)

    return evaluate(_received(job), job, run)


def published(evaluation: Evaluation, bench: Bench) -> dict[str, Any]:
    """The predicate of the signed result of an evaluation, as its vendor gets it."""
    workspace, job = stand_in_workspace(bench), stand_in_job(bench)
    publish = workspace.settings().publish
    issuer = Issuer(workspace, publish, VENDOR, load_key(workspace.key))
    reserve(issuer, job)
    record = write_record(issuer, job, _received(job), evaluation)
    document: dict[str, Any] = json.loads(record.result.payload())["predicate"]
    return document


def _received(job: Job) -> Received:
    """A submission of one byte: what stands for it is an image of ours."""
    file = job.scratch / "submission"
    if not file.exists():
        file.write_bytes(b"\0")
        file.chmod(0o444)
    return Received("onnx", "file", hashlib.sha256(b"\0").hexdigest(), 1, file)


def hasty(limits: Limits, seconds: float) -> Limits:
    """Return the same limits with a deadline that a try can wait for."""
    return replace(limits, seconds=seconds)

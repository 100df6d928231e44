"""A stand-in for a workspace: random tiles and a key of its own, so that no try meets a secret."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import sandbox
from evaluator.admission import Received, admit, receive
from evaluator.compute import Compute
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.sealed import open_dataset
from evaluator.evaluate import Evaluation, evaluate
from evaluator.job import Images, Job
from evaluator.ledger import Vendor, open_ledger
from evaluator.onnx_check import RECORD
from evaluator.predicate import LogPosition
from evaluator.proof import Proof
from evaluator.queue import limits_of
from evaluator.record import Issuer, reserve, write_record
from evaluator.signing import generate_key, load_key
from evaluator.submission import Submission
from evaluator.workspace import Workspace, init
from sandbox import Outcome, SandboxPolicy, Spec, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import Literal

    from evaluator.admission import Admitted
    from evaluator.attacks.probing import Bench
    from evaluator.evaluate import Phase
    from evaluator.job import Steps
    from sandbox import Limits

CLASSES = ("barley", "corn", "wheat")
HELD_OUT = 24
VENDOR = "stand-in"
_LARGEST = 2**30
_BUDGET = 100_000_000  # micro-petaflops: no try comes near it
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
    with open_ledger(workspace.ledger) as ledger:
        ledger.add_vendor(Vendor(VENDOR, micro_petaflops=10**6 * _BUDGET))
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
        model_bytes=limits.tmp,
        processes=limits.processes,
        open_files=limits.open_files,
        check_seconds=round(limits.seconds),
        predict_seconds=round(limits.seconds),
        train_seconds=round(limits.seconds),
        require=(),
        sha256="0" * 64,
    )
    return Job(
        run=run,
        dataset=open_dataset(workspace.data),
        phases="baseline",
        policy=policy,
        admission=bench.admission,
        seccomp=bench.seccomp,
        proof=Proof("SEALED", bench.probe, (), ()),
        scratch=scratch,
        cpus=limits.cpus,
        memory=limits.memory,
        gpus=(),
        largest=_LARGEST,
        compute=Compute(left=_BUDGET, step=_BUDGET // 100, cpu=1e11),
        images=Images(runner=bench.runner, trainer=_none, holder=_none),
    )


def _none() -> str:
    raise AssertionError("no try trains a model of ours")


@contextmanager
def admitted(
    content: bytes, kind: Literal["image", "onnx"], job: Job, steps: Steps | None = None
) -> Iterator[Admitted]:
    """Take forged bytes through the door that every submission takes.

    Raises SubmissionError where they are refused, as for any other.
    """
    file = job.scratch / ("model.onnx" if kind == "onnx" else "image.tar")
    file.write_bytes(content)
    received = receive(Submission(kind, file, ""), job.scratch, job.largest)
    with admit(received, job, steps or sandbox.Steps(job.scratch, job.seccomp)) as found:
        yield found


@dataclass(frozen=True, slots=True)
class _Acting:
    """The steps of a run in which an act of the probe's stands for the submission."""

    act: str
    steps: sandbox.Steps
    probe: str

    def prepare(self, holder: Spec, size: int) -> AbstractContextManager[None]:
        return self.steps.prepare(holder, size)

    def run(self, spec: Spec) -> Outcome:
        if spec.verb == "check":  # an image of ours needs none
            return Outcome(Status.OK, _ACCEPTED, 0, 0.0)
        return self.steps.run(replace(spec, image=self.probe, verb=self.act))


def evaluated(act: str, job: Job, bench: Bench) -> Phase:
    """Evaluate an act of the probe's as a submission, by the main flow itself."""
    steps = _Acting(act, sandbox.Steps(job.scratch, job.seccomp), bench.probe)
    phase = evaluate(_received(job), job, steps).baseline
    assert phase is not None  # noqa: S101 - that is what was asked for
    return phase


def published(phase: Phase, bench: Bench, tuned: Phase | None = None) -> dict[str, Any]:
    """The predicate of the signed result of a phase, or of two, as its vendor gets it."""
    workspace, job = stand_in_workspace(bench), stand_in_job(bench)
    if tuned:
        images = replace(job.images, trainer=lambda: bench.probe)  # only its name is asked for
        job = replace(job, phases="both", images=images)
    settings = workspace.settings()
    key, limits = load_key(workspace.key), limits_of(settings)
    log = LogPosition(origin=settings.log.origin, received=0)
    issuer = Issuer(workspace, settings.publish, VENDOR, key, log, limits, _BUDGET, 0)
    reserve(issuer, job)
    record = write_record(issuer, job, _received(job), Evaluation(phase, tuned))
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

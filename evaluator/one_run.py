"""One official run in its slot: its job, its containers, its record.

run_queued(place, hashing, queued)    a submission that is here
run_again(place, hashing, adapted)    a model that an earlier run has trained

Apart from `official`, which has the files of the dataset hashed while this is imported.
"""

from __future__ import annotations

import secrets
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import sandbox
from evaluator.adapted import keep_adapted
from evaluator.admission import Received
from evaluator.admission_policy import load_admission_policy
from evaluator.calibration import load_or_measure
from evaluator.compute import Compute, SpentError
from evaluator.doctor.examine import Subject
from evaluator.doctor.gate import require_sealed
from evaluator.errors import OwnerError
from evaluator.evaluate import evaluate
from evaluator.gpu_self_test import gpu_scrub
from evaluator.images import build_holder, build_onnx_runner, build_onnx_trainer
from evaluator.job import Images, Job
from evaluator.journal import log_adapted, log_started
from evaluator.ledger import open_ledger
from evaluator.queue import folder, limits_of
from evaluator.record import Issuer, Record, reserved, write_record
from evaluator.workspace import gpus_of, shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from evaluator.adapted import Adapted
    from evaluator.dataset.hashing import Hashing
    from evaluator.ledger import Queued
    from evaluator.official import Place, Told
    from evaluator.predicate import LogPosition
    from evaluator.workspace import Workspace
    from sandbox import Outcome, Spec


def run_queued(
    place: Place, hashing: Hashing, queued: Queued, enter: Callable[[], None] | None = None
) -> Record:
    """Run one submission; `enter` is called before the ledger is asked to start it."""
    workspace, settings, signers, told = place.workspace, place.settings, place.signers, place.told
    received = Received(
        kind=queued.kind,
        digest_of=queued.digest_of,
        sha256=queued.sha256,
        size=queued.size,
        file=folder(workspace, queued.id) / "submission",
        content=queued.content,
    )
    with ExitStack() as ledger, _scratch(workspace) as (run, scratch):
        ledger.enter_context(open_ledger(workspace.ledger))  # once, until the run has started
        job = _job(place, hashing, queued.vendor, run, scratch)
        job = replace(job, phases=queued.phases, recipe=queued.recipe)
        if job.both:
            job.policy.limits("train", job.cpus, job.memory)
        if not job.compute.left:
            raise SpentError
        entered = log_started(workspace, signers, queued)
        issuer = _issuer(place, queued.vendor, entered)
        if enter:
            enter()
        with sandbox.gpu_locks(job.gpus), reserved(issuer, job, queued.id):
            ledger.close()
            keeps = settings.training.keep_adapted_model and queued.phases == "both"
            with keep_adapted(workspace, job, queued.vendor, received, wanted=keeps) as keeping:
                with _steps(job, told) as steps:
                    evaluation = evaluate(received, keeping.job, steps)
                _scrub(job, told.say)
                return write_record(issuer, keeping.kept(), received, evaluation)


def run_again(place: Place, hashing: Hashing, adapted: Adapted, trained: str) -> Record:
    """Predict on today's holdout with the model that the training of the run `trained` left."""
    workspace, told = place.workspace, place.told
    with _scratch(workspace) as (run, scratch):
        job = _job(place, hashing, adapted.vendor, run, scratch)
        entered = log_adapted(workspace, place.signers, run, adapted, trained)
        issuer = _issuer(place, adapted.vendor, entered)
        compute = replace(job.compute, left=issuer.budget)  # whatever the vendor has left
        job = replace(job, adapted=adapted.model, compute=compute)
        with sandbox.gpu_locks(job.gpus), reserved(issuer, job):
            with _steps(job, told) as steps:
                evaluation = evaluate(adapted.received, job, steps)
            _scrub(job, told.say)
            return write_record(issuer, job, adapted.received, evaluation)


@dataclass(frozen=True, slots=True)
class _Announced:
    """The steps of a run, each said before it is taken."""

    steps: sandbox.ResidentSteps
    tiles: dict[str, int]
    say: Callable[[str], None]

    def prepare(self, holder: Spec, size: int) -> AbstractContextManager[None]:
        return self.steps.prepare(holder, size)

    def run(self, spec: Spec) -> Outcome:
        lines = {
            "check": "Looking at the model, without any tile ...",
            "predict": "Predicting {predict} tiles{learnt} ...",
            "train": "Training on {train} tiles ...",
            "keep": "Packing the adapted model ...",
            "restore": "Unpacking the adapted model ...",
        }
        learnt = " with what it has learnt" if spec.model else ""
        self.say(lines[spec.verb].format(**self.tiles, learnt=learnt))
        return self.steps.run(spec)


@contextmanager
def _steps(job: Job, told: Told) -> Iterator[_Announced]:
    training = job.dataset.training
    tiles = {"predict": job.dataset.holdout.size, "train": training.size if training else 0}
    steps = sandbox.Steps(job.scratch, job.seccomp, told.frames, told.charged)
    with sandbox.ResidentSteps(steps) as resident:
        yield _Announced(resident, tiles, told.say)


def _scrub(job: Job, say: Callable[[str], None]) -> None:
    """Leave the next run nothing in the memory of the GPUs, whatever the driver clears itself."""
    limits = job.policy.limits("check", job.cpus, job.memory)
    ended, _ = gpu_scrub(
        job.proof.probe,
        job.gpus,
        limits,
        lambda spec: sandbox.run(spec, job.scratch, job.seccomp),
    )
    if ended not in {"passed", "not run"}:
        say("The memory of the GPUs could not be overwritten; reset them before the next run.")


@contextmanager
def _scratch(workspace: Workspace) -> Iterator[tuple[str, Path]]:
    """A new run's name, and a directory that no other user enters, gone at the end."""
    run = secrets.token_hex(8)
    path = workspace.scratch / run
    with sandbox.run_lock(run):
        path.mkdir(mode=0o700, parents=True)
        try:
            yield run, path
        finally:
            with sandbox.uninterrupted():
                shutil.rmtree(path)


def _issuer(place: Place, vendor: str, entered: LogPosition) -> Issuer:
    workspace, settings = place.workspace, place.settings
    usual = limits_of(settings)
    with open_ledger(workspace.ledger) as ledger:
        budget = ledger.vendor(vendor).limits(usual).micro_petaflops
    return Issuer(
        workspace=workspace,
        publish=settings.publish,
        vendor=vendor,
        signer=place.signers.result,
        log=entered,
        limits=usual,
        budget=budget,
        fee_cents=settings.fees.cents,
    )


def _compute(place: Place, vendor: str, gpus: tuple[str, ...]) -> Compute:
    """What a run may use: all that its vendor has left, in whole steps."""
    workspace, settings, say = place.workspace, place.settings, place.told.say
    resources, usual = settings.resources, limits_of(settings)
    peaks = load_or_measure(workspace.calibration, gpus, resources.gpu_peak_flops, say)
    with open_ledger(workspace.ledger) as ledger:
        budget = ledger.vendor(vendor).limits(usual).micro_petaflops
        left = ledger.petaflops_left(vendor, usual)
    step = settings.publish.charge_step(budget)
    return Compute(
        left=left - left % step,
        step=step,
        cpu=peaks.cpu,
        gpu=peaks.gpu,
        gpu_memory=resources.gpu_memory_bytes if resources.gpus else 0,
    )


def _job(place: Place, hashing: Hashing, vendor: str, run: str, scratch: Path) -> Job:
    workspace, settings, slot, say = place.workspace, place.settings, place.slot, place.told.say
    resources = settings.resources
    gpus = gpus_of(resources, slot)
    policy = sandbox.load_policy(workspace.sandbox_policy)
    admission = load_admission_policy(workspace.admission_policy)
    if gpus and policy.runtime == "runsc":
        raise OwnerError(
            "GPUs are passed under runc only: gVisor drops devices without a word, and the run "
            "would be a CPU's. Set runtime in policies/sandbox.toml, or gpus in evaluator.toml."
        )
    # Limits that contradict each other are told before anything runs.
    policy.limits("predict", resources.cpus, resources.memory_bytes)
    subject = Subject(policy, admission, resources.cpus, resources.memory_bytes, gpus, scratch)
    proof = require_sealed(subject, workspace.wall, say)
    compute = _compute(place, vendor, gpus)
    return Job(
        run=run,
        dataset=hashing.dataset,
        hashed=hashing.wait,
        phases="baseline",
        policy=policy,
        admission=admission,
        seccomp=(shipped("policies") / "seccomp.json").read_text(),
        proof=proof,
        scratch=scratch,
        cpus=resources.cpus,
        memory=resources.memory_bytes,
        gpus=gpus,
        largest=settings.limits.submission_bytes,
        compute=compute,
        images=_images(say, gpu=bool(gpus)),
        cpuset=resources.slots[slot] if resources.slots else "",
        co_resident=len(resources.slots) > 1,
        known_images=workspace.known_images(slot),
    )


def _images(say: Callable[[str], None], *, gpu: bool) -> Images:
    """Images of ours, each asked for several times in a run, and it must be one image."""
    return Images(
        runner=cache(lambda: build_onnx_runner(say, gpu=gpu)),
        trainer=cache(lambda: build_onnx_trainer(say, gpu=gpu)),
        holder=cache(lambda: build_holder(say)),
    )

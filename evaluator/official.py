"""An official run: the main flow on a workspace, in a slot of its host, with a record at its end.

run_officially(workspace, request, ...)    hand a submission in and run it
run_next(workspace, ...)                   run whose turn it is
run_adapted(workspace, run, ...)           run what an earlier run has trained, once more
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import sandbox
from evaluator.adapted import keep_adapted, open_adapted, sweep_adapted
from evaluator.admission import Received, sweep_images
from evaluator.admission_policy import load_admission_policy
from evaluator.calibration import load_or_measure
from evaluator.compute import Compute
from evaluator.dataset.copies import own_copy
from evaluator.dataset.sealed import open_dataset
from evaluator.doctor.examine import Subject
from evaluator.doctor.gate import require_sealed
from evaluator.errors import OwnerError
from evaluator.evaluate import evaluate
from evaluator.gpu_self_test import gpu_scrub
from evaluator.images import build_holder, build_onnx_runner, build_onnx_trainer
from evaluator.job import Images, Job
from evaluator.journal import log_adapted, log_started
from evaluator.ledger import TakenError, open_ledger
from evaluator.queue import (
    drop_ended,
    enqueue,
    folder,
    give_back,
    handed_in,
    limits_of,
    sweep,
)
from evaluator.record import Issuer, Record, finish_records, reserved, write_record
from evaluator.workspace import gpus_of, shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from evaluator.ledger import Queued
    from evaluator.predicate import LogPosition
    from evaluator.queue import Request
    from evaluator.settings import Settings
    from evaluator.signers import Signers
    from evaluator.workspace import Workspace
    from sandbox import Frame, Outcome, Spec


class _SpentError(OwnerError):
    """Nothing is left of a vendor's compute, so a run of it is not started, and owes nothing."""

    def __init__(self) -> None:
        super().__init__(
            "Nothing is left of the vendor's compute budget, so nothing was run. `evaluator "
            "status` shows the account, `evaluator vendors change` changes it."
        )


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told what happens: a line before each slow step, and what is known meanwhile.

    That is what our own trainer reports, and the operations a container has used so far: a
    vendor's own says nothing.
    """

    say: Callable[[str], None]
    frames: Callable[[Frame], None] | None = None
    charged: Callable[[float], None] | None = None


def run_officially(workspace: Workspace, request: Request, signers: Signers, told: Told) -> Record:
    """Hand a submission in, evaluate it on the workspace's holdout, and write its signed result.

    Raises OwnerError or SandboxError with nothing written and nothing charged; a submission that
    fails has a Record like any other.
    """
    settings = workspace.settings()
    _require_runnable(settings)
    with (
        handed_in(workspace, request, signers, told.say) as handed,
        _slot(workspace, settings, told) as slot,
    ):
        # It waits in the queue for no longer than an instant, so that no `work` takes it first.
        def enter() -> None:
            enqueue(workspace, handed)

        try:
            return _run(workspace, settings, handed.queued, signers, told, slot, enter)
        finally:
            with sandbox.uninterrupted():
                drop_ended(workspace, handed.queued.id)


def run_next(workspace: Workspace, signers: Signers, told: Told) -> Record | None:
    """Evaluate the submission whose turn it is; None where nobody waits."""
    settings = workspace.settings()
    with _slot(workspace, settings, told) as slot:
        while True:
            with open_ledger(workspace.ledger) as ledger:
                queued = ledger.next()
            if queued is None:
                return None
            try:
                return _run(workspace, settings, queued, signers, told, slot)
            except TakenError:
                continue  # another slot was faster
            except _SpentError as error:
                give_back(workspace, queued.id, error)
                told.say(f"Submission {queued.id} is given back: its vendor has no compute left.")
            finally:
                with sandbox.uninterrupted():
                    drop_ended(workspace, queued.id)


def run_adapted(workspace: Workspace, run: str, signers: Signers, told: Told) -> Record:
    """Predict on today's holdout with the model that the training of `run` left, and sign it.

    It is the owner's own run: it takes no quota and is charged to nobody, but its bits count.
    """
    settings = workspace.settings()
    with _slot(workspace, settings, told) as slot:
        adapted = open_adapted(workspace, run)
        with _scratch(workspace) as (name, scratch):
            job = _job(workspace, settings, adapted.vendor, name, scratch, told, slot)
            entered = log_adapted(workspace, signers, name, adapted, run)
            issuer = _issuer(workspace, settings, adapted.vendor, signers, entered)
            compute = replace(job.compute, left=issuer.budget)  # whatever the vendor has left
            job = replace(job, adapted=adapted.model, compute=compute)
            with sandbox.gpu_locks(job.gpus), reserved(issuer, job):
                with _steps(job, told) as steps:
                    evaluation = evaluate(adapted.received, job, steps)
                _scrub(job, told.say)
                return write_record(issuer, job, adapted.received, evaluation)


def _run(  # noqa: PLR0913, PLR0917 - what a run is made of
    workspace: Workspace,
    settings: Settings,
    queued: Queued,
    signers: Signers,
    told: Told,
    slot: int,
    enter: Callable[[], None] | None = None,
) -> Record:
    """Run one submission; `enter` is called before the ledger is asked to start it."""
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
        job = _job(workspace, settings, queued.vendor, run, scratch, told, slot)
        job = replace(job, phases=queued.phases, recipe=queued.recipe)
        if job.both:
            job.policy.limits("train", job.cpus, job.memory)
        if not job.compute.left:
            raise _SpentError
        entered = log_started(workspace, signers, queued)
        issuer = _issuer(workspace, settings, queued.vendor, signers, entered)
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


def _require_runnable(settings: Settings) -> None:
    """Stop before any work where the operator's own words cannot be followed."""
    cores = os.cpu_count() or 1
    if settings.resources.cpus > cores:
        raise OwnerError(
            f"evaluator.toml gives a run {settings.resources.cpus} CPUs and this host has {cores}. "
            "Lower resources.cpus."
        )
    settings.publish.grid()  # a grid without exact decimals raises
    settings.error_grid()  # as does one of numbers
    settings.publish.charge_step(limits_of(settings).micro_petaflops)  # as does an odd budget


@contextmanager
def _slot(workspace: Workspace, settings: Settings, told: Told) -> Iterator[int]:
    """A place on this host, with what killed runs left removed."""
    _require_runnable(settings)
    waiting = "Another run has this host; waiting for its end ..."
    slots = len(settings.resources.slots)
    with sandbox.host_slot(slots, lambda: told.say(waiting)) as slot:
        with sandbox.sweep_lock(), open_ledger(workspace.ledger):
            _sweep(workspace, slot, slots)
        yield slot


def _known_images(workspace: Workspace, slot: int) -> Path:
    """The record of a slot's admitted images: what it drops, no other slot's run is using."""
    record = workspace.known_images
    return record.with_name(f"{record.stem}-{slot}{record.suffix}") if slot else record


def _sweep_images(workspace: Workspace, slot: int, slots: int) -> None:
    """Remove what killed runs left in the engine, of every slot unless some run uses its images.

    A run has its scratch before it waits for the lock that is held here, and its image after.
    """
    admission, record = load_admission_policy(workspace.admission_policy), workspace.known_images
    mine = {slot}
    if not any(sandbox.is_alive(path.name) for path in workspace.scratch.glob("*")):
        names = [path.stem for path in workspace.root.glob(f"{record.stem}-[0-9]*{record.suffix}")]
        mine = {*range(max(slots, 1)), *(int(name.rpartition("-")[2]) for name in names)}
    for each in mine:
        sweep_images(workspace.scratch, _known_images(workspace, each), admission)


def _sweep(workspace: Workspace, slot: int, slots: int) -> None:
    """Remove what killed runs left; whoever holds a run's lock is alive."""
    sandbox.remove_leftovers(sandbox.connect())
    sandbox.remove_images()
    _sweep_images(workspace, slot, slots)
    for left in workspace.scratch.glob("*"):
        if not sandbox.is_alive(left.name):
            with suppress(FileNotFoundError):  # a run of another slot has just ended by itself
                shutil.rmtree(left)
    with open_ledger(workspace.ledger) as ledger:
        dead = [entry.run for entry in ledger.running() if not sandbox.is_alive(entry.run)]
    finish_records(workspace, dead)
    sweep(workspace)
    sweep_adapted(workspace)


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


def _issuer(
    workspace: Workspace,
    settings: Settings,
    vendor: str,
    signers: Signers,
    entered: LogPosition,
) -> Issuer:
    usual = limits_of(settings)
    with open_ledger(workspace.ledger) as ledger:
        budget = ledger.vendor(vendor).limits(usual).micro_petaflops
    return Issuer(
        workspace=workspace,
        publish=settings.publish,
        vendor=vendor,
        signer=signers.result,
        log=entered,
        limits=usual,
        budget=budget,
        fee_cents=settings.fees.cents,
    )


def _compute(
    workspace: Workspace, settings: Settings, vendor: str, gpus: tuple[str, ...], told: Told
) -> Compute:
    """What a run may use: all that its vendor has left, in whole steps."""
    resources, usual = settings.resources, limits_of(settings)
    peaks = load_or_measure(workspace.calibration, gpus, resources.gpu_peak_flops, told.say)
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


def _job(  # noqa: PLR0913, PLR0917 - a job is what all of these say
    workspace: Workspace,
    settings: Settings,
    vendor: str,
    run: str,
    scratch: Path,
    told: Told,
    slot: int,
) -> Job:
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
    proof = require_sealed(subject, workspace.wall, told.say)
    compute = _compute(workspace, settings, vendor, gpus, told)
    return Job(
        run=run,
        dataset=open_dataset(own_copy(workspace.data, workspace.copy(slot))),
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
        images=_images(told.say, gpu=bool(gpus)),
        cpuset=resources.slots[slot] if resources.slots else "",
        co_resident=len(resources.slots) > 1,
        known_images=_known_images(workspace, slot),
    )


def _images(say: Callable[[str], None], *, gpu: bool) -> Images:
    """Images of ours, each asked for several times in a run, and it must be one image."""
    return Images(
        runner=cache(lambda: build_onnx_runner(say, gpu=gpu)),
        trainer=cache(lambda: build_onnx_trainer(say, gpu=gpu)),
        holder=cache(lambda: build_holder(say)),
    )

"""An official run: the main flow on a workspace, alone on its host, with a record at its end."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import shutil
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import sandbox
from evaluator.admission import receive, sweep_images
from evaluator.admission_policy import load_admission_policy
from evaluator.dataset.sealed import open_dataset
from evaluator.doctor.examine import Subject
from evaluator.doctor.gate import require_sealed
from evaluator.errors import OwnerError
from evaluator.evaluate import evaluate
from evaluator.gpu_self_test import gpu_scrub
from evaluator.images import build_onnx_runner, find_onnx_runner
from evaluator.job import Job
from evaluator.record import Issuer, Record, finish_records, reserved, write_record
from evaluator.workspace import VENDOR, gpus_of, shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from securesystemslib.signer import Signer

    from evaluator.admission_policy import AdmissionPolicy
    from evaluator.submission import Submission
    from evaluator.workspace import Settings, Workspace


def run_officially(
    workspace: Workspace,
    submission: Submission,
    vendor: str,
    signer: Signer,
    say: Callable[[str], None],
) -> Record:
    """Evaluate a submission on the workspace's holdout and write its signed result.

    Raises OwnerError or SandboxError with nothing written; a submission that fails has a
    Record like any other. `say` gets a line before each slow step.
    """
    settings = workspace.settings()
    _require_runnable(settings, vendor)
    with sandbox.host_lock(lambda: say("Another run has this host; waiting for its end ...")):
        admission = load_admission_policy(workspace.admission_policy)
        _sweep(workspace, admission)
        with _scratch(workspace) as (run, scratch):
            job = _job(workspace, settings, admission, run, scratch, say)
            issuer = Issuer(workspace, settings.publish, vendor, signer)
            with sandbox.gpu_locks(job.gpus), reserved(issuer, job):
                say("Receiving the submission ...")
                received = receive(submission, scratch, job.largest)
                say(f"Evaluating on {job.dataset.holdout.size} tiles ...")
                evaluation = evaluate(received, job)
                _scrub(job, say)
                return write_record(issuer, job, received, evaluation)


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


def _require_runnable(settings: Settings, vendor: str) -> None:
    """Stop before any work where the operator's own words cannot be followed."""
    if not VENDOR.fullmatch(vendor):
        raise OwnerError(
            "A vendor's name is 1 to 63 lower-case letters, digits and hyphens, and starts with "
            "no hyphen: it becomes the name of a directory."
        )
    today = dt.datetime.now(dt.UTC).date()
    if not settings.window.opens <= today <= settings.window.closes:
        raise OwnerError(
            f"The window is {settings.window.opens} to {settings.window.closes} and today is "
            f"{today} (UTC). Change [window] in evaluator.toml to open it."
        )
    cores = os.cpu_count() or 1
    if settings.resources.cpus > cores:
        raise OwnerError(
            f"evaluator.toml gives a run {settings.resources.cpus} CPUs and this host has {cores}. "
            "Lower resources.cpus."
        )
    settings.publish.grid()  # a grid without exact decimals raises


def _sweep(workspace: Workspace, admission: AdmissionPolicy) -> None:
    """Remove what a killed run left; the lock says that no run is alive."""
    sandbox.remove_leftovers(sandbox.connect())
    sandbox.remove_images()
    sweep_images(workspace.scratch, workspace.known_images, admission)
    for left in workspace.scratch.glob("*"):
        shutil.rmtree(left)
    finish_records(workspace)


@contextmanager
def _scratch(workspace: Workspace) -> Iterator[tuple[str, Path]]:
    """A new run's name, and a directory that no other user enters, gone at the end."""
    run = secrets.token_hex(8)
    path = workspace.scratch / run
    path.mkdir(mode=0o700, parents=True)
    try:
        yield run, path
    finally:
        with sandbox.uninterrupted():
            shutil.rmtree(path)


def _job(  # noqa: PLR0913, PLR0917 - a job is what all of these say
    workspace: Workspace,
    settings: Settings,
    admission: AdmissionPolicy,
    run: str,
    scratch: Path,
    say: Callable[[str], None],
) -> Job:
    gpus = gpus_of(settings.resources)
    policy = sandbox.load_policy(workspace.sandbox_policy)
    if gpus and policy.runtime == "runsc":
        raise OwnerError(
            "GPUs are passed under runc only: gVisor drops devices without a word, and the run "
            "would be a CPU's. Set runtime in policies/sandbox.toml, or gpus in evaluator.toml."
        )

    resources = settings.resources
    # Limits that contradict each other are told before anything is copied.
    policy.limits("predict", resources.cpus, resources.memory_bytes)
    subject = Subject(policy, admission, resources.cpus, resources.memory_bytes, gpus, scratch)

    @cache  # asked for several times in a run, and it must be one image
    def runner() -> str:
        return find_onnx_runner(gpu=bool(gpus)) or build_onnx_runner(say, gpu=bool(gpus))

    return Job(
        run=run,
        dataset=open_dataset(workspace.data),
        policy=policy,
        admission=admission,
        seccomp=(shipped("policies") / "seccomp.json").read_text(),
        proof=require_sealed(subject, workspace.wall, say),
        scratch=scratch,
        cpus=resources.cpus,
        memory=resources.memory_bytes,
        gpus=gpus,
        largest=settings.limits.submission_bytes,
        runner=runner,
        known_images=workspace.known_images,
    )

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
from evaluator.admission import receive
from evaluator.admission_policy import load_admission_policy
from evaluator.dataset.sealed import open_dataset
from evaluator.doctor.examine import Subject
from evaluator.doctor.gate import require_sealed
from evaluator.errors import OwnerError
from evaluator.evaluate import evaluate
from evaluator.images import build_onnx_runner, find_onnx_runner
from evaluator.job import Job
from evaluator.record import Issuer, Record, finish_records, write_record
from evaluator.workspace import VENDOR, find_gpus, shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from securesystemslib.signer import Signer

    from evaluator.submission import Submission
    from evaluator.workspace import Resources, Settings, Workspace


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
        _sweep(workspace)
        with _scratch(workspace) as (run, scratch):
            job = _job(workspace, settings, run, scratch, say)
            say("Receiving the submission ...")
            received = receive(submission, scratch, job.largest)
            say(f"Evaluating on {job.dataset.holdout.size} tiles ...")
            evaluation = evaluate(received, job)
            issuer = Issuer(workspace, settings.publish, vendor, signer)
            return write_record(issuer, job, received, evaluation)


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


def _sweep(workspace: Workspace) -> None:
    """Remove what a killed run left; the lock says that no run is alive."""
    sandbox.remove_leftovers(sandbox.connect())
    sandbox.remove_images()
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


def _job(
    workspace: Workspace, settings: Settings, run: str, scratch: Path, say: Callable[[str], None]
) -> Job:
    gpus = _gpus(settings.resources)
    policy = sandbox.load_policy(workspace.sandbox_policy)
    if gpus and policy.runtime == "runsc":
        raise OwnerError(
            "GPUs are passed under runc only: gVisor drops devices without a word, and the run "
            "would be a CPU's. Set runtime in policies/sandbox.toml, or gpus in evaluator.toml."
        )

    resources = settings.resources
    # Limits that contradict each other are told before anything is copied.
    policy.limits("predict", resources.cpus, resources.memory_bytes)
    subject = Subject(policy, resources.cpus, resources.memory_bytes, scratch)

    @cache  # asked for several times in a run, and it must be one image
    def runner() -> str:
        return find_onnx_runner(gpu=bool(gpus)) or build_onnx_runner(say, gpu=bool(gpus))

    return Job(
        run=run,
        dataset=open_dataset(workspace.data),
        policy=policy,
        admission=load_admission_policy(workspace.admission_policy),
        seccomp=(shipped("policies") / "seccomp.json").read_text(),
        proof=require_sealed(subject, workspace.wall, say),
        scratch=scratch,
        cpus=resources.cpus,
        memory=resources.memory_bytes,
        gpus=gpus,
        largest=settings.limits.submission_bytes,
        runner=runner,
    )


def _gpus(resources: Resources) -> tuple[str, ...]:
    """The devices of a run; asking for more than there are is an error, never fewer."""
    found = tuple(resources.gpu_devices) or (find_gpus() if resources.gpus else ())
    if len(found) < resources.gpus:
        raise OwnerError(
            f"evaluator.toml asks for {resources.gpus} GPUs and {len(found)} are there. Install "
            "the NVIDIA driver, name devices in resources.gpu_devices, or set resources.gpus = 0."
        )
    return found[: resources.gpus]

"""One rehearsal, from a submission to facts: a run of the main flow, in a place of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import sandbox
from evaluator.admission import receive
from evaluator.calibration import load_or_measure
from evaluator.compute import Compute
from evaluator.errors import OwnerError, Refused
from evaluator.evaluate import evaluate
from evaluator.images import build_holder, build_onnx_runner, build_onnx_trainer
from evaluator.job import Images, Job
from evaluator.lint.facts import Facts, ModelFacts, Refusal
from evaluator.onnx_check import read_check
from evaluator.proof import Proof
from evaluator.recipe import read_recipe
from evaluator.rehearsal.estimates import Owner, estimates
from evaluator.rehearsal.machine import Noted
from evaluator.rehearsal.place import rehearsal_place
from evaluator.rehearsal.synthetic import make_dataset
from evaluator.rootfs import cache
from evaluator.training_check import read_plan
from evaluator.workspace import shipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.admission import Received
    from evaluator.admission_policy import AdmissionPolicy
    from evaluator.challenge import Challenge
    from evaluator.evaluate import Evaluation
    from evaluator.lint.facts import ImageFacts
    from evaluator.rehearsal.place import Place
    from evaluator.submission import Submission
    from sandbox import SandboxPolicy

TILES = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """What a vendor asks of a rehearsal. `phases` None: both where the owner has training tiles.

    `keep` is a folder for what each container was given, `name` what the vendor calls its image.
    """

    phases: Literal["baseline", "both"] | None = None
    recipe: bytes | None = None
    tiles: int = TILES
    gpus: tuple[str, ...] = ()
    keep: Path | None = None
    name: str = "IMAGE"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was seen; for each container but the small one a line that repeats it by hand."""

    facts: Facts
    commands: tuple[str, ...] = ()


def rehearse(
    submission: Submission, challenge: Challenge, asked: Asked, say: Callable[[str], None]
) -> Rehearsal:
    """Run a submission as its owner would, on tiles that were made up, and tell all of it.

    Raises OwnerError for what cannot be asked, SandboxError for trouble of this host.
    """
    phases = _phases(challenge, asked)
    with rehearsal_place(say) as place:
        policy, admission = challenge.policies_in(place.folder)
        say("Receiving the submission ...")
        received = receive(submission, place.scratch, challenge.limits.submission_bytes)
        seen: list[ImageFacts] = []
        try:
            recipe = _recipe(asked.recipe, admission)
        except Refused as refused:
            return Rehearsal(_facts(received, challenge, (_refusal(str(refused)),)))
        say("Making tiles up ...")
        job = replace(
            _job(place, challenge, _here(policy, asked, say), admission, asked, say),
            phases=phases,
            recipe=recipe,
            seen=seen.append,
        )
        with sandbox.gpu_locks(job.gpus):
            return _rehearsed(received, challenge, job, asked, seen, say)


def _phases(challenge: Challenge, asked: Asked) -> Literal["baseline", "both"]:
    """As the queue decides it."""
    trains = challenge.tiles.training > 0
    if asked.phases == "both" and not trains:
        raise OwnerError(
            "This challenge has no training tiles, so nothing is fine-tuned. Ask for --phase "
            "baseline."
        )
    phases = asked.phases or ("both" if trains else "baseline")
    if asked.recipe is not None and phases == "baseline":
        raise OwnerError("A recipe is for training, and only the baseline was asked for.")
    return phases


def _recipe(raw: bytes | None, admission: AdmissionPolicy) -> bytes | None:
    return None if raw is None else read_recipe(raw, admission.recipe).canonical()


def _here(policy: SandboxPolicy, asked: Asked, say: Callable[[str], None]) -> SandboxPolicy:
    """The owner's policy, but for a runtime that this engine does not have."""
    client = sandbox.connect()
    with sandbox.engine_errors():
        runtimes = client.info().get("Runtimes") or {}
    if policy.runtime in runtimes and not (asked.gpus and policy.runtime == "runsc"):
        return policy
    say(f"The owner's runtime is {policy.runtime}; here it is runc, so its own ways stay untried.")
    return replace(policy, runtime="runc")


def _job(  # noqa: PLR0913, PLR0917 - a job is what all of these say
    place: Place,
    challenge: Challenge,
    policy: SandboxPolicy,
    admission: AdmissionPolicy,
    asked: Asked,
    say: Callable[[str], None],
) -> Job:
    resources, gpu = challenge.resources, bool(asked.gpus)
    if resources.gpus and not gpu:
        say("The owner gives a GPU and no --gpu is named here: this rehearsal has CPUs alone.")
    cores = os.cpu_count() or 1
    if resources.cpus > cores:
        say(f"The owner gives {resources.cpus:g} CPUs and this host has {cores}: it takes longer.")
    peaks = load_or_measure(cache() / "calibration.json", asked.gpus, 0.0, say)
    budget, step = challenge.limits.micro_petaflops, challenge.limits.charge_step
    return Job(
        run=place.run,
        dataset=make_dataset(challenge, asked.tiles, place.folder),
        phases="baseline",
        policy=policy,
        admission=admission,
        seccomp=(shipped("policies") / "seccomp.json").read_text(),
        proof=Proof("UNKNOWN", "", (), ()),
        scratch=place.scratch,
        cpus=min(resources.cpus, cores),
        memory=resources.memory_bytes,
        gpus=asked.gpus,
        largest=challenge.limits.submission_bytes,
        compute=Compute(
            left=budget - budget % step,
            step=step,
            cpu=peaks.cpu,
            gpu=peaks.gpu,
            gpu_memory=resources.gpu_memory_bytes if gpu else 0,
        ),
        images=Images(
            runner=lru_cache(lambda: build_onnx_runner(say, gpu=gpu)),
            trainer=lru_cache(lambda: build_onnx_trainer(say, gpu=gpu)),
            holder=lru_cache(lambda: build_holder(say)),
        ),
        known_images=place.images,
    )


def _rehearsed(  # noqa: PLR0913, PLR0917 - what a rehearsal is made of
    received: Received,
    challenge: Challenge,
    job: Job,
    asked: Asked,
    seen: list[ImageFacts],
    say: Callable[[str], None],
) -> Rehearsal:
    tiles = challenge.tiles
    noted = Noted(
        dataset=job.dataset,
        owners=(tiles.holdout, tiles.training),
        scratch=job.scratch,
        vendors=asked.name if received.kind == "image" else "",
        say=say,
        kept=asked.keep,
    )
    noted.steps = sandbox.Steps(job.scratch, job.seccomp, log=noted.log)
    evaluation = evaluate(received, job, noted)
    facts = _facts(received, challenge, _refusals(evaluation))
    own_trainer = received.kind == "onnx" and len(noted.checks) > 1
    plan = read_plan(noted.checks[1]) if own_trainer else None
    return Rehearsal(
        replace(
            facts,
            image=seen[0] if seen else None,
            model=_model(received, noted),
            steps=tuple(noted.facts),
            estimates=estimates(evaluation, noted.facts, plan, _owner(challenge, job)),
        ),
        tuple(noted.commands),
    )


def _facts(received: Received, challenge: Challenge, refusals: tuple[Refusal, ...]) -> Facts:
    return Facts(received.kind, received.sha256, received.size, challenge, refusals)


def _refusals(evaluation: Evaluation) -> tuple[Refusal, ...]:
    return tuple(_refusal(phase.message) for phase in evaluation.phases if phase.rules)


def _refusal(message: str) -> Refusal:
    """A message of the intake's: the id of its rule, and its sentence."""
    rule, _, sentence = message.partition(": ")
    return Refusal(rule, sentence)


def _model(received: Received, noted: Noted) -> ModelFacts | None:
    """What our runner saw of an ONNX file, where it came to see its input and output."""
    if received.kind != "onnx" or not noted.checks:
        return None
    check = read_check(noted.checks[0])
    if not (check.input.element and check.output.element):
        return None
    return ModelFacts(
        received.size,
        (check.input.element_name, check.input.shape),
        (check.output.element_name, check.output.shape),
    )


def _owner(challenge: Challenge, job: Job) -> Owner:
    """How the owner's processor compares, where both were measured and do the work."""
    theirs = challenge.peaks.cpu
    speed = job.compute.cpu / theirs if theirs and not job.gpus else 1.0
    return Owner(challenge, job.policy, job.compute, speed)

"""What a submission will need on the owner's tiles, from two sizes of them here.

A container takes so long to load and so long for each tile; the two are told apart by a large and a
small prediction. Training is one size alone: it loads as a prediction does, and the rest grows with
its tiles, unless our own trainer has planned it. Seconds are scaled where both processors were
measured; what is charged is not, since busy seconds times the peak of a processor compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.lint.facts import Estimate
from evaluator.petaflops import petaflops
from sandbox import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.challenge import Challenge
    from evaluator.compute import Compute
    from evaluator.evaluate import Evaluation
    from evaluator.lint.facts import Phase as Name
    from evaluator.lint.facts import StepFacts
    from evaluator.training_check import Plan
    from sandbox import SandboxPolicy


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner's side of an estimate; `speed` is how much faster this processor is than theirs."""

    challenge: Challenge
    policy: SandboxPolicy
    compute: Compute
    speed: float


@dataclass(frozen=True, slots=True)
class _Need:
    """What one container will need: seconds (of the clock, of CPUs, of GPUs) and bytes."""

    start: float
    load: float
    per_tile: float
    seconds: float
    cpu: float
    gpu: float
    memory: float


def estimates(
    evaluation: Evaluation, steps: Sequence[StepFacts], plan: Plan | None, owner: Owner
) -> tuple[Estimate, ...]:
    """One for each phase that was come to; `plan` is our own trainer's, where it trains."""
    found = []
    compute = owner.compute
    for name, phase in (("baseline", evaluation.baseline), ("tuned", evaluation.tuned)):
        if phase is None or phase.status == "REFUSED":
            continue
        ran = [step for step in steps if step.phase == name and step.verb != "check"]
        needs = _needs(ran, steps, plan, owner)
        estimate = _estimate(name, phase.status, needs, owner, compute)  # type: ignore[arg-type]  # one of the two
        compute = compute.after(min(compute.left, round(estimate.petaflops * 1e6)))
        found.append(estimate)
    return tuple(found)


def _needs(
    ran: Sequence[StepFacts], steps: Sequence[StepFacts], plan: Plan | None, owner: Owner
) -> list[tuple[str, _Need]]:
    """What each container of a phase needs, by its verb, in order."""
    predicted = [step for step in steps if step.verb == "predict" and step.phase == "baseline"]
    small = predicted[1] if len(predicted) > 1 and predicted[1].status == Status.OK else None
    tiles = owner.challenge.tiles
    needs = []
    for step in ran:
        if step is small or (small is None and step in predicted[1:]):
            continue
        many = tiles.training if step.verb == "train" else tiles.holdout
        need = _planned(step, plan) if step.verb == "train" and plan else _grown(step, small, many)
        needs.append((step.verb, need))
    return needs


def _grown(step: StepFacts, small: StepFacts | None, tiles: int) -> _Need:
    """A container as measured, on another number of tiles."""

    def grow(whole: float, few: float | None) -> tuple[float, float]:
        if small is None or few is None or step.tiles <= small.tiles:
            return 0.0, whole / max(1, step.tiles)
        # A training loads what a prediction loads, and has no small one of its own.
        own = step.verb == "predict"
        each = max(0.0, (whole - few) / (step.tiles - (small.tiles if own else 0)))
        return max(0.0, whole - each * step.tiles), each

    clock = step.seconds - step.start
    load, per_tile = grow(clock, small.seconds - small.start if small else None)
    cpu, cpu_tile = grow(step.cpu_seconds, small.cpu_seconds if small else None)
    gpu, gpu_tile = grow(step.gpu_seconds, small.gpu_seconds if small else None)
    memory, memory_tile = grow(step.peak_memory, small.peak_memory if small else step.peak_memory)
    if small is None:
        memory, memory_tile = step.peak_memory, 0.0
    return _Need(
        start=step.start,
        load=load,
        per_tile=per_tile,
        seconds=step.start + load + per_tile * tiles,
        cpu=cpu + cpu_tile * tiles,
        gpu=gpu + gpu_tile * tiles,
        memory=memory + memory_tile * tiles,
    )


def _planned(step: StepFacts, plan: Plan) -> _Need:
    """Our own trainer's training, as it planned it when it was told of the owner's tiles."""
    return _Need(
        step.start,
        0.0,
        0.0,
        step.start + plan.seconds,
        plan.cpu_seconds,
        plan.gpu_seconds,
        step.peak_memory,
    )


def _estimate(
    name: Name, status: str, needs: Sequence[tuple[str, _Need]], owner: Owner, compute: Compute
) -> Estimate:
    seconds = [need.seconds * owner.speed for _, need in needs]
    allowed = {"predict": owner.policy.predict_seconds, "train": owner.policy.train_seconds}
    late = any(took > allowed[verb] for took, (verb, _) in zip(seconds, needs, strict=True))
    used = sum(need.cpu * compute.cpu + need.gpu * compute.gpu for _, need in needs)
    if status == Status.OK and not compute.fits(used):
        status = Status.BUDGET_SPENT
    if status == Status.OK and late:
        status = Status.TIMEOUT
    last = needs[-1][1] if needs else _Need(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return Estimate(
        phase=name,
        status=str(status),
        start=last.start,
        load=last.load * owner.speed,
        per_tile=last.per_tile * owner.speed,
        seconds=sum(seconds),
        peak_memory=round(max((need.memory for _, need in needs), default=0)),
        petaflops=petaflops(compute.charge(used)),
    )

"""Examine a host and its wall, and say in one word whether a run may start."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sandbox
from evaluator.doctor import checks
from evaluator.doctor.check import Check
from evaluator.doctor.gather import gather
from evaluator.doctor.wall import Wall, bridge_address, digest, examine_wall, scratch_folder
from evaluator.gpu_self_test import gpu_self_test
from evaluator.images import PROBE, build_holder, build_onnx_runner, build_probe, name_of
from evaluator.proof import Proof
from evaluator.workspace import shipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.admission_policy import AdmissionPolicy
    from evaluator.attacks.probing import Bench
    from evaluator.doctor.check import Status
    from evaluator.doctor.facts import HostFacts
    from evaluator.proof import Verdict
    from sandbox import SandboxPolicy

_SECONDS = 600.0  # for the probe, whatever deadline a policy gives to submissions


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined: policies on this host, with the CPUs and bytes of memory of a run.

    `scratch` is where the probe's files go: a workspace's own place for runs, or a temporary one.
    """

    policy: SandboxPolicy
    admission: AdmissionPolicy
    cpus: float
    memory: int
    gpus: tuple[str, ...]
    scratch: Path

    @property
    def seccomp(self) -> str:
        """The profile that every run has."""
        return (shipped("policies") / "seccomp.json").read_text()

    def host(self) -> tuple[HostFacts, tuple[Check, ...]]:
        """What this host is, and what is thought of it. Raises OwnerError for an unknown id."""
        facts = gather(self.scratch)
        found = checks.check_host(facts, self.policy.runtime)
        return facts, checks.enforce(found, self.policy.require)

    def key(self, facts: HostFacts) -> str:
        """What a verdict depends on, as one digest."""
        policies = (self.policy.sha256, self.admission.sha256, self.seccomp)
        return digest(facts.identity(), *policies, *self.gpus, name_of(PROBE))


@dataclass(frozen=True, slots=True)
class Examination:
    """Both halves, and what they come to; `key` is what the wall's half depends on."""

    host: tuple[Check, ...]
    wall: Wall
    probe: str
    runtime: str
    key: str

    @property
    def verdict(self) -> Verdict:
        """The worse of the two halves: anything open, then anything unknown."""
        halves = {checks.verdict(self.host), self.wall.verdict}
        return next(worst for worst in ("UNSEALED", "UNKNOWN", "SEALED") if worst in halves)

    @property
    def proof(self) -> Proof:
        """What a signed result says of it."""
        residual = {*checks.residual(self.host), *(t.attack.id for t in self.wall.residual)}
        return Proof(self.verdict, self.probe, self.wall.stopped, tuple(sorted(residual)))


def examine(subject: Subject, *, full: bool, say: Callable[[str], None]) -> Examination:
    """Judge the host, then try its wall. The caller holds the host lock.

    Raises SandboxError where no container can be started at all.
    """
    from evaluator.attacks.probing import Bench  # noqa: PLC0415 - every run imports this module

    say("Looking at the host ...")
    facts, host = subject.host()
    probe = build_probe(say)
    with scratch_folder(subject.scratch) as scratch:
        limits = subject.policy.limits("predict", subject.cpus, subject.memory)
        bench = Bench(
            probe=probe,
            runtime=subject.policy.runtime,
            seccomp=subject.seccomp,
            limits=replace(limits, seconds=_SECONDS),
            scratch=scratch,
            host=bridge_address(),
            admission=subject.admission,
            runner=lambda: build_onnx_runner(say),
            holder=lambda: build_holder(say),
        )
        wall = examine_wall(bench, full=full, say=say)
        host += (_gpu_check(subject.gpus, bench),)
    return Examination(host, wall, probe, subject.policy.runtime, subject.key(facts))


def _gpu_check(gpus: tuple[str, ...], bench: Bench) -> Check:
    """A trusted kernel on every GPU of a run, under the settings of a run."""
    with sandbox.gpu_locks(gpus):
        ended, code = gpu_self_test(
            bench.probe,
            gpus,
            bench.limits,
            lambda spec: sandbox.run(spec, bench.scratch, bench.seccomp),
        )
    status: Status = {"passed": "ok", "not run": "info"}.get(ended, "fatal")  # type: ignore[assignment]  # three of its words
    return Check(
        id="gpu-self-test",
        title="a kernel of ours on the GPU",
        status=status,
        found=f"{ended} (driver code {code})" if status == "fatal" else ended,
        why="a run would get no GPU, or not the one that was asked for",
        fix="docs/gpu.md says how to set up the driver and the container toolkit",
        decisive=False,
    )


def default_resources() -> tuple[float, int]:
    """CPUs and bytes of memory where no workspace says: what `evaluator init` would write."""
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return float(min(2, os.cpu_count() or 1)), min(8_590_000_000, host)

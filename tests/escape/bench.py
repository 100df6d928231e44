"""A bench on the private engine: the probe image, and settings to try techniques with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import docker
from engine import GATEWAY, GATEWAY6

import sandbox
from evaluator.admission_policy import load_admission_policy
from evaluator.attacks.probing import Bench
from evaluator.images import (
    HOLDER,
    ONNX_RUNNER,
    build_holder,
    build_onnx_runner,
    build_probe,
    find_onnx_runner,
    name_of,
)
from evaluator.workspace import shipped
from sandbox import Limits

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


def hand_over_probe(address: str) -> str:
    """Build the probe on the host's engine, give it to the one at `address`; return its id.

    The runner that checks models and the holder that keeps them go with it, by their names.
    """
    probe, runner = build_probe(lambda _: None), build_onnx_runner(lambda _: None)
    holder = build_holder(lambda _: None)
    host, other = sandbox.connect(), docker.APIClient(base_url=address, version="auto")
    for image in (probe, name_of(ONNX_RUNNER), name_of(HOLDER)):
        other.load_image(host.get_image(image))
    assert other.inspect_image(runner)
    assert other.inspect_image(holder)
    return probe


def onnx_runner() -> str:
    """The runner that was handed over with the probe."""
    found = find_onnx_runner()
    assert found is not None
    return found


def holder() -> str:
    """The holder that was handed over with it."""
    found = sandbox.find_image(name_of(HOLDER))
    assert found is not None
    return found


def bench(probe: str, runtime: str, scratch: Path) -> Bench:
    """A bench on the engine that DOCKER_HOST names; `scratch` is for the probe's files."""
    return Bench(
        probe=probe,
        runtime=runtime,
        seccomp=(shipped("policies") / "seccomp.json").read_text(),
        limits=Limits(
            cpus=1.0,
            memory=512 * MIB,
            tmp=64 * MIB,
            shm=64 * MIB,
            processes=512,
            open_files=1024,
            seconds=600,
        ),
        scratch=scratch,
        host=GATEWAY,
        host6=GATEWAY6,
        admission=load_admission_policy(shipped("policies") / "admission.toml"),
        runner=onnx_runner,
        holder=holder,
    )

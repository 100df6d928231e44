"""A bench on the private engine: the probe image, and settings to try techniques with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import docker
from engine import GATEWAY

import sandbox
from evaluator.attacks.probing import Bench
from evaluator.images import build_probe
from evaluator.workspace import shipped
from sandbox import Limits

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


def hand_over_probe(address: str) -> str:
    """Build the probe on the host's engine, give it to the one at `address`; return its id."""
    probe = build_probe(lambda _: None)
    saved = sandbox.connect().get_image(probe)
    docker.APIClient(base_url=address, version="auto").load_image(saved)
    return probe


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
            seconds=120,
        ),
        scratch=scratch,
        host=GATEWAY,
    )

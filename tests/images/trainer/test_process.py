"""What the trainer asks of its own process before numpy and torch are there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.images.trainer.conftest import ROOT

TRAINER = ROOT / "images" / "trainer"
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT")
FAULTS = """
import resource

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    held = [b"x" * (16 << 20) for _ in range(4)]

step()
before = faults()
for _ in range(5):
    step()
print(faults() - before)
"""


def printed(program: str, **environment: str) -> str:
    """What a fresh interpreter says that finds the trainer's modules."""
    plain = {key: value for key, value in os.environ.items() if key not in WAITING}
    plain |= {"PYTHONPATH": str(TRAINER), **environment}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=plain).stdout


def test_threads_that_wait_spin_for_a_bounded_while_only() -> None:
    """Neither for libgomp's own 300,000 turns nor not at all; what the host says goes first."""
    program = f"import json, os, threads; print(json.dumps([os.environ[n] for n in {WAITING}]))"
    policy, turns, cycles = json.loads(printed(program))
    assert policy == "PASSIVE"
    assert 1_000 <= int(turns) <= 30_000
    assert int(cycles) <= 20
    assert json.loads(printed(program, GOMP_SPINCOUNT="7"))[1] == "7"


@pytest.mark.parametrize(("first", "kept"), [("import memory\n", True), ("", False)])
def test_memory_of_a_step_serves_the_next_one(first: str, *, kept: bool) -> None:
    """No page is asked of the kernel twice; without the module every one of 64 MiB is."""
    asked = int(printed(first + FAULTS))
    assert (asked < 1_000) is kept

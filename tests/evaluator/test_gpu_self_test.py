"""What the host makes of the self-test's twelve bytes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evaluator import gpu_self_test as host
from evaluator.gpu_self_test import RECORD, STEPS, gpu_scrub, gpu_self_test
from sandbox import Limits, Outcome, Spec, Status

IMAGE = "sha256:" + "1" * 64
LIMITS = Limits(1.0, 2**30, 2**20, 2**20, 64, 64, 60.0)
GPUS = ("GPU-a", "GPU-b")
PROGRAM = Path(__file__).parents[2] / "images/probe/gpu_self_test.py"


def told(output: bytes, status: Status = Status.OK, code: int | None = 0) -> tuple[str, int]:
    """The verdict on what the program left."""
    return gpu_self_test(IMAGE, GPUS, LIMITS, lambda _: Outcome(status, output, code, 1.0))


def test_two_gpus_that_compute_pass() -> None:
    """No step failed, and as many passed as were asked for."""
    assert told(RECORD.pack(0, 0, 2)) == ("passed", 0)


def test_without_a_gpu_nothing_runs() -> None:
    """It says so, and no container is made."""

    def run(_: Spec) -> Outcome:
        raise AssertionError

    assert gpu_self_test(IMAGE, (), LIMITS, run) == ("not run", 0)


@pytest.mark.parametrize("verb", ["gpu-self-test", "gpu-scrub"])
def test_it_runs_as_a_submission_would_but_sees_nothing(verb: str) -> None:
    """The same limits and the same devices, and no input."""
    seen: list[Spec] = []

    def run(spec: Spec) -> Outcome:
        seen.append(spec)
        return Outcome(Status.OK, RECORD.pack(0, 0, 2), 0, 1.0)

    function = {"gpu-self-test": gpu_self_test, "gpu-scrub": gpu_scrub}[verb]
    assert function(IMAGE, GPUS, LIMITS, run) == ("passed", 0)
    (spec,) = seen
    assert (spec.verb, spec.gpus, spec.inputs) == (verb, GPUS, ())
    assert (spec.image, spec.limits, spec.runtime) == (IMAGE, LIMITS, "runc")


@pytest.mark.parametrize("step", STEPS)
def test_each_step_has_its_sentence(step: int) -> None:
    """And the driver's code beside it."""
    words, code = told(RECORD.pack(step, 304, 0), Status.NONZERO_EXIT, 70)

    assert words == f"failed at step {step}: {STEPS[step]}"
    assert code == 304


def test_fewer_gpus_than_asked_for_are_a_failure() -> None:
    """One of two computed."""
    assert told(RECORD.pack(0, 0, 1))[0].startswith("failed at step 3")


@pytest.mark.parametrize(
    ("output", "status", "code"),
    [
        (b"", Status.OK, 0),
        (RECORD.pack(0, 0, 2) + b"x", Status.OK, 0),
        (RECORD.pack(0, 0, 2), Status.NONZERO_EXIT, 1),
        (RECORD.pack(0, 0, 2), Status.TIMEOUT, None),
        (b"", Status.START_FAILED, 127),
    ],
)
def test_a_program_that_did_not_end_well_did_not_pass(
    output: bytes, status: Status, code: int | None
) -> None:
    """Whatever it wrote before."""
    assert told(output, status, code)[0].startswith("failed")


def test_both_sides_name_the_same_steps() -> None:
    """The program counts its steps from 1 to the last that has a sentence here."""
    source = PROGRAM.read_text()
    names = re.search(r"^(LIBRARY.*) = range\(1, (\d+)\)$", source, re.MULTILINE)

    assert names is not None
    assert len(names[1].split(",")) == int(names[2]) - 1 == len(STEPS)
    assert f'RECORD = struct.Struct("{host.RECORD.format}")' in source

"""A trusted kernel on every GPU of a run, behind the very wall of a run, before any submission.

The program is images/probe/gpu_self_test.py. Neither has met a GPU yet: see docs/gpu.md.
"""

from __future__ import annotations

import secrets
import struct
from typing import TYPE_CHECKING

from sandbox import Limits, Outcome, Spec, Status

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD = struct.Struct("<3i")  # the step that failed, the driver's code, the GPUs that passed
_FAILED = 70  # the program's exit status where it could write down why
_DEVICES = 3

STEPS = {
    1: "libcuda.so.1 is not in the container; see that the container toolkit gives it",
    2: "the driver does not start; 304 is a refused system call, 803 another driver's library",
    _DEVICES: "fewer GPUs are there than the run asks for",
    4: "the GPU takes no program; another one may hold it (nvidia-smi -q -d COMPUTE)",
    5: "the driver does not compile the kernel; see that its compiler is in the container",
    6: "the driver does not find the kernel that it compiled",
    7: "the GPU's memory is not to be had",
    8: "nothing can be written to the GPU's memory",
    9: "the kernel does not run",
    10: "nothing can be read from the GPU's memory",
    11: "the kernel computes something else than it should",
}


def gpu_self_test(
    image: str, gpus: tuple[str, ...], limits: Limits, run: Callable[[Spec], Outcome]
) -> tuple[str, int]:
    """Have every GPU add one to 1,024 numbers; ("passed", 0), or what failed and the driver's code.

    `image` is the probe's, and `run` puts a Spec behind the wall. ("not run", 0) where no GPU is
    asked for. Raises SandboxError where the engine cannot give the GPUs to a container.
    """
    return _on_each("gpu-self-test", image, gpus, limits, run)


def gpu_scrub(
    image: str, gpus: tuple[str, ...], limits: Limits, run: Callable[[Spec], Outcome]
) -> tuple[str, int]:
    """Overwrite what a run left in the memory of its GPUs, as far as it can be had; as above."""
    return _on_each("gpu-scrub", image, gpus, limits, run)


def _on_each(
    verb: str,
    image: str,
    gpus: tuple[str, ...],
    limits: Limits,
    run: Callable[[Spec], Outcome],
) -> tuple[str, int]:
    if not gpus:
        return "not run", 0
    outcome = run(
        Spec(
            run=secrets.token_hex(8),
            image=image,
            verb=verb,
            inputs=(),
            output_size=RECORD.size,
            limits=limits,
            runtime="runc",  # GPUs are passed under no other
            gpus=gpus,
        )
    )
    return _verdict(outcome, len(gpus))


def _verdict(outcome: Outcome, asked: int) -> tuple[str, int]:
    told = outcome.status is Status.OK or outcome.exit_code == _FAILED
    if not told or len(outcome.output) != RECORD.size:
        return f"failed: the program ended with {outcome.status} and no answer", 0
    step, code, passed = RECORD.unpack(outcome.output)
    if not step and passed < asked:
        step = _DEVICES
    if not step:
        return "passed", 0
    return f"failed at step {step}: {STEPS.get(step, 'an unknown one')}", code

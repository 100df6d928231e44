"""The compute charge of a run, in petaflops: 1e15 operations, as much as a device could have done.

    charge = busy CPU seconds x the peak of one CPU + busy GPU seconds x the peak of a GPU

A peak is in operations a second (`evaluator calibrate`, evaluator/devices.toml). So a charge says
how long devices were held busy, in a unit in which a slow and a fast device compare, not how many
operations a program meant to do. It is charged in whole steps, rounded up: an exact charge would
tell a vendor an exact duration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from evaluator.errors import OwnerError
from evaluator.petaflops import OPERATIONS
from sandbox import Allowance


class SpentError(OwnerError):
    """Nothing is left of a vendor's compute, so a run of it is not started, and owes nothing."""

    def __init__(self) -> None:
        super().__init__(
            "Nothing is left of the vendor's compute budget, so nothing was run. `evaluator "
            "status` shows the account, `evaluator vendors change` changes it."
        )


@dataclass(frozen=True, slots=True)
class Compute:
    """What one run may use: micro-petaflops left, those of one charged step, and peaks.

    `cpu` and `gpu` are operations a second of one CPU and one GPU; `gpu_memory` is in bytes over
    all GPUs, 0 where it is not limited.
    """

    left: int
    step: int
    cpu: float
    gpu: float = 0.0
    gpu_memory: int = 0

    def allowance(self, spent: float = 0.0) -> Allowance:
        """Return what a container may use once `spent` operations of its phase are gone."""
        left = max(0.0, self.left * OPERATIONS - spent)
        return Allowance(left, self.cpu, self.gpu, self.gpu_memory)

    def charge(self, operations: float) -> int:
        """Return the micro-petaflops charged for operations: whole steps, at most what is left."""
        return min(ceil(operations / (self.step * OPERATIONS)) * self.step, self.left)

    def after(self, charge: int) -> Compute:
        """Return what is left for the next phase."""
        return replace(self, left=self.left - charge)

    def fits(self, operations: float) -> bool:
        """Whether so many operations may be started at all."""
        return operations <= self.left * OPERATIONS

"""What goes into the sandbox and what comes out: frozen values, and nothing else."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_RUN = re.compile(r"[0-9a-f]{16}")


class SandboxError(Exception):
    """The host's trouble or ours, never the submission's: no result, no charge, exit 3."""


class PolicyError(SandboxError):
    """The operator's policy or limits cannot be followed: exit 2."""


class Status(StrEnum):
    """How a container ended: the only words about it that a vendor sees."""

    OK = "OK"
    START_FAILED = "START_FAILED"
    NONZERO_EXIT = "NONZERO_EXIT"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    BUDGET_SPENT = "BUDGET_SPENT"


@dataclass(frozen=True, slots=True)
class Mount:
    """One regular file of the host, readable at `target` inside and never writable.

    Or, where a program of ours waits for its tiles, a folder of the run's own.
    """

    source: Path
    target: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What one container may use. Bytes, seconds and CPUs (2.0 is two whole cores)."""

    cpus: float
    memory: int
    tmp: int
    shm: int
    processes: int
    open_files: int
    seconds: float
    model: int = 0  # bytes of the model volume, where the program may write it
    archive: int = 0  # bytes of the file that a packed model goes into, on the host's disk

    def __post_init__(self) -> None:
        """Refuse memory-backed caps that leave the program itself too little."""
        caps = {"tmp_bytes": self.tmp, "shm_bytes": self.shm, "model_bytes": self.model}
        if sum(caps.values()) > self.memory // 2:
            named = ", ".join(f"{name} ({cap})" for name, cap in caps.items() if cap)
            raise PolicyError(
                f"{named} are charged to the container's memory and together exceed half of it "
                f"({self.memory}). Lower them in policies/sandbox.toml or raise memory_bytes in "
                "evaluator.toml."
            )

    @property
    def file_size(self) -> int:
        """The largest file, in bytes, that a program may write anywhere.

        Never the size of the output: /dev/shm and /tmp obey the same limit, and a
        program that keeps its scratch there would die of SIGXFSZ.
        """
        return max(self.tmp, self.shm, self.model, self.archive)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Operations that a container may use, and what a second of a busy device costs of them."""

    operations: float = math.inf
    per_cpu_second: float = 0.0
    per_gpu_second: float = 0.0
    gpu_memory: int = 0  # bytes over all GPUs; 0 sets no limit


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container used: seconds, bytes and joules.

    `cpu_seconds` and `gpu_seconds` are those that are charged: what was sampled, and after the
    last sample every device as if it had been busy. `source` says where samples came from.
    """

    seconds: float
    cpu_seconds: float
    peak_memory: int
    bytes_read: int
    bytes_written: int
    gpu_seconds: float
    gpu_peak_memory: int
    joules: float
    source: Literal["cgroup", "engine", "clock"]

    def operations(self, allowance: Allowance) -> float:
        """Return the operations charged, never more than were allowed."""
        used = self.cpu_seconds * allowance.per_cpu_second
        used += self.gpu_seconds * allowance.per_gpu_second
        return min(used, allowance.operations)


@dataclass(frozen=True, slots=True)
class Spec:
    """One run of one container.

    There is no field for a network, a privilege, a writable directory or a log: what
    cannot be said cannot be asked for. `model` is how the run's model volume is seen, if at all;
    `output_size` 0 means that there is no output file. `kept` is a file of the host's that takes
    the output instead, unread, `frames` lets a program of ours report numbers on its stderr, and
    one of ours that `waits` may go on as the prediction after it (`ResidentSteps`): none of these
    is for a submission's own image.
    """

    run: str
    image: str
    verb: str
    inputs: tuple[Mount, ...]
    output_size: int
    limits: Limits
    runtime: str = "runc"
    gpus: tuple[str, ...] = ()
    model: Literal["", "read", "write"] = ""
    allowance: Allowance = Allowance()
    cpuset: str = ""
    kept: Path | None = None
    frames: bool = False
    waits: bool = False

    def __post_init__(self) -> None:
        """Refuse a name where an id is needed: tags move, ids do not."""
        if not _IMAGE_ID.fullmatch(self.image):
            raise SandboxError("An image runs by its local id (sha256:...), never by a name.")
        if not _RUN.fullmatch(self.run):
            raise SandboxError("A run is named by 16 hexadecimal digits.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back.

    `output` holds at most `Spec.output_size + 1` bytes, whatever was written: enough
    to tell too many from exactly enough. The rest is for the operator's eyes alone: `start` is how
    many of the seconds the engine took until it ran.
    """

    status: Status
    output: bytes
    exit_code: int | None
    seconds: float
    usage: Usage | None = None
    start: float = 0.0

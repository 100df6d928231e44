"""What goes into the sandbox and what comes out: frozen values, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

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


@dataclass(frozen=True, slots=True)
class Mount:
    """One regular file of the host, readable at `target` inside and never writable."""

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

    def __post_init__(self) -> None:
        """Refuse memory-backed caps that leave the program itself too little."""
        if self.tmp + self.shm > self.memory // 2:
            raise PolicyError(
                f"tmp_bytes ({self.tmp}) and shm_bytes ({self.shm}) are charged to the container's "
                f"memory and together exceed half of it ({self.memory}). Lower them in "
                "policies/sandbox.toml or raise memory_bytes in evaluator.toml."
            )

    @property
    def file_size(self) -> int:
        """The largest file, in bytes, that a program may write anywhere.

        Never the size of the output: /dev/shm and /tmp obey the same limit, and a
        program that keeps its scratch there would die of SIGXFSZ.
        """
        return max(self.tmp, self.shm)


@dataclass(frozen=True, slots=True)
class Spec:
    """One run of one container.

    There is no field for a network, a privilege, a writable directory or a log: what
    cannot be said cannot be asked for.
    """

    run: str
    image: str
    verb: str
    inputs: tuple[Mount, ...]
    output_size: int
    limits: Limits
    runtime: str = "runc"
    gpus: tuple[str, ...] = ()

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
    to tell too many from exactly enough. The rest is for the operator's eyes alone.
    """

    status: Status
    output: bytes
    exit_code: int | None
    seconds: float

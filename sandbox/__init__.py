"""The wall: Docker and only Docker. It knows nothing of crops, metrics or vendors.

Two nouns and a verb: a `Spec` goes in, an `Outcome` comes out, `run` is between them.
"""

from sandbox.engine import connect, engine_errors
from sandbox.frames import Frame
from sandbox.images import (
    NotAvailable,
    NotLoadable,
    TooLarge,
    engine_version,
    find_image,
    held_image,
    ids_are_manifests,
    labelled,
    load_image,
    remove_admitted,
    remove_images,
    remove_pulled,
    save_image,
)
from sandbox.lock import (
    gpu_locks,
    host_lock,
    host_slot,
    is_alive,
    is_locked,
    run_lock,
    sweep_lock,
)
from sandbox.logs import LOG_BYTES
from sandbox.nvml import gpu_models
from sandbox.policy import CEILINGS, RUNTIMES, SandboxPolicy, load_policy
from sandbox.resident import ResidentSteps
from sandbox.run import remove_leftovers, run, uninterrupted
from sandbox.spec import (
    Allowance,
    Limits,
    Mount,
    Outcome,
    PolicyError,
    SandboxError,
    Spec,
    Status,
    Usage,
)
from sandbox.steps import Steps
from sandbox.wall import OUTPUT, RUN_LABEL, environment, uid_of

__all__ = [
    "CEILINGS",
    "LOG_BYTES",
    "OUTPUT",
    "RUNTIMES",
    "RUN_LABEL",
    "Allowance",
    "Frame",
    "Limits",
    "Mount",
    "NotAvailable",
    "NotLoadable",
    "Outcome",
    "PolicyError",
    "ResidentSteps",
    "SandboxError",
    "SandboxPolicy",
    "Spec",
    "Status",
    "Steps",
    "TooLarge",
    "Usage",
    "connect",
    "engine_errors",
    "engine_version",
    "environment",
    "find_image",
    "gpu_locks",
    "gpu_models",
    "held_image",
    "host_lock",
    "host_slot",
    "ids_are_manifests",
    "is_alive",
    "is_locked",
    "labelled",
    "load_image",
    "load_policy",
    "remove_admitted",
    "remove_images",
    "remove_leftovers",
    "remove_pulled",
    "run",
    "run_lock",
    "save_image",
    "sweep_lock",
    "uid_of",
    "uninterrupted",
]

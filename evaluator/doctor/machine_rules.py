"""Room, clock and GPUs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from evaluator.doctor.check import HIDDEN, Finding, Rule

if TYPE_CHECKING:
    from evaluator.doctor.facts import HostFacts

_GIB = 2**30
# The largest image that this program was made for, unpacked beside its archive.
_DISK = 10 * _GIB
_MEMORY = 2 * _GIB
# This program is younger than any clock before it.
_EARLIEST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp()
_MPS = "nvidia-cuda-mps"[:15]
_WANTED = {
    "accept-nvidia-visible-devices-as-volume-mounts": ("false", "false"),
    "features.ignore-imex-channel-requests": ("true", "false"),
}


def _disk(facts: HostFacts, _runtime: str) -> Finding:
    free = (facts.room.engine_disk, facts.room.workspace_disk)
    if None in free:
        return HIDDEN
    engine, workspace = (int(each or 0) for each in free)
    found = f"{engine // _GIB} GiB free for the engine, {workspace // _GIB} for the workspace"
    return ("ok" if min(engine, workspace) >= _DISK else "info"), found


def _memory(facts: HostFacts, _runtime: str) -> Finding:
    free = facts.room.memory
    if free is None:
        return HIDDEN
    return ("ok" if free >= _MEMORY else "info"), f"{free / _GIB:.1f} GiB free"


def _clock(facts: HostFacts, _runtime: str) -> Finding:
    if facts.room.clock < _EARLIEST:
        return "residual", "it is before 2026: the time in a result would be wrong"
    if facts.room.synchronised is None:
        return HIDDEN
    return ("ok", "synchronised") if facts.room.synchronised else ("info", "not synchronised")


def _gpu(facts: HostFacts, _runtime: str) -> Finding:
    gpu, cdi = facts.gpu, facts.engine.cdi_directories
    if not gpu.uuids:
        broken = ", though /dev/nvidia* is there" if gpu.device_nodes else ""
        return "info", f"no NVIDIA GPU answers{broken}"
    return "info", f"{len(gpu.uuids)}, CDI {'in ' + ', '.join(cdi) if cdi else 'unknown here'}"


def _mps(facts: HostFacts, _runtime: str) -> Finding:
    named = any(name.startswith(_MPS) for name in facts.kernel.processes or ())
    if named or any("nvidia-mps" in path for path in facts.gpu.shared):
        return "residual", "a control daemon or its directory is there"
    return HIDDEN if facts.kernel.processes is None else ("ok", "none")


def _sockets(facts: HostFacts, _runtime: str) -> Finding:
    shared = [path for path in facts.gpu.shared if "nvidia-mps" not in path]
    return ("residual", ", ".join(shared)) if shared else ("ok", "none")


def _toolkit_settings(facts: HostFacts, _runtime: str) -> Finding:
    if not facts.gpu.uuids and not facts.gpu.device_nodes:
        return "ok", "no NVIDIA GPU"
    if facts.gpu.settings is None:
        return "unknown", "the toolkit's config.toml cannot be read"
    given = dict(facts.gpu.settings)
    wrong = [
        name for name, (wanted, default) in _WANTED.items() if given.get(name, default) != wanted
    ]
    return ("residual", f"other than wanted: {', '.join(wrong)}") if wrong else ("ok", "as wanted")


RULES = (
    Rule(
        "disk",
        "Disk",
        _disk,
        "a large image does not fit, and a run that fills the disk ends as the host's fault",
        "free some space (docker system df shows what uses it)",
    ),
    Rule(
        "memory",
        "Memory",
        _memory,
        "a run gets memory_bytes of evaluator.toml, if there is as much",
        "free some, or lower memory_bytes",
    ),
    Rule(
        "clock",
        "Clock",
        _clock,
        "results and the window of submissions go by it",
        "run an NTP client (systemctl enable --now systemd-timesyncd)",
    ),
    Rule(
        "gpu",
        "GPUs",
        _gpu,
        "a run with gpus > 0 needs them",
        "install the NVIDIA driver, or set gpus = 0 in evaluator.toml",
    ),
    Rule(
        "mps",
        "GPU sharing (MPS)",
        _mps,
        "programs of one GPU see each other's timing, and share one daemon",
        "stop it: echo quit | nvidia-cuda-mps-control, and remove /tmp/nvidia-mps",
    ),
    Rule(
        "nvidia-sockets",
        "NVIDIA's daemons",
        _sockets,
        "the toolkit mounts their sockets into every container with a GPU",
        "stop nvidia-persistenced and nvidia-fabricmanager where the hardware allows it",
    ),
    Rule(
        "nvidia-settings",
        "NVIDIA toolkit's settings",
        _toolkit_settings,
        "an image or a mount could ask the toolkit for more devices",
        "set both in /etc/nvidia-container-runtime/config.toml",
    ),
)

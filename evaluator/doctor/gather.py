"""Read a host: its engine, kernel, disks, clock and GPUs. Nothing is judged here.

All of it is readable by an ordinary user of the engine's group.
"""

from __future__ import annotations

import ctypes
import grp
import os
import stat
import subprocess
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sandbox
from evaluator.doctor import proc
from evaluator.doctor.facts import (
    Component,
    Engine,
    Gpu,
    HostFacts,
    Kernel,
    Reach,
    Room,
    Runtime,
)
from evaluator.meanwhile import meanwhile
from evaluator.workspace import find_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator

# What NVIDIA's toolkit shares between containers where it is there.
_SHARED = ("/tmp/nvidia-mps", "/run/nvidia-persistenced/socket", "/run/nvidia-fabricmanager/socket")  # noqa: S108 - a place to look at, nothing is made there
_TOOLKIT_SETTINGS = Path("/etc/nvidia-container-runtime/config.toml")


def gather(workspace: Path) -> HostFacts:
    """Read this host; `workspace` is where free disk is looked for.

    Raises SandboxError where no engine answers; whatever else cannot be read is None.
    """
    client = sandbox.connect()
    gpu = meanwhile(_gpu)
    with sandbox.engine_errors():
        info, version = client.info(), client.version()
    engine = read_engine(info, version)
    runsc = meanwhile(lambda: _runsc(engine))
    return HostFacts(
        engine=engine,
        reach=_reach(),
        kernel=_kernel(),
        room=_room(Path(engine.root), workspace),
        gpu=gpu(),
        runsc=runsc(),
    )


def read_engine(info: dict[str, Any], version: dict[str, Any]) -> Engine:
    """Take what is wanted out of the engine's two answers."""
    return Engine(
        version=version["Version"],
        components=tuple(_components(version)),
        runtimes=tuple(_runtimes(info)),
        default_runtime=info.get("DefaultRuntime") or "",
        log_driver=info.get("LoggingDriver") or "",
        security=tuple(info.get("SecurityOptions") or ()),
        cgroup_version=info.get("CgroupVersion") or "",
        cgroup_driver=info.get("CgroupDriver") or "",
        kernel=info.get("KernelVersion") or "",
        system=info.get("OperatingSystem") or "",
        storage_driver=info.get("Driver") or "",
        root=info.get("DockerRootDir") or "",
        live_restore=bool(info.get("LiveRestoreEnabled")),
        warnings=tuple(info.get("Warnings") or ()),
        cdi_directories=tuple(info.get("CDISpecDirs") or ()),
        memory_limit=bool(info.get("MemoryLimit")),
        swap_limit=bool(info.get("SwapLimit")),
        pids_limit=bool(info.get("PidsLimit")),
        cpu_limit=bool(info.get("CpuCfsQuota")),
    )


def _components(version: dict[str, Any]) -> Iterator[Component]:
    for part in version.get("Components") or ():
        revision = (part.get("Details") or {}).get("GitCommit") or ""
        yield Component(part["Name"].lower(), part["Version"], revision)


def _runtimes(info: dict[str, Any]) -> Iterator[Runtime]:
    for name, said in sorted((info.get("Runtimes") or {}).items()):
        # A shim is named by its type, and its flags are in a file that only it reads.
        arguments = None if said.get("runtimeType") else tuple(said.get("runtimeArgs") or ())
        yield Runtime(name, said.get("path") or said.get("runtimeType") or "", arguments)


def _reach() -> Reach:
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    mode, group = _socket(address.removeprefix("unix://"))
    return Reach(address, mode, group, proc.tcp_hosts(), proc.docker_listeners())


def _socket(path: str) -> tuple[int | None, str | None]:
    try:
        found = Path(path).stat()
    except OSError:
        return None, None
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = str(found.st_gid)
    return stat.S_IMODE(found.st_mode), group


def _kernel() -> Kernel:
    return Kernel(
        build=os.uname().version,
        settings=proc.settings(),
        swaps=proc.swaps(),
        security_modules=proc.read(proc.SYS / "kernel/security/lsm"),
        vulnerable=proc.vulnerable(),
        processes=proc.processes(),
        engine_capabilities=proc.engine_capabilities(),
        cgroup_controllers=proc.cgroup_controllers(),
    )


def _room(engine: Path, workspace: Path) -> Room:
    return Room(_free(engine), _free(workspace), proc.free_memory(), time.time(), _synchronised())


def _free(path: Path) -> int | None:
    """Free bytes for an ordinary user on the file system of `path`."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


_TIME_ERROR = 5  # of linux/timex.h: the clock follows no other


def _synchronised() -> bool | None:
    """Whether the kernel's clock follows another; adjtimex with modes = 0 only reads."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024))
    return None if state < 0 else state != _TIME_ERROR


def _gpu() -> Gpu:
    nodes = tuple(sorted(str(path) for path in Path("/dev").glob("nvidia*")))
    toolkit = _output("nvidia-ctk", "--version") or _output("nvidia-container-cli", "--version")
    shared = tuple(path for path in _SHARED if os.path.exists(path))  # noqa: PTH110 - never raises
    return Gpu(find_gpus(), nodes, toolkit, toolkit_settings(_TOOLKIT_SETTINGS), shared)


def toolkit_settings(path: Path) -> tuple[tuple[str, str], ...] | None:
    """The toolkit's config.toml, one level flattened, values as text."""
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, ValueError):
        return None
    flat: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    return tuple(sorted((name, str(value).lower()) for name, value in flat.items()))


def _runsc(engine: Engine) -> str | None:
    named = (r.path for r in engine.runtimes if r.name == "runsc" and r.arguments is not None)
    return _output(next(named, "runsc"), "--version")


def _output(*command: str) -> str | None:
    """What a program of the host's own prints, or None where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

"""What a host says of itself, as plain values without a judgement. None is "could not be read"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Component:
    """One program of the container stack; `revision` is its commit or its package's revision."""

    name: str
    version: str
    revision: str


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime as the engine knows it; `arguments` is None where a file of its own holds them."""

    name: str
    path: str
    arguments: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Engine:
    """The answers of /version and /info."""

    version: str
    components: tuple[Component, ...]
    runtimes: tuple[Runtime, ...]
    default_runtime: str
    log_driver: str
    security: tuple[str, ...]
    cgroup_version: str
    cgroup_driver: str
    kernel: str
    system: str
    storage_driver: str
    root: str
    live_restore: bool
    warnings: tuple[str, ...]
    cdi_directories: tuple[str, ...]
    memory_limit: bool
    swap_limit: bool
    pids_limit: bool
    cpu_limit: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """Who can talk to the engine.

    `listeners` are the addresses ("0.0.0.0:2375") that listen on Docker's own TCP ports;
    `tcp_hosts` the TCP addresses in the daemon's command line or daemon.json.
    """

    address: str
    socket_mode: int | None
    socket_group: str | None
    tcp_hosts: tuple[str, ...] | None
    listeners: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Kernel:
    """Settings below /proc and /sys.

    `build` is what `uname -v` prints, where a distribution puts its own revision; `settings` the
    sysctls by name ("kernel.dmesg_restrict"), without those that this kernel lacks or hides;
    `swaps` devices or files that swap to a disk; `processes` the short names of what runs;
    `engine_capabilities` the effective set of the daemons that set up a run.
    """

    build: str
    settings: tuple[tuple[str, str], ...]
    swaps: tuple[str, ...] | None
    security_modules: str | None
    vulnerable: tuple[str, ...] | None
    processes: frozenset[str] | None
    engine_capabilities: int | None
    cgroup_controllers: tuple[str, ...] | None

    def setting(self, name: str) -> str | None:
        """One sysctl's value."""
        return dict(self.settings).get(name)


@dataclass(frozen=True, slots=True)
class Room:
    """Free space and memory in bytes, and the clock (seconds since 1970)."""

    engine_disk: int | None
    workspace_disk: int | None
    memory: int | None
    clock: float
    synchronised: bool | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """NVIDIA devices and what the toolkit shares of them.

    `settings` are the keys of the toolkit's config.toml, flat ("features.x"), and None where
    there is no file to read.
    """

    uuids: tuple[str, ...]
    device_nodes: tuple[str, ...]
    toolkit: str | None
    settings: tuple[tuple[str, str], ...] | None
    shared: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostFacts:
    """One reading of one host; `runsc` is what gVisor's `--version` prints."""

    engine: Engine
    reach: Reach
    kernel: Kernel
    room: Room
    gpu: Gpu
    runsc: str | None

    def identity(self) -> dict[str, str]:
        """What a remembered verdict depends on: JSON-able, sorted, the same until an upgrade.

        The revisions are in it because a distribution fixes holes without a new version, and the
        engine's warnings because they tell of an open TCP socket.
        """
        engine = self.engine
        components = {part.name: f"{part.version} {part.revision}" for part in engine.components}
        runtimes = {
            f"runtime {runtime.name}": " ".join((runtime.path, *(runtime.arguments or ())))
            for runtime in engine.runtimes
        }
        limits = (engine.memory_limit, engine.swap_limit, engine.pids_limit, engine.cpu_limit)
        identity = {
            "engine": engine.version,
            **components,
            **runtimes,
            "cgroup": f"{engine.cgroup_version} {engine.cgroup_driver}",
            "default log driver": engine.log_driver,
            "default runtime": engine.default_runtime,
            "kernel": f"{engine.kernel} {self.kernel.build}",
            "limits": " ".join(map(str, limits)),
            "runsc version": self.runsc or "",
            "security": " ".join(sorted(engine.security)),
            "storage driver": engine.storage_driver,
            "warnings": "\n".join(sorted(engine.warnings)),
        }
        return dict(sorted(identity.items()))

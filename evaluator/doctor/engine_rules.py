"""The engine: who reaches it, what it enforces, and what it does by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.doctor.check import HIDDEN, Finding, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.doctor.facts import HostFacts

# The engine's own words for a TCP socket that asks nobody for a certificate, since 19.03.
_OPEN_API = "API is accessible on "
# Drivers that keep what a container prints on this host.
_LOCAL_LOGS = ("json-file", "local", "none", "journald")
_OWN_RUNTIMES = ("runc", "io.containerd.runc.v2", "runsc")


def _address(facts: HostFacts, _runtime: str) -> Finding:
    local = facts.reach.address.startswith("unix://")
    return ("ok", "a local socket") if local else ("fatal", "an address on a network")


def _tcp_socket(facts: HostFacts, _runtime: str) -> Finding:
    reach = facts.reach
    if any(_OPEN_API in warning for warning in facts.engine.warnings):
        return "fatal", "the engine itself warns that its TCP socket asks for no certificate"
    if reach.tcp_hosts:
        return "residual", "on, and the engine warns of nothing: it asks for certificates"
    if reach.listeners:
        return "unknown", f"something listens on Docker's TCP port: {', '.join(reach.listeners)}"
    if reach.listeners is None:
        return HIDDEN
    return "ok", "none"


def _socket_permissions(facts: HostFacts, _runtime: str) -> Finding:
    mode, group = facts.reach.socket_mode, facts.reach.socket_group
    if mode is None:
        return HIDDEN
    found = f"mode {mode:04o}, group {group}"
    return ("residual" if mode & 0o006 else "ok"), found


def _seccomp(facts: HostFacts, _runtime: str) -> Finding:
    there = _option(facts, "seccomp")
    return ("ok", "built in") if there else ("fatal", "the engine was built or started without it")


def _limit(name: str) -> Callable[[HostFacts, str], Finding]:
    def judge(facts: HostFacts, _runtime: str) -> Finding:
        there = getattr(facts.engine, name)
        return ("ok", "enforced") if there else ("fatal", "the kernel or the engine has it off")

    return judge


def _swap_limit(facts: HostFacts, _runtime: str) -> Finding:
    if facts.engine.swap_limit:
        return "ok", "enforced"
    if facts.kernel.swaps == ():
        return "ok", "off, and the host has no swap"
    return "residual", "off: a container's memory can be swapped to disk"


def _cgroup(facts: HostFacts, _runtime: str) -> Finding:
    engine, controllers = facts.engine, facts.kernel.cgroup_controllers
    found = f"version {engine.cgroup_version}, driver {engine.cgroup_driver}"
    if not engine.cgroup_version:
        return "unknown", "the engine does not say"
    if engine.cgroup_driver == "none":
        return "fatal", f"{found}: nothing is delegated to this engine, so no limit holds"
    if engine.cgroup_version == "1":
        return "info", f"{found}: newer container runtimes give it up"
    return "ok", f"{found}, {' '.join(controllers)}" if controllers else found


def _runtime_registered(facts: HostFacts, runtime: str) -> Finding:
    known = {each.name for each in facts.engine.runtimes}
    return ("ok", runtime) if runtime in known else ("fatal", f"the engine knows no {runtime}")


def _default_runtime(facts: HostFacts, _runtime: str) -> Finding:
    name = facts.engine.default_runtime
    return ("ok" if name in _OWN_RUNTIMES else "info"), name or "not said"


def _default_log_driver(facts: HostFacts, _runtime: str) -> Finding:
    name = facts.engine.log_driver
    return ("ok" if name in _LOCAL_LOGS else "info"), name or "not said"


def _rootless(facts: HostFacts, _runtime: str) -> Finding:
    there = _option(facts, "rootless")
    return ("ok", "rootless") if there else ("residual", "the engine runs as root")


def _userns_remap(facts: HostFacts, _runtime: str) -> Finding:
    there = _option(facts, "userns") or _option(facts, "rootless")
    return ("ok", "on") if there else ("residual", "uids inside are uids of the host")


def _apparmor(facts: HostFacts, _runtime: str) -> Finding:
    named = [name for name in ("apparmor", "selinux") if _option(facts, name)]
    if named:
        return "ok", " and ".join(named)
    modules = facts.kernel.security_modules
    return "residual", f"neither (the kernel has: {modules})" if modules else "neither"


def _live_restore(facts: HostFacts, _runtime: str) -> Finding:
    if facts.engine.live_restore:
        return "info", "on: a container outlives an engine that stops"
    return "ok", "off"


def _engine(facts: HostFacts, _runtime: str) -> Finding:
    engine = facts.engine
    return "info", f"Docker {engine.version} on {engine.system}, storage {engine.storage_driver}"


def _option(facts: HostFacts, name: str) -> bool:
    """Whether "name=seccomp,profile=default" and the like is among the security options."""
    return any(option.split(",")[0] == f"name={name}" for option in facts.engine.security)


RULES = (
    Rule(
        "engine",
        "Engine",
        _engine,
        "the wall is asked of this engine",
        "nothing to do",
    ),
    Rule(
        "engine-address",
        "Way to the engine",
        _address,
        "tiles would leave this machine",
        "unset DOCKER_HOST, or point it at a local socket (unix:///...)",
        decisive=True,
    ),
    Rule(
        "tcp-socket",
        "Engine on TCP",
        _tcp_socket,
        "whoever reaches that port is root here",
        "remove tcp:// from daemon.json and the dockerd command line; use ssh instead",
        decisive=True,
    ),
    Rule(
        "socket-permissions",
        "Engine's socket",
        _socket_permissions,
        "every user of this host can be root through it",
        "chmod 660 the socket, and give it to the docker group",
    ),
    Rule(
        "seccomp",
        "System-call filter",
        _seccomp,
        "the allow-list of system calls would not hold",
        "use a kernel and a Docker with seccomp (every distribution's has it)",
        decisive=True,
    ),
    Rule(
        "memory-limit",
        "Memory limit",
        _limit("memory_limit"),
        "a submission could take all memory of the host",
        "enable the memory cgroup (rootless: delegate it to the user)",
        decisive=True,
    ),
    Rule(
        "pids-limit",
        "Process limit",
        _limit("pids_limit"),
        "a fork bomb would take the host",
        "enable the pids cgroup (rootless: delegate it to the user)",
        decisive=True,
    ),
    Rule(
        "cpu-limit",
        "CPU limit",
        _limit("cpu_limit"),
        "a submission could take every core, and its compute could not be charged",
        "enable CFS bandwidth control (rootless: delegate the cpu cgroup)",
        decisive=True,
    ),
    Rule(
        "swap-limit",
        "Swap limit",
        _swap_limit,
        "tiles in a program's memory could reach the disk",
        "boot with swapaccount=1 (cgroup version 1), or turn swap off",
    ),
    Rule(
        "cgroup",
        "Control groups",
        _cgroup,
        "limits are kept by control groups",
        "use cgroup version 2 and, rootless, systemd's delegation",
        decisive=True,
    ),
    Rule(
        "runtime-registered",
        "Runtime of the policy",
        _runtime_registered,
        "no container of a run could start",
        "add it to runtimes in daemon.json, or change runtime in policies/sandbox.toml",
        decisive=True,
    ),
    Rule(
        "default-runtime",
        "Default runtime",
        _default_runtime,
        "a run names its own; with nvidia here any other container's ENV obtains GPUs",
        'remove "default-runtime" from daemon.json',
    ),
    Rule(
        "default-log-driver",
        "Default log driver",
        _default_log_driver,
        "a run keeps no log; other containers' output leaves this host through it",
        'set "log-driver": "local" in daemon.json',
    ),
    Rule(
        "rootless",
        "Rootless engine",
        _rootless,
        "a hole in the engine or the runtime is root on the host",
        'run rootless Docker, or runtime = "runsc"',
    ),
    Rule(
        "userns-remap",
        "User namespace",
        _userns_remap,
        "a program that gets out keeps its uid on the host",
        "set userns-remap with a range past uid 3000000 (not tried with this program)",
    ),
    Rule(
        "apparmor",
        "AppArmor or SELinux",
        _apparmor,
        "a second line behind the filter and the dropped capabilities is missing",
        "enable AppArmor or SELinux, and install its Docker profile",
    ),
    Rule(
        "live-restore",
        "Live restore",
        _live_restore,
        "while the engine is down, nobody ends a run at its deadline",
        'remove "live-restore" from daemon.json',
    ),
)

"""Hosts as `gather` would read them; tests change one thing at a time."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

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

GIB = 2**30
RUNC = Runtime("runc", "runc", ())
EVERY_CAPABILITY = 0x1FFFFFFFFFF


def runsc(*arguments: str) -> tuple[Runtime, ...]:
    """The runtimes of an engine that knows gVisor with these flags."""
    return (RUNC, Runtime("runsc", "/usr/bin/runsc", arguments))


# docker.io and runsc of Debian 12, no setting touched.
DEBIAN_12 = HostFacts(
    engine=Engine(
        version="20.10.24+dfsg1",
        components=(
            Component("engine", "20.10.24+dfsg1", "5d6db84"),
            Component("containerd", "1.6.20~ds1", "1.6.20~ds1-1+deb12u3"),
            Component("runc", "1.1.5+ds1", "1.1.5+ds1-1+deb12u1"),
            Component("docker-init", "0.19.0", ""),
        ),
        runtimes=runsc("--platform=ptrace", "--network=none"),
        default_runtime="runc",
        log_driver="json-file",
        security=("name=apparmor", "name=seccomp,profile=default", "name=cgroupns"),
        cgroup_version="2",
        cgroup_driver="systemd",
        kernel="6.1.0-31-amd64",
        system="Debian GNU/Linux 12 (bookworm)",
        storage_driver="overlay2",
        root="/var/lib/docker",
        live_restore=False,
        warnings=(),
        cdi_directories=(),
        memory_limit=True,
        swap_limit=True,
        pids_limit=True,
        cpu_limit=True,
    ),
    reach=Reach("unix:///var/run/docker.sock", 0o660, "docker", (), ()),
    kernel=Kernel(
        build="#1 SMP PREEMPT_DYNAMIC Debian 6.1.128-1 (2025-02-07)",
        settings=(
            ("debug.exception-trace", "1"),
            ("fs.suid_dumpable", "0"),
            ("kernel.core_pattern", "core"),
            ("kernel.dmesg_restrict", "1"),
            ("kernel.kptr_restrict", "0"),
            ("kernel.unprivileged_bpf_disabled", "2"),
            ("kernel.unprivileged_userns_clone", "1"),
            ("kernel.yama.ptrace_scope", "0"),
            ("user.max_user_namespaces", "62912"),
        ),
        swaps=("/dev/sda5",),
        security_modules="lockdown,capability,landlock,yama,apparmor",
        vulnerable=(),
        processes=frozenset({"systemd", "systemd-journal", "dockerd", "containerd"}),
        engine_capabilities=EVERY_CAPABILITY,
        cgroup_controllers=("cpuset", "cpu", "io", "memory", "pids"),
    ),
    room=Room(
        engine_disk=200 * GIB,
        workspace_disk=200 * GIB,
        memory=14 * GIB,
        clock=dt.datetime(2026, 11, 22, tzinfo=dt.UTC).timestamp(),
        synchronised=True,
    ),
    gpu=Gpu((), (), None, None, ()),
    runsc="runsc version 0.0~20221219.0\nspec: 1.0.2-dev",
)


def host(base: HostFacts = DEBIAN_12, **parts: Any) -> HostFacts:  # noqa: ANN401 - any field
    """`base` with other fields: `host(engine={"live_restore": True})`."""
    changed = {
        name: replace(getattr(base, name), **fields) if isinstance(fields, dict) else fields
        for name, fields in parts.items()
    }
    return replace(base, **changed)


def sysctl(name: str, value: str | None) -> dict[str, Any]:
    """The kernel's settings with this one changed, or left out where None."""
    kept = tuple(pair for pair in DEBIAN_12.kernel.settings if pair[0] != name)
    return {"settings": kept if value is None else (*kept, (name, value))}


# Docker's own packages of a current release, on a host that somebody hardened.
HARDENED = host(
    engine={
        "version": "29.6.0",
        "components": (
            Component("engine", "29.6.0", "0e2acd4"),
            Component("containerd", "v2.2.5", "e2b5d1b"),
            Component("runc", "1.4.3", "v1.4.3-0-gabcdef0"),
        ),
        "runtimes": (RUNC, Runtime("runsc", "/usr/local/bin/runsc", ())),
        "security": (
            "name=apparmor",
            "name=seccomp,profile=builtin",
            "name=userns",
            "name=rootless",
            "name=cgroupns",
        ),
    },
    kernel={
        "settings": (
            ("debug.exception-trace", "0"),
            ("kernel.core_pattern", "core"),
            ("kernel.dmesg_restrict", "1"),
            ("kernel.kptr_restrict", "2"),
            ("user.max_user_namespaces", "0"),
        ),
        "swaps": (),
        "processes": frozenset({"dockerd"}),
    },
    runsc="runsc version release-20260907.0\nspec: 1.2.0",
)

# The engine's own warning, as Docker 20.10.24 gives it when started with -H tcp://.
OPEN_API = (
    "WARNING: API is accessible on http://127.0.0.1:2375 without encryption.\n"
    "         Access to the remote API is equivalent to root access on the host."
)

# One NVIDIA GPU under an unfixed toolkit that nobody configured.
WITH_GPU = host(
    gpu={
        "uuids": ("GPU-00000000-0000-0000-0000-000000000000",),
        "device_nodes": ("/dev/nvidia0", "/dev/nvidiactl"),
        "toolkit": "NVIDIA Container Toolkit CLI version 1.17.7\ncommit: 7e4ec1e",
        "settings": (("accept-nvidia-visible-devices-as-volume-mounts", "false"),),
    }
)
GPU_READY = host(
    WITH_GPU,
    gpu={
        "toolkit": "NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80",
        "settings": (("features.ignore-imex-channel-requests", "true"),),
    },
)

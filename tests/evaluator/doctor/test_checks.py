"""Hosts, good and bad: what each check says of them, and the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from evaluator.doctor.checks import RULES, check_host, enforce, residual, verdict
from evaluator.doctor.facts import HostFacts, Runtime
from evaluator.errors import OwnerError
from tests.evaluator.doctor.hosts import (
    DEBIAN_12,
    GIB,
    GPU_READY,
    HARDENED,
    OPEN_API,
    RUNC,
    WITH_GPU,
    host,
    runsc,
    sysctl,
)

# What only says how things are, on any host.
_ALWAYS_INFO = {"engine", "kernel", "gpu"}
_SHIM = (RUNC, Runtime("runsc", "io.containerd.runsc.v1", None))


def on(**parts: Any) -> HostFacts:  # noqa: ANN401 - any field
    """Debian 12 with something changed."""
    return host(DEBIAN_12, **parts)


# id, runtime, host, status.
CASES = [
    ("engine", "runc", DEBIAN_12, "info"),
    ("kernel", "runc", DEBIAN_12, "info"),
    ("gpu", "runc", DEBIAN_12, "info"),
    ("gpu", "runc", WITH_GPU, "info"),
    ("engine-address", "runc", DEBIAN_12, "ok"),
    ("engine-address", "runc", on(reach={"address": "tcp://192.0.2.1:2375"}), "fatal"),
    ("tcp-socket", "runc", DEBIAN_12, "ok"),
    ("tcp-socket", "runc", on(reach={"tcp_hosts": None}), "ok"),
    ("tcp-socket", "runc", on(engine={"warnings": (OPEN_API,)}), "fatal"),
    ("tcp-socket", "runc", on(reach={"tcp_hosts": ("tcp://0.0.0.0:2376",)}), "residual"),
    ("tcp-socket", "runc", on(reach={"listeners": ("loopback:2375",)}), "unknown"),
    ("tcp-socket", "runc", on(reach={"listeners": None}), "unknown"),
    ("socket-permissions", "runc", DEBIAN_12, "ok"),
    ("socket-permissions", "runc", on(reach={"socket_mode": 0o666}), "residual"),
    ("socket-permissions", "runc", on(reach={"socket_mode": None}), "unknown"),
    ("seccomp", "runc", DEBIAN_12, "ok"),
    ("seccomp", "runc", on(engine={"security": ("name=apparmor",)}), "fatal"),
    ("memory-limit", "runc", DEBIAN_12, "ok"),
    ("memory-limit", "runc", on(engine={"memory_limit": False}), "fatal"),
    ("pids-limit", "runc", DEBIAN_12, "ok"),
    ("pids-limit", "runc", on(engine={"pids_limit": False}), "fatal"),
    ("cpu-limit", "runc", DEBIAN_12, "ok"),
    ("cpu-limit", "runc", on(engine={"cpu_limit": False}), "fatal"),
    ("swap-limit", "runc", DEBIAN_12, "ok"),
    ("swap-limit", "runc", on(engine={"swap_limit": False}), "residual"),
    ("swap-limit", "runc", on(engine={"swap_limit": False}, kernel={"swaps": ()}), "ok"),
    ("cgroup", "runc", DEBIAN_12, "ok"),
    ("cgroup", "runc", on(engine={"cgroup_version": "1"}), "info"),
    ("cgroup", "runc", on(engine={"cgroup_driver": "none"}), "fatal"),
    ("cgroup", "runc", on(engine={"cgroup_version": ""}), "unknown"),
    ("runtime-registered", "runc", DEBIAN_12, "ok"),
    ("runtime-registered", "runsc", DEBIAN_12, "ok"),
    ("runtime-registered", "runsc", on(engine={"runtimes": (RUNC,)}), "fatal"),
    ("default-runtime", "runc", DEBIAN_12, "ok"),
    ("default-runtime", "runc", on(engine={"default_runtime": "nvidia"}), "info"),
    ("default-log-driver", "runc", DEBIAN_12, "ok"),
    ("default-log-driver", "runc", on(engine={"log_driver": "syslog"}), "info"),
    ("rootless", "runc", HARDENED, "ok"),
    ("rootless", "runc", DEBIAN_12, "residual"),
    ("userns-remap", "runc", on(engine={"security": ("name=userns",)}), "ok"),
    ("userns-remap", "runc", on(engine={"security": ("name=rootless",)}), "ok"),
    ("userns-remap", "runc", DEBIAN_12, "residual"),
    ("apparmor", "runc", DEBIAN_12, "ok"),
    ("apparmor", "runc", on(engine={"security": ("name=selinux",)}), "ok"),
    ("apparmor", "runc", on(engine={"security": ("name=seccomp,profile=default",)}), "residual"),
    ("live-restore", "runc", DEBIAN_12, "ok"),
    ("live-restore", "runc", on(engine={"live_restore": True}), "info"),
    ("old-docker", "runc", HARDENED, "ok"),
    ("old-docker", "runc", DEBIAN_12, "residual"),
    ("old-docker", "runc", on(engine={"version": "dev"}), "unknown"),
    ("old-containerd", "runc", HARDENED, "ok"),
    ("old-containerd", "runc", DEBIAN_12, "residual"),
    ("old-containerd", "runc", on(engine={"components": ()}), "unknown"),
    ("old-runc", "runc", HARDENED, "ok"),
    ("old-runc", "runsc", DEBIAN_12, "ok"),
    ("old-runc", "runc", DEBIAN_12, "residual"),
    ("old-runsc", "runsc", HARDENED, "ok"),
    ("old-runsc", "runc", DEBIAN_12, "ok"),
    ("old-runsc", "runsc", DEBIAN_12, "residual"),
    ("old-runsc", "runsc", on(runsc=None), "unknown"),
    ("old-nvidia-toolkit", "runc", DEBIAN_12, "ok"),
    ("old-nvidia-toolkit", "runc", GPU_READY, "ok"),
    ("old-nvidia-toolkit", "runc", WITH_GPU, "residual"),
    ("old-nvidia-toolkit", "runc", host(WITH_GPU, gpu={"uuids": ()}), "residual"),
    ("old-nvidia-toolkit", "runc", host(WITH_GPU, gpu={"toolkit": None}), "unknown"),
    ("runsc-ignore-cgroups", "runsc", DEBIAN_12, "ok"),
    ("runsc-ignore-cgroups", "runc", on(engine={"runtimes": runsc("--ignore-cgroups")}), "ok"),
    ("runsc-ignore-cgroups", "runsc", on(engine={"runtimes": runsc("--ignore-cgroups")}), "fatal"),
    ("runsc-ignore-cgroups", "runsc", on(engine={"runtimes": _SHIM}), "unknown"),
    ("runsc-network", "runsc", DEBIAN_12, "ok"),
    ("runsc-network", "runsc", on(engine={"runtimes": runsc()}), "ok"),
    ("runsc-network", "runsc", on(engine={"runtimes": runsc("--network=host")}), "fatal"),
    ("runsc-host-access", "runsc", DEBIAN_12, "ok"),
    ("runsc-host-access", "runsc", on(engine={"runtimes": runsc("--host-uds=all")}), "fatal"),
    ("runsc-host-access", "runsc", on(engine={"runtimes": runsc("-fsgofer-host-uds")}), "fatal"),
    ("runsc-host-access", "runsc", on(engine={"runtimes": runsc("--host-fifo=open")}), "fatal"),
    ("runsc-overlay", "runsc", on(engine={"runtimes": runsc("--overlay2=root:self")}), "ok"),
    ("runsc-overlay", "runsc", on(engine={"runtimes": runsc("--overlay")}), "fatal"),
    ("runsc-overlay", "runsc", on(engine={"runtimes": runsc("--overlay2=all:memory")}), "fatal"),
    ("runsc-oci-seccomp", "runsc", DEBIAN_12, "ok"),
    ("runsc-oci-seccomp", "runsc", on(engine={"runtimes": runsc("--oci-seccomp")}), "residual"),
    ("runsc-debug", "runsc", on(engine={"runtimes": runsc("--debug=false")}), "ok"),
    ("runsc-debug", "runsc", on(engine={"runtimes": runsc("--strace")}), "residual"),
    ("shared-kernel", "runsc", DEBIAN_12, "ok"),
    ("shared-kernel", "runc", DEBIAN_12, "residual"),
    ("kernel-log-text", "runc", HARDENED, "ok"),
    ("kernel-log-text", "runsc", DEBIAN_12, "ok"),
    ("kernel-log-text", "runc", DEBIAN_12, "residual"),
    ("kernel-log-text", "runc", on(kernel=sysctl("debug.exception-trace", None)), "unknown"),
    ("oom-comm", "runsc", DEBIAN_12, "ok"),
    ("oom-comm", "runc", HARDENED, "residual"),
    ("host-load", "runsc", DEBIAN_12, "ok"),
    ("host-load", "runc", HARDENED, "residual"),
    ("oom-score-adj", "runc", DEBIAN_12, "ok"),
    ("oom-score-adj", "runsc", HARDENED, "ok"),
    ("oom-score-adj", "runc", HARDENED, "residual"),
    ("oom-score-adj", "runc", on(kernel={"engine_capabilities": 0x1FFFEFFFFFF}), "residual"),
    ("oom-score-adj", "runc", on(kernel={"engine_capabilities": None}), "unknown"),
    ("core-pattern-pipe", "runc", DEBIAN_12, "ok"),
    ("core-pattern-pipe", "runc", on(kernel=sysctl("kernel.core_pattern", "|/x %p")), "info"),
    ("core-pattern-pipe", "runc", on(kernel=sysctl("kernel.core_pattern", None)), "unknown"),
    ("kernel-hardening", "runc", HARDENED, "ok"),
    ("kernel-hardening", "runc", DEBIAN_12, "info"),
    ("user-namespaces", "runc", HARDENED, "ok"),
    ("user-namespaces", "runc", on(kernel=sysctl("kernel.unprivileged_userns_clone", "0")), "ok"),
    ("user-namespaces", "runc", DEBIAN_12, "info"),
    ("user-namespaces", "runc", on(kernel={"settings": ()}), "unknown"),
    ("swap", "runc", HARDENED, "ok"),
    ("swap", "runc", DEBIAN_12, "residual"),
    ("swap", "runc", on(kernel={"swaps": None}), "unknown"),
    ("cpu-mitigations", "runc", DEBIAN_12, "ok"),
    ("cpu-mitigations", "runsc", on(kernel={"vulnerable": ("retbleed",)}), "residual"),
    ("cpu-mitigations", "runc", on(kernel={"vulnerable": None}), "unknown"),
    ("host-telemetry", "runc", DEBIAN_12, "ok"),
    ("host-telemetry", "runc", on(kernel={"processes": frozenset({"auditd"})}), "info"),
    ("host-telemetry", "runc", on(kernel={"processes": None}), "unknown"),
    ("disk", "runc", DEBIAN_12, "ok"),
    ("disk", "runc", on(room={"workspace_disk": GIB}), "info"),
    ("disk", "runc", on(room={"engine_disk": None}), "unknown"),
    ("memory", "runc", DEBIAN_12, "ok"),
    ("memory", "runc", on(room={"memory": GIB}), "info"),
    ("memory", "runc", on(room={"memory": None}), "unknown"),
    ("clock", "runc", DEBIAN_12, "ok"),
    ("clock", "runc", on(room={"synchronised": False}), "info"),
    ("clock", "runc", on(room={"clock": 0.0}), "residual"),
    ("clock", "runc", on(room={"synchronised": None}), "unknown"),
    ("mps", "runc", GPU_READY, "ok"),
    ("mps", "runc", on(gpu={"shared": ("/tmp/nvidia-mps",)}), "residual"),
    ("mps", "runc", on(kernel={"processes": frozenset({"nvidia-cuda-mps"})}), "residual"),
    ("mps", "runc", on(kernel={"processes": None}), "unknown"),
    ("nvidia-sockets", "runc", GPU_READY, "ok"),
    ("nvidia-sockets", "runc", on(gpu={"shared": ("/run/nvidia-x/socket",)}), "residual"),
    ("nvidia-settings", "runc", DEBIAN_12, "ok"),
    ("nvidia-settings", "runc", GPU_READY, "ok"),
    ("nvidia-settings", "runc", WITH_GPU, "residual"),
    ("nvidia-settings", "runc", host(WITH_GPU, gpu={"uuids": ()}), "residual"),
    ("nvidia-settings", "runc", host(WITH_GPU, gpu={"settings": None}), "unknown"),
]


@pytest.mark.parametrize(
    ("name", "runtime", "facts", "status"),
    CASES,
    ids=[f"{name}-{runtime}-{status}-{i}" for i, (name, runtime, _, status) in enumerate(CASES)],
)
def test_a_host_is_judged(name: str, runtime: str, facts: HostFacts, status: str) -> None:
    """One fact at a time."""
    (check,) = (check for check in check_host(facts, runtime) if check.id == name)

    assert (check.status, check.id) == (status, name), check.found


def test_each_check_has_been_seen_both_ways() -> None:
    """Ok and not ok: a check that says the same of every host says nothing."""
    good = {name for name, _, _, status in CASES if status == "ok"}
    bad = {name for name, _, _, status in CASES if status != "ok"}
    known = {rule.id for rule in RULES}

    assert bad == known
    assert good == known - _ALWAYS_INFO


def test_ids_are_stable_words() -> None:
    """Each once, and the same on every host and under each runtime: `require` names them."""
    ids = [check.id for check in check_host(DEBIAN_12, "runc")]

    assert len(ids) == len(set(ids))
    assert ids == [check.id for check in check_host(WITH_GPU, "runsc")]
    assert all(name == name.lower() and " " not in name for name in ids)


@pytest.mark.parametrize("facts", [DEBIAN_12, HARDENED, WITH_GPU])
def test_each_line_is_short(facts: HostFacts) -> None:
    """Four lines of a terminal, and none of them empty."""
    for check in check_host(facts, "runc"):
        lines = (check.title, check.found, check.why, check.fix)
        assert all(line and "\n" not in line for line in lines)
        assert max(map(len, lines)) <= 130


def test_a_stock_debian_is_sealed_with_residuals() -> None:
    """Docker.io as it is installed, under either runtime."""
    runc, gvisor = (check_host(DEBIAN_12, runtime) for runtime in ("runc", "runsc"))

    assert verdict(runc) == verdict(gvisor) == "SEALED"
    assert residual(runc) == (
        "host-load",
        "kernel-log-text",
        "old-containerd",
        "old-docker",
        "old-runc",
        "oom-comm",
        "rootless",
        "shared-kernel",
        "swap",
        "userns-remap",
    )
    assert residual(gvisor) == (
        "old-containerd",
        "old-docker",
        "old-runsc",
        "rootless",
        "swap",
        "userns-remap",
    )


def test_a_fatal_check_unseals() -> None:
    """Whatever else is well."""
    assert verdict(check_host(on(engine={"security": ()}), "runc")) == "UNSEALED"


def test_a_decisive_check_that_cannot_be_made_is_no_seal() -> None:
    """Unknown counts as unsealed; a lesser check that cannot be made does not."""
    suspected = on(reach={"listeners": ("every address:2375",)})

    assert verdict(check_host(suspected, "runc")) == "UNKNOWN"
    assert verdict(check_host(on(room={"memory": None}), "runc")) == "SEALED"


def test_what_could_not_be_checked_is_named_as_a_risk() -> None:
    """It may be one."""
    assert "cpu-mitigations" in residual(check_host(on(kernel={"vulnerable": None}), "runc"))


def test_a_distributions_package_is_not_called_broken() -> None:
    """Debian 12's runc carries the fix of CVE-2024-21626 under an old number."""
    (check,) = (check for check in check_host(DEBIAN_12, "runc") if check.id == "old-runc")

    assert "a distribution's package, perhaps fixed" in check.found
    assert "CVE-2024-21626" in check.found


def test_a_required_check_must_be_ok() -> None:
    """Residual, info and unknown are fatal then; what is ok stays so."""
    checks = check_host(on(kernel={"vulnerable": None}), "runc")
    asked = ("swap", "user-namespaces", "cpu-mitigations", "seccomp")
    enforced = {check.id: check for check in enforce(checks, asked)}

    assert verdict(checks) == "SEALED"
    assert verdict(tuple(enforced.values())) == "UNSEALED"
    assert {name: enforced[name].status for name in asked} == {
        "swap": "fatal",
        "user-namespaces": "fatal",
        "cpu-mitigations": "fatal",
        "seccomp": "ok",
    }
    assert enforced["rootless"].status == "residual"


def test_nothing_required_changes_nothing() -> None:
    """The shipped policy."""
    checks = check_host(DEBIAN_12, "runc")

    assert enforce(checks, ()) == checks


def test_a_required_check_that_does_not_exist_is_the_owners_mistake() -> None:
    """The sentence names those that do."""
    with pytest.raises(OwnerError, match=r"requires 'swaps', .* oom-comm, .* swap,"):
        enforce(check_host(DEBIAN_12, "runc"), ("swaps", "swap"))

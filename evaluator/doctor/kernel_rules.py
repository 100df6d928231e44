"""The host's kernel: what a submission can see of it, write to it, and leave in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.doctor.check import HIDDEN, UNDER_GVISOR, Finding, Rule

if TYPE_CHECKING:
    from evaluator.doctor.facts import HostFacts

_LOG_READERS = ("systemd-journal", "rsyslogd", "syslog-ng", "syslogd", "fluent-bit", "vector")
# Short names, as the kernel cuts them off at 15 characters.
_OBSERVERS = (
    "auditd",
    "cadvisor",
    "falco",
    "falcon-sensor",
    "nv-hostengine",
    "osqueryd",
    "wazuh-agentd",
    "wdavdaemon",
)
_CAP_SYS_RESOURCE = 1 << 24

# Each setting with the values that close it.
_HARDENED = {
    "kernel.dmesg_restrict": ("1",),
    "kernel.kptr_restrict": ("1", "2"),
    "kernel.unprivileged_bpf_disabled": ("1", "2"),
    "kernel.yama.ptrace_scope": ("1", "2", "3"),
    "vm.unprivileged_userfaultfd": ("0",),
    "fs.suid_dumpable": ("0",),
}


def _kernel(facts: HostFacts, _runtime: str) -> Finding:
    return "info", f"Linux {facts.engine.kernel}"


def _shared_kernel(_facts: HostFacts, runtime: str) -> Finding:
    if runtime == "runsc":
        return UNDER_GVISOR
    return "residual", f"{runtime} shares the host's kernel with a submission"


def _kernel_log_text(facts: HostFacts, runtime: str) -> Finding:
    if runtime == "runsc":
        return UNDER_GVISOR
    value = facts.kernel.setting("debug.exception-trace")
    if value is None:
        return HIDDEN
    if value == "0":
        return "ok", "debug.exception-trace = 0"
    return "residual", f"debug.exception-trace = {value}{_read_by(facts)}"


def _oom_comm(facts: HostFacts, runtime: str) -> Finding:
    if runtime == "runsc":
        return UNDER_GVISOR
    return "residual", f"the kernel logs the name of what it kills{_read_by(facts)}"


def _read_by(facts: HostFacts) -> str:
    readers = [name for name in _LOG_READERS if name in (facts.kernel.processes or ())]
    return f", read by {', '.join(readers)}" if readers else ""


def _host_load(_facts: HostFacts, runtime: str) -> Finding:
    if runtime == "runsc":
        return UNDER_GVISOR
    return "residual", "/proc/loadavg, uptime, meminfo and diskstats are the host's"


def _oom_score_adj(facts: HostFacts, runtime: str) -> Finding:
    """By the daemons' capabilities: the kernel shows the floor of oom_score_adj to nobody.

    It rises to the value that a process with CAP_SYS_RESOURCE writes (fs/proc/base.c), which is
    what the runtime does with the wall's 500, in the host's own user namespace only.
    """
    if runtime == "runsc":
        return UNDER_GVISOR
    if any("name=rootless" in option for option in facts.engine.security):
        return "residual", "a rootless engine cannot fix the score"
    held = facts.kernel.engine_capabilities
    if held is None:
        return HIDDEN
    if held & _CAP_SYS_RESOURCE:
        return "ok", "the engine can fix the score"
    return "residual", "the engine lacks CAP_SYS_RESOURCE, so the score can be lowered again"


def _core_pattern(facts: HostFacts, _runtime: str) -> Finding:
    value = facts.kernel.setting("kernel.core_pattern")
    if value is None:
        return HIDDEN
    if value.startswith("|"):
        return "info", "a pipe to a program; a run's core limit of 1 byte stops it"
    return "ok", "a file; a run's core limit stops it"


def _kernel_hardening(facts: HostFacts, _runtime: str) -> Finding:
    values = ((name, facts.kernel.setting(name)) for name in _HARDENED)
    open_ones = [f"{name} = {value}" for name, value in values if _is_open(name, value)]
    return ("info", ", ".join(open_ones)) if open_ones else ("ok", "as they should be")


def _is_open(name: str, value: str | None) -> bool:
    return value is not None and value not in _HARDENED[name]


def _user_namespaces(facts: HostFacts, _runtime: str) -> Finding:
    most = facts.kernel.setting("user.max_user_namespaces")
    unprivileged = facts.kernel.setting("kernel.unprivileged_userns_clone")
    if "0" in {most, unprivileged}:
        return "ok", "closed to ordinary users"
    if most is None:
        return HIDDEN
    return "info", "open to ordinary users; the system-call filter closes them to a run"


def _swap(facts: HostFacts, _runtime: str) -> Finding:
    swaps = facts.kernel.swaps
    if swaps is None:
        return HIDDEN
    if not swaps:
        return "ok", "none"
    return "residual", f"{len(swaps)} on a disk"


def _cpu_mitigations(facts: HostFacts, _runtime: str) -> Finding:
    flaws = facts.kernel.vulnerable
    if flaws is None:
        return HIDDEN
    return ("residual", f"open: {', '.join(flaws)}") if flaws else ("ok", "all known flaws closed")


def _host_telemetry(facts: HostFacts, _runtime: str) -> Finding:
    if facts.kernel.processes is None:
        return HIDDEN
    seen = [name for name in _OBSERVERS if name[:15] in facts.kernel.processes]
    return ("info", ", ".join(seen)) if seen else ("ok", "none that is known here")


RULES = (
    Rule("kernel", "Kernel", _kernel, "it is part of the wall", "keep it up to date"),
    Rule(
        "shared-kernel",
        "A kernel between",
        _shared_kernel,
        "a hole in the host's kernel is a way out",
        'set runtime = "runsc" in policies/sandbox.toml',
    ),
    Rule(
        "kernel-log-text",
        "Crash lines in the kernel's log",
        _kernel_log_text,
        "each crash writes 15 characters and an address of a program's choice there",
        'sysctl debug.exception-trace=0, or runtime = "runsc"; ship that log nowhere',
    ),
    Rule(
        "oom-comm",
        "Out-of-memory lines",
        _oom_comm,
        "a program that is killed for memory writes 15 characters of its choice there",
        'set runtime = "runsc"; ship that log nowhere',
    ),
    Rule(
        "host-load",
        "Host's load",
        _host_load,
        "a submission sees how busy the host is, and when it was started",
        'set runtime = "runsc"; run nothing else beside',
    ),
    Rule(
        "oom-score-adj",
        "Out-of-memory score",
        _oom_score_adj,
        "a submission could have other programs killed in its place",
        'start the engine with CAP_SYS_RESOURCE, or set runtime = "runsc"',
    ),
    Rule(
        "core-pattern-pipe",
        "Core dumps",
        _core_pattern,
        "a piped pattern hands a program's memory to a program of the host",
        "sysctl kernel.core_pattern=core",
    ),
    Rule(
        "kernel-hardening",
        "Kernel settings",
        _kernel_hardening,
        "the filter closes these to a run; other programs have them",
        "set them in /etc/sysctl.d",
    ),
    Rule(
        "user-namespaces",
        "User namespaces",
        _user_namespaces,
        "they widen what a program can ask of the kernel",
        "sysctl user.max_user_namespaces=0 where nothing else needs them",
    ),
    Rule(
        "swap",
        "Swap",
        _swap,
        "labels and keys in this program's memory could reach the disk",
        "swapoff -a, or encrypt it",
    ),
    Rule(
        "cpu-mitigations",
        "CPU flaws",
        _cpu_mitigations,
        "a program could read memory of others through the processor",
        "update kernel and microcode, and leave mitigations on",
    ),
    Rule(
        "host-telemetry",
        "Programs that watch programs",
        _host_telemetry,
        "they may ship names, arguments and load of a submission off this host",
        "leave containers out of what they report",
    ),
)

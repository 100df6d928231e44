"""What /proc, /sys and daemon.json tell an ordinary user."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
SYS = Path("/sys")
_DAEMON_JSON = Path("/etc/docker/daemon.json")
_DAEMONS = ("dockerd", "containerd")
# 2375 is Docker's plain TCP port, 2376 the one with TLS.
_PORTS = (2375, 2376)
_LISTEN = "0A"
_SETTINGS = (
    "debug.exception-trace",
    "fs.suid_dumpable",
    "kernel.core_pattern",
    "kernel.dmesg_restrict",
    "kernel.kptr_restrict",
    "kernel.unprivileged_bpf_disabled",
    "kernel.unprivileged_userns_clone",
    "kernel.yama.ptrace_scope",
    "user.max_user_namespaces",
    "vm.unprivileged_userfaultfd",
)


def read(path: Path) -> str | None:
    """A small text file, stripped; None where it is missing or closed to this user."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def settings(proc: Path = PROC) -> tuple[tuple[str, str], ...]:
    """The sysctls above that this kernel has and shows."""
    values = ((name, read(proc / "sys" / name.replace(".", "/"))) for name in _SETTINGS)
    return tuple((name, value) for name, value in values if value is not None)


def swaps(proc: Path = PROC) -> tuple[str, ...] | None:
    """The swap devices and files, compressed memory (zram) left out: it is no disk."""
    text = read(proc / "swaps")
    if text is None:
        return None
    names = (line.split()[0] for line in text.splitlines()[1:])
    return tuple(name for name in names if not name.startswith("/dev/zram"))


def vulnerable(sys: Path = SYS) -> tuple[str, ...] | None:
    """The CPU's known flaws that nothing mitigates, by the kernel's own words."""
    try:
        files = sorted((sys / "devices/system/cpu/vulnerabilities").iterdir())
    except OSError:
        return None
    return tuple(path.name for path in files if (read(path) or "").startswith("Vulnerable"))


def free_memory(proc: Path = PROC) -> int | None:
    """Bytes that programs can have without swapping."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", read(proc / "meminfo") or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def cgroup_controllers(sys: Path = SYS) -> tuple[str, ...] | None:
    """The controllers of the unified hierarchy (version 2); None under version 1."""
    text = read(sys / "fs/cgroup/cgroup.controllers")
    return None if text is None else tuple(text.split())


def processes(proc: Path = PROC) -> frozenset[str] | None:
    """The short names of all processes; None where /proc hides those of others."""
    if read(proc / "1/comm") is None:
        return None
    return frozenset(filter(None, (read(path / "comm") for path in _running(proc))))


def engine_capabilities(proc: Path = PROC) -> int | None:
    """The capabilities that every daemon of the container stack has; None where none is seen."""
    held = None
    for process in _running(proc):
        if read(process / "comm") not in _DAEMONS:
            continue
        found = re.search(r"^CapEff:\s+([0-9a-f]+)$", read(process / "status") or "", re.MULTILINE)
        if found:
            held = int(found[1], 16) if held is None else held & int(found[1], 16)
    return held


def tcp_hosts(proc: Path = PROC, settings_file: Path = _DAEMON_JSON) -> tuple[str, ...] | None:
    """The daemon's TCP addresses by its command line and daemon.json; None where neither reads.

    The engine's own warnings tell of those without TLS even then.
    """
    lines = [
        line
        for process in _running(proc)
        if read(process / "comm") == "dockerd" and (line := read(process / "cmdline"))
    ]
    written = read(settings_file)
    if not lines and written is None:
        return None
    words = [word for line in lines for word in line.split("\0")]
    hosts = (*_written_hosts(written or ""), *(_after_equals(word) for word in words))
    return tuple(sorted({host for host in hosts if host.startswith("tcp://")}))


def docker_listeners(proc: Path = PROC) -> tuple[str, ...] | None:
    """Local addresses that listen on Docker's TCP ports; None where no table can be read."""
    tables = [read(proc / "net" / name) for name in ("tcp", "tcp6")]
    if tables == [None, None]:
        return None
    rows = (line.split() for text in tables if text for line in text.splitlines()[1:])
    local = (row[1].rpartition(":") for row in rows if row[3] == _LISTEN)
    found = {(address, int(port, 16)) for address, _, port in local if int(port, 16) in _PORTS}
    return tuple(sorted(f"{_place(address)}:{port}" for address, port in found))


def _running(proc: Path) -> Iterator[Path]:
    return (path for path in proc.iterdir() if path.name.isdecimal())


def _written_hosts(text: str) -> tuple[str, ...]:
    try:
        hosts = json.loads(text).get("hosts", ())
    except (ValueError, AttributeError):
        return ()
    return tuple(host for host in hosts if isinstance(host, str))


def _after_equals(word: str) -> str:
    """Of "-H=tcp://x", "--host=tcp://x" and "tcp://x" the address."""
    return word.partition("=")[2] if word.startswith("-") else word


def _place(address: str) -> str:
    """Whom a listener of /proc/net/tcp serves: its address is hexadecimal, in host byte order."""
    if set(address) == {"0"}:
        return "every address"
    return "loopback" if address in {"0100007F", "0" * 24 + "01000000"} else "one address"

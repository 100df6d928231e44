"""Parts of the host that a container shows: namespaces, /proc, /sys, devices, identities."""

import os
import re
from pathlib import Path

from .errors import Stopped


def writable(path: str) -> None:
    """Open for writing, and write nothing."""
    os.close(os.open(path, os.O_WRONLY))


def core_pattern(_targets: dict) -> None:
    """The program that the host's kernel starts, as root, when another crashes."""
    writable("/proc/sys/kernel/core_pattern")


def kernel_settings(_targets: dict) -> None:
    """A setting of the host's memory."""
    writable("/proc/sys/vm/drop_caches")


def masked(_targets: dict) -> None:
    """The timers of every process of the host."""
    if not Path("/proc/timer_list").read_bytes()[:64]:
        raise Stopped


def kernel_messages(_targets: dict) -> None:
    """The device through which messages of the kernel are read and written."""
    os.close(os.open("/dev/kmsg", os.O_RDWR | os.O_NONBLOCK))


def control_groups(_targets: dict) -> None:
    """Any file of a control group: its owner decides on limits and on release_agent."""
    groups = (Path(folder) for folder, _, _ in os.walk("/sys/fs/cgroup"))
    files = [group / "cgroup.procs" for group in groups if (group / "cgroup.procs").exists()]
    if not files:
        raise Stopped
    writable(str(files[0]))


def processes(targets: dict) -> None:
    """The process that watches us, known by its number and the moment it began."""
    number, began = targets["process"]
    stat = Path(f"/proc/{number}/stat").read_text()
    if int(stat.rpartition(")")[2].split()[19]) != began:
        raise Stopped


def host_name(targets: dict) -> None:
    """The namespace that holds the host's name."""
    if str(Path("/proc/self/ns/uts").readlink()) != targets["uts"]:
        raise Stopped


def other_user(_targets: dict) -> None:
    """Become another user of the host."""
    os.setresuid(54321, 54321, 54321)
    if os.getuid() != 54321:
        raise Stopped


def container_id(_targets: dict) -> None:
    """The number by which the engine's own records know us."""
    if not re.search("[0-9a-f]{64}", Path("/proc/self/cgroup").read_text()):
        raise Stopped


def boot(targets: dict) -> None:
    """The number of the host's last start, one of many facts that tell hosts apart."""
    found = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if found != targets["boot"]:
        raise Stopped


PROBES = {
    "k-proc-core-pattern": core_pattern,
    "k-proc-sys": kernel_settings,
    "k-masked-proc": masked,
    "k-dev-kmsg": kernel_messages,
    "k-cgroup-write": control_groups,
    "k-host-pids": processes,
    "k-host-name": host_name,
    "k-caps-suid": other_user,
    "side-cgroup-id": container_id,
    "side-host-procfs": boot,
}

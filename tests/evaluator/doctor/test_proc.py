"""What /proc and /sys hold, as recorded, and what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evaluator.doctor import proc

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = "  sl  local_address rem_address   st tx_queue rx_queue\n"


def put(root: Path, name: str, text: str) -> Path:
    """A file of a /proc of our own."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def process(root: Path, number: int, name: str, *command: str, capabilities: str = "0") -> None:
    """One running program."""
    put(root, f"{number}/comm", f"{name}\n")
    put(root, f"{number}/cmdline", "".join(f"{word}\0" for word in command))
    put(root, f"{number}/status", f"Name:\t{name}\nCapEff:\t{capabilities:0>16}\n")


def test_a_setting_that_the_kernel_lacks_is_left_out(tmp_path: Path) -> None:
    """Never guessed."""
    put(tmp_path, "sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P\n")

    expected = (("kernel.core_pattern", "|/usr/lib/systemd/systemd-coredump %P"),)
    assert proc.settings(tmp_path) == expected


def test_compressed_memory_is_no_swap(tmp_path: Path) -> None:
    """It never reaches a disk; a file and a partition do."""
    table = "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 5\n/swap file 1 0 -2\n"
    put(tmp_path, "swaps", table)

    assert proc.swaps(tmp_path) == ("/swap",)


def test_a_table_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """Of swaps, memory, sockets, processes, controllers and flaws."""
    assert proc.swaps(tmp_path) is None
    assert proc.free_memory(tmp_path) is None
    assert proc.docker_listeners(tmp_path) is None
    assert proc.processes(tmp_path) is None
    assert proc.cgroup_controllers(tmp_path) is None
    assert proc.vulnerable(tmp_path) is None
    assert proc.engine_capabilities(tmp_path) is None
    assert proc.tcp_hosts(tmp_path, tmp_path / "daemon.json") is None


def test_a_flaw_is_one_that_nothing_mitigates(tmp_path: Path) -> None:
    """By the kernel's first word."""
    folder = "devices/system/cpu/vulnerabilities"
    for name, text in {
        "retbleed": "Vulnerable\n",
        "srso": "Vulnerable: No microcode\n",
        "meltdown": "Not affected\n",
        "spectre_v2": "Mitigation: Retpolines\n",
    }.items():
        put(tmp_path, f"{folder}/{name}", text)

    assert proc.vulnerable(tmp_path) == ("retbleed", "srso")


def test_free_memory_is_in_bytes(tmp_path: Path) -> None:
    """What programs can have, not what is unused."""
    put(tmp_path, "meminfo", "MemTotal: 100 kB\nMemFree:  10 kB\nMemAvailable:   48 kB\n")

    assert proc.free_memory(tmp_path) == 48 * 1024


def test_a_listener_on_dockers_port_is_seen(tmp_path: Path) -> None:
    """2375 and 2376 that listen, on version 4 or 6; a client's own port 2375 is none."""
    four = _HEADER + (
        "   0: 00000000:0947 00000000:0000 0A\n"
        "   1: 0100007F:0948 00000000:0000 0A\n"
        "   2: 0100007F:0947 0100007F:1F90 01\n"
        "   3: 00000000:0016 00000000:0000 0A\n"
    )
    put(tmp_path, "net/tcp", four)
    put(tmp_path, "net/tcp6", _HEADER + f"   0: {'0' * 24}01000000:0947 {'0' * 32}:0000 0A\n")

    expected = ("every address:2375", "loopback:2375", "loopback:2376")
    assert proc.docker_listeners(tmp_path) == expected


def test_no_listener_is_not_unknown(tmp_path: Path) -> None:
    """A host without IPv6 has one table."""
    put(tmp_path, "net/tcp", _HEADER)

    assert proc.docker_listeners(tmp_path) == ()


@pytest.mark.parametrize(
    ("command", "written"),
    [
        (("dockerd", "-H", "tcp://0.0.0.0:2376", "--tlsverify"), None),
        (("dockerd", "-H=tcp://0.0.0.0:2376"), "{}"),
        (("dockerd", "--host=tcp://0.0.0.0:2376"), "not json"),
        (("dockerd", "-H", "fd://"), '{"hosts": ["tcp://0.0.0.0:2376", 7]}'),
    ],
)
def test_the_daemons_tcp_address_is_found(
    tmp_path: Path, command: tuple[str, ...], written: str | None
) -> None:
    """On its command line in every way to write it, or in daemon.json."""
    process(tmp_path, 71, "dockerd", *command)
    if written is not None:
        put(tmp_path, "daemon.json", written)

    assert proc.tcp_hosts(tmp_path, tmp_path / "daemon.json") == ("tcp://0.0.0.0:2376",)


def test_a_daemon_without_tcp_has_no_address(tmp_path: Path) -> None:
    """The control; and another program's words are not the daemon's."""
    process(tmp_path, 71, "dockerd", "dockerd", "-H", "fd://")
    process(tmp_path, 72, "curl", "curl", "tcp://0.0.0.0:2376")

    assert proc.tcp_hosts(tmp_path, tmp_path / "daemon.json") == ()


def test_the_daemons_capabilities_are_what_all_of_them_have(tmp_path: Path) -> None:
    """A shim inherits from containerd, so the least counts."""
    process(tmp_path, 1, "systemd", capabilities="1ffffffffff")
    process(tmp_path, 71, "dockerd", capabilities="1ffffffffff")
    process(tmp_path, 72, "containerd", capabilities="1fffeffffff")

    assert proc.engine_capabilities(tmp_path) == 0x1FFFEFFFFFF


def test_processes_are_known_by_their_short_names(tmp_path: Path) -> None:
    """Of a /proc that hides nothing."""
    process(tmp_path, 1, "systemd")
    process(tmp_path, 44, "rsyslogd")
    put(tmp_path, "self/comm", "not a number\n")

    assert proc.processes(tmp_path) == frozenset({"systemd", "rsyslogd"})

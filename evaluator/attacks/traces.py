"""Traces that a container leaves on the host, read with no more rights than an operator has."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

COMM = 15  # the kernel keeps this much of a process's name


class Traces:
    """Watches for the traces of one container, for as long as the block lasts.

    `targets` is what the probe is told of this host. `seen()` names the traces: "lock" on the
    tiles, "shm" and "segment" in the host's shared memory, "orphan" for a process, "kernel-log".
    `blind` names what this user may not look at.
    """

    def __init__(self, marker: str, tiles: Path) -> None:
        """`marker` is what the probe leaves behind; `tiles` is mounted into the container."""
        self.targets: dict[str, object] = {
            "process": own_process(),
            "uts": str(Path("/proc/self/ns/uts").readlink()),
            "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        }
        self._marker = marker
        self._tiles = tiles
        self._locked = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._open_tiles, daemon=True)

    def __enter__(self) -> Self:
        """Start to watch."""
        self._log = KernelLog()
        self.blind = frozenset() if self._log.readable else frozenset({"kernel-log"})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Watch no more."""
        self._ended.set()
        self._thread.join()
        self._log.close()

    def seen(self) -> frozenset[str]:
        """What the container has left by now; ask when it has ended."""
        found = {
            "lock": self._locked,
            "shm": shared_file(self._marker),
            "segment": shared_segment(self._marker),
            "orphan": process_named(self._marker),
            "kernel-log": self._log.has(self._marker[:COMM]),
        }
        return frozenset(name for name, there in found.items() if there)

    def _open_tiles(self) -> None:
        """Be the other run: open the tiles again and again, and meet whoever has locked them."""
        while not self._ended.wait(0.05):
            with self._tiles.open("rb") as tiles:
                try:
                    fcntl.flock(tiles, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._locked = True


def own_process() -> tuple[int, int]:
    """Our pid, and the moment we began, in clock ticks after the boot (proc(5), field 22)."""
    stat = Path("/proc/self/stat").read_text()
    return os.getpid(), int(stat.rpartition(")")[2].split()[19])


def process_named(name: str) -> bool:
    """Whether a process of that name runs on this host, in whatever container."""
    for file in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if file.read_text().strip() == name[:COMM]:
                return True
    return False


def shared_file(name: str) -> bool:
    """Whether the host's own /dev/shm has a file of that name; it is removed."""
    file = Path("/dev/shm", name)  # noqa: S108 - looked for, not made
    if not file.exists():
        return False
    with suppress(OSError):
        file.unlink()
    return True


def shared_segment(name: str) -> bool:
    """Whether the host itself has a System V segment whose key is the start of `name`, in hex."""
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return int(name[:7], 16) in {int(row.split()[0]) for row in rows}


class KernelLog:
    """What the kernel says from now on; `readable` is False where this user may not read it."""

    def __init__(self) -> None:
        """Start at the end of what it has said."""
        self._messages = -1
        with suppress(OSError):
            self._messages = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
            os.lseek(self._messages, 0, os.SEEK_END)

    @property
    def readable(self) -> bool:
        """Whether there is anything to go by."""
        return self._messages >= 0

    def has(self, text: str) -> bool:
        """Whether a message since the start holds the text."""
        found = False
        with suppress(OSError):  # BlockingIOError is the end
            while self.readable:
                found |= text.encode() in os.read(self._messages, 8192)
        return found

    def close(self) -> None:
        """Read no more."""
        if self.readable:
            os.close(self._messages)

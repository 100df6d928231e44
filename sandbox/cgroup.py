"""What a container has used, out of its cgroup: version 1's hierarchies and version 2's tree.

Any user of the host may read these files. A cgroup is the container's by the id in its path,
which the engine gave; nothing inside the container can say another. It is there from shortly
before the program starts until shortly after it ends, and all that runs for the container is in
it: under gVisor the sandbox's own kernel too.

Memory counts the page cache of files that the container was the first to read. Block devices are
summed; one that lies on another (LVM, dm-crypt) counts on both. Version 1 counts what is written
through the page cache only when the container itself waits for the disk (fsync, direct writing),
and on recent kernels (6.18 was seen) nothing at all of a disk for which it has no throttle: there
the figures are 0.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROC = Path("/proc")
# How the engine names a container's cgroup: by its drivers cgroupfs and systemd.
_NAMES = ("docker/{}", "system.slice/docker-{}.scope")
_ENOUGH = 2**16  # bytes of a file: one short line for each block device, at most
_ROOT = PurePosixPath("/")
_WANTED = frozenset({"cpuacct", "memory", "blkio"})


@dataclass(frozen=True, slots=True)
class Reading:
    """One moment: CPU seconds so far, the most memory so far, bytes from and to block devices."""

    cpu: float
    memory: int = 0
    read: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree of cgroups: its controllers (none named: version 2), and which part it is.

    `own` is the cgroup of this process in it, `root` the one that is mounted at `path`.
    """

    controllers: frozenset[str]
    root: PurePosixPath
    path: Path
    own: PurePosixPath


def hierarchies(proc: Path = PROC) -> tuple[Hierarchy, ...]:
    """Every tree of cgroups that says something of what is used, and that this process can see."""
    try:
        own = _cgroups(proc / "self")
        mounted = _mounted((proc / "self/mountinfo").read_text(), own)
        trees = tuple(
            tree for tree in mounted if not tree.controllers or _WANTED & tree.controllers
        )
    except (OSError, ValueError):
        return ()
    # Beside version 1 (systemd's hybrid), version 2 has no controllers and not every process.
    first = tuple(tree for tree in trees if tree.controllers)
    return first if any("cpuacct" in tree.controllers for tree in first) else trees


def _mounted(mountinfo: str, own: Mapping[str, PurePosixPath]) -> Iterator[Hierarchy]:
    for line in mountinfo.splitlines():
        mount, _, file_system = line.partition(" - ")
        kind, _, options = file_system.split(" ", 2)
        if kind not in {"cgroup", "cgroup2"}:
            continue
        controllers = frozenset(options.split(",") if kind == "cgroup" else ())
        root, path = map(_unescaped, mount.split(" ")[3:5])
        of_this = _path_in(own, controllers) or _ROOT
        yield Hierarchy(controllers, PurePosixPath(root), Path(path), of_this)


def _unescaped(field: str) -> str:
    """A path of mountinfo, which writes blanks as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field)


def _cgroups(process: Path) -> dict[str, PurePosixPath]:
    """The cgroups of a process by their controllers; "" is version 2's."""
    fields = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
    return {controllers: PurePosixPath(path) for _, controllers, path in fields}


def _path_in(
    cgroups: Mapping[str, PurePosixPath], controllers: frozenset[str]
) -> PurePosixPath | None:
    if not controllers:
        return cgroups.get("")
    named = ((set(names.split(",")), path) for names, path in cgroups.items() if names)
    return next((path for names, path in named if names <= controllers), None)


def find(
    trees: tuple[Hierarchy, ...], container: str, pid: int = 0, proc: Path = PROC
) -> Cgroup | None:
    """The cgroup of the container with this id; None where it is not to be seen.

    `pid` is what the engine calls the container's first process. It may be another process here,
    where the engine has process numbers of its own: it counts only if its cgroup has the id.
    """
    process: dict[str, PurePosixPath] = {}
    if pid:
        with suppress(OSError, ValueError):
            process = _cgroups(proc / str(pid))
    cgroup = Cgroup(partial(_folders, trees, container, process))
    return cgroup if cgroup.read() else None


def _folders(
    trees: tuple[Hierarchy, ...], container: str, process: Mapping[str, PurePosixPath]
) -> dict[str, Path]:
    """The container's folders by controller."""
    found: dict[str, Path] = {}
    for tree in trees:
        folder = _folder(tree, container, _path_in(process, tree.controllers))
        if folder is not None:
            found |= dict.fromkeys(tree.controllers or {""}, folder)
    return found


def _folder(tree: Hierarchy, container: str, of_process: PurePosixPath | None) -> Path | None:
    bases = (tree.root, tree.own, *tree.own.parents)  # an engine in a container is below its own
    given = [of_process] if of_process and container in of_process.name else []
    named = [base / name.format(container) for base in bases for name in _NAMES]
    for cgroup in (*given, *named):
        if cgroup.is_relative_to(tree.root):
            below = cgroup.relative_to(tree.root)
            if ".." not in below.parts and (tree.path / below).is_dir():
                return tree.path / below
    return None


class _File:
    """A file that stays open: to read it again costs a few microseconds."""

    def __init__(self, path: Path, parse: Callable[[str], tuple[float, ...]]) -> None:
        self._parse = parse
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def values(self) -> tuple[float, ...] | None:
        """Its figures, or None when its cgroup is gone."""
        try:
            return self._parse(os.pread(self.descriptor, _ENOUGH, 0).decode())
        except (OSError, ValueError, LookupError):
            return None


class Cgroup:
    """The cgroup of one container, with its files open."""

    name: Literal["cgroup"] = "cgroup"

    def __init__(self, look: Callable[[], Mapping[str, Path]]) -> None:
        """`look` finds its folders: version 1's appear one after the other."""
        self._look = look
        self._cpu: _File | None = None
        self._memory: _File | None = None
        self._blocks: _File | None = None
        self._last = Reading(0.0)

    def read(self) -> Reading | None:
        """The figures of now, or None when the cgroup is gone: nothing runs in it any more."""
        if not (self._cpu and self._memory and self._blocks):
            self._open(self._look())
        cpu = self._cpu and self._cpu.values()
        if not cpu:
            return None
        # Version 1's trees go one after the other too: what is gone keeps its last figures.
        memory = self._memory and self._memory.values()
        blocks = self._blocks and self._blocks.values()
        most = max(self._last.memory, int(memory[0]) if memory else 0)
        read, written = map(int, blocks or (self._last.read, self._last.written))
        self._last = Reading(cpu[0], most, read, written)
        return self._last

    def _open(self, folders: Mapping[str, Path]) -> None:
        self._cpu = self._cpu or _open(_CPU, folders)
        self._memory = self._memory or _open(_MEMORY, folders)
        self._blocks = self._blocks or _open(_BLOCKS, folders)

    def close(self) -> None:
        """Let go of the files."""
        for file in (self._cpu, self._memory, self._blocks):
            if file is not None:
                os.close(file.descriptor)


_Way = tuple[str, str, "Callable[[str], tuple[float, ...]]"]


def _open(ways: tuple[_Way, ...], folders: Mapping[str, Path]) -> _File | None:
    """The first file of a list that is there and has figures."""
    for controller, name, parse in ways:
        if controller in folders:
            with suppress(OSError):
                file = _File(folders[controller] / name, parse)
                if file.values() is not None:
                    return file
                os.close(file.descriptor)
    return None


def _nanoseconds(text: str) -> tuple[float]:
    return (int(text) / 1e9,)


def _microseconds(text: str) -> tuple[float]:
    figures = dict(line.split() for line in text.splitlines())
    return (int(figures["usage_usec"]) / 1e6,)


def _bytes(text: str) -> tuple[float]:
    return (int(text),)


def _blocks_v1(text: str) -> tuple[int, int]:
    """Lines such as "8:0 Read 4096", and a sum without a device."""
    fields = [line.split() for line in text.splitlines()]
    sums = (sum(int(f[2]) for f in fields if f[1] == kind) for kind in ("Read", "Write"))
    read, written = sums
    return read, written


def _blocks_v2(text: str) -> tuple[int, int]:
    """Lines such as "8:0 rbytes=4096 wbytes=0 rios=1 ..."."""
    figures = [field.partition("=") for field in text.split()]
    sums = (sum(int(n) for key, _, n in figures if key == kind) for kind in ("rbytes", "wbytes"))
    read, written = sums
    return read, written


# Where each figure is: the controller ("": version 2), the file, how it reads.
_CPU: tuple[_Way, ...] = (
    ("cpuacct", "cpuacct.usage", _nanoseconds),
    ("", "cpu.stat", _microseconds),
)
_MEMORY: tuple[_Way, ...] = (
    ("memory", "memory.max_usage_in_bytes", _bytes),
    ("", "memory.peak", _bytes),  # since Linux 5.19
    ("", "memory.current", _bytes),  # before: the most of what was seen
)
_BLOCKS: tuple[_Way, ...] = (
    ("blkio", "blkio.throttle.io_service_bytes_recursive", _blocks_v1),
    ("blkio", "blkio.throttle.io_service_bytes", _blocks_v1),
    ("", "io.stat", _blocks_v2),
)

"""A container's cgroup on recorded trees: version 1, version 2, an engine inside a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.cgroup import Cgroup, Reading, find, hierarchies

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ID = "4f" * 32
V2 = {
    "cpu.stat": "usage_usec 1500000\nuser_usec 1400000\nsystem_usec 100000\nnr_periods 15\n",
    "memory.current": "4096\n",
    "memory.peak": "8192\n",
    "io.stat": "8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n253:0 rbytes=5 wbytes=7\n",
}
V1 = {
    "cpuacct": {"cpuacct.usage": "2500000000\n"},
    "memory": {"memory.max_usage_in_bytes": "12288\n"},
    "blkio": {
        "blkio.throttle.io_service_bytes": "8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\n"
        "8:16 Read 1\n8:16 Write 2\n8:16 Total 3\nTotal 4611\n"
    },
}


def fill(folder: Path, files: dict[str, str]) -> Path:
    """Write the files of one cgroup."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


class Host:
    """A /proc and the trees that its mountinfo names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc = root / "proc"
        self.mounts: list[str] = []
        (self.proc / "self").mkdir(parents=True)

    def mount(self, kind: str, options: str, where: str = "fs", root: str = "/") -> Path:
        """Mount a tree of cgroups; returns where."""
        path = self.root / where
        escaped = str(path).replace(" ", "\\040")
        self.mounts.append(
            f"31 23 0:28 {root} {escaped} rw,nosuid shared:9 - {kind} none {options}"
        )
        path.mkdir(parents=True, exist_ok=True)
        return path

    def find(self, own: str = "0::/user.slice\n", pid: int = 0) -> Cgroup | None:
        """Look for the container as a process in these cgroups."""
        other = "22 1 8:1 / / rw - ext4 /dev/sda1 rw"
        (self.proc / "self/mountinfo").write_text("\n".join([other, *self.mounts, ""]))
        (self.proc / "self/cgroup").write_text(own)
        return find(hierarchies(self.proc), ID, pid, self.proc)

    def process(self, pid: int, cgroups: str) -> None:
        """Another process."""
        fill(self.proc / str(pid), {"cgroup": cgroups})


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host whose paths have a blank in them."""
    return Host(tmp_path / "a host")


@pytest.mark.parametrize("name", [f"docker/{ID}", f"system.slice/docker-{ID}.scope"])
def test_version_2_is_read_under_both_of_dockers_drivers(host: Host, name: str) -> None:
    """CPU time, the kernel's own peak, and the bytes of all devices."""
    fill(host.mount("cgroup2", "rw") / name, V2)
    cgroup = host.find()

    assert cgroup is not None
    assert cgroup.read() == Reading(cpu=1.5, memory=8192, read=105, written=27)
    cgroup.close()


@pytest.mark.parametrize("name", [f"docker/{ID}", f"system.slice/docker-{ID}.scope"])
def test_version_1_is_read_under_both_of_dockers_drivers(host: Host, name: str) -> None:
    """Each figure from its own hierarchy, whose controllers may be mounted together."""
    for tree, files in V1.items():
        options = "rw,cpu,cpuacct" if tree == "cpuacct" else f"rw,{tree}"
        fill(host.mount("cgroup", options, tree) / name, files)
    cgroup = host.find("5:cpu,cpuacct:/a\n4:memory:/b\n3:blkio:/\n0::/\n")

    assert cgroup is not None
    assert cgroup.read() == Reading(cpu=2.5, memory=12288, read=4097, written=514)
    cgroup.close()


def test_beside_version_1_the_bare_version_2_is_not_read(host: Host) -> None:
    """The hybrid of systemd, where not every runtime puts its processes into it."""
    fill(host.mount("cgroup2", "rw", "unified") / f"docker/{ID}", {"cpu.stat": "usage_usec 0\n"})
    fill(host.mount("cgroup", "rw,cpuacct", "cpuacct") / f"docker/{ID}", V1["cpuacct"])
    cgroup = host.find("2:cpuacct:/\n0::/\n")

    assert cgroup is not None
    assert cgroup.read() == Reading(cpu=2.5)


def test_without_the_kernels_peak_the_most_that_was_seen_counts(host: Host) -> None:
    """Before Linux 5.19; and a tree without controllers has CPU time only."""
    files = {
        name: content for name, content in V2.items() if name not in {"memory.peak", "io.stat"}
    }
    folder = fill(host.mount("cgroup2", "rw") / f"docker/{ID}", files)
    cgroup = host.find()
    assert cgroup is not None
    for current in ("4096", "9000", "100"):
        (folder / "memory.current").write_text(current)
        reading = cgroup.read()

    assert reading == Reading(cpu=1.5, memory=9000)


@pytest.mark.parametrize(
    ("root", "own", "below"),
    [
        ("/", "0::/docker/outer/init\n", "docker/outer"),  # an engine that runs in a container
        ("/docker/outer", "0::/docker/outer/init\n", ""),  # that sees only its own part
        ("/..", "0::/\n", ""),  # in a cgroup namespace within that of the mount
    ],
)
def test_an_engine_in_a_container_is_looked_for_below_it(
    host: Host, root: str, own: str, below: str
) -> None:
    """Its containers are in the cgroup of this process, or of one above."""
    fill(host.mount("cgroup2", "rw", root=root) / below / f"docker/{ID}", V2)
    cgroup = host.find(own)

    assert cgroup is not None
    assert cgroup.read() is not None


def test_the_engines_process_number_leads_to_any_cgroup_with_the_id(host: Host) -> None:
    """A cgroup parent of the operator's, or a rootless engine's own slice."""
    fill(host.mount("cgroup2", "rw") / f"user.slice/mine/docker-{ID}.scope", V2)
    host.process(77, f"0::/user.slice/mine/docker-{ID}.scope\n")

    assert host.find() is None
    assert host.find(pid=77) is not None


@pytest.mark.parametrize(
    "cgroups",
    [
        "0::/user.slice/mine/another\n",  # of another number space
        f"0::/user.slice/{ID}/child\n",  # the id is not that of the cgroup itself
        f"0::/../../{ID}\n",  # outside of what is mounted here
        "nonsense\n",
    ],
)
def test_a_process_without_the_id_leads_nowhere(host: Host, cgroups: str) -> None:
    """The engine may have process numbers of its own."""
    fs = host.mount("cgroup2", "rw", "a/b/fs")
    for folder in ("user.slice/mine/another", f"user.slice/{ID}/child", f"../../{ID}"):
        fill(fs / folder, V2)
    host.process(77, cgroups)

    assert host.find(pid=77) is None


def test_another_containers_cgroup_is_not_taken(host: Host) -> None:
    """The id is compared whole."""
    fill(host.mount("cgroup2", "rw") / f"docker/{ID[:-1]}0", V2)

    assert host.find() is None


def test_a_host_without_cgroups_has_none(host: Host) -> None:
    """Nothing mounted, or no /proc at all."""
    assert host.find() is None
    assert hierarchies(host.root / "nowhere") == ()


def test_hierarchies_that_appear_and_vanish_one_by_one(host: Host) -> None:
    """A figure is read from when it is there, and stays when its hierarchy has gone first."""
    trees = {tree: host.mount("cgroup", f"rw,{tree}", tree) for tree in V1}
    own = "5:cpuacct:/\n4:memory:/\n3:blkio:/\n"
    fill(trees["cpuacct"] / f"docker/{ID}", V1["cpuacct"])
    cgroup = host.find(own)
    assert cgroup is not None
    assert cgroup.read() == Reading(cpu=2.5)

    memory = fill(trees["memory"] / f"docker/{ID}", V1["memory"])
    assert cgroup.read() == Reading(cpu=2.5, memory=12288)

    (memory / "memory.max_usage_in_bytes").write_text("")  # stands for a hierarchy that has gone
    assert cgroup.read() == Reading(cpu=2.5, memory=12288)

    (trees["cpuacct"] / f"docker/{ID}/cpuacct.usage").write_text("")
    assert cgroup.read() is None


@pytest.mark.parametrize("change", [dict.clear, lambda files: files.update({"cpu.stat": "odd\n"})])
def test_a_folder_without_cpu_time_is_no_cgroup(
    host: Host, change: Callable[[dict[str, str]], None]
) -> None:
    """Not there yet, or not as the kernel writes it: looked for again."""
    files = dict(V2)
    change(files)
    fill(host.mount("cgroup2", "rw") / f"docker/{ID}", files)

    assert host.find() is None

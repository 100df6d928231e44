"""Slots: runs side by side, each on CPUs and on a copy of the tiles of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest

import sandbox
from evaluator.verify import verify
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evaluator.predicate import Predicate
    from tests.official.conftest import Ended

    Run = Callable[..., Ended]
    Start = Callable[..., subprocess.Popen[str]]

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="Two slots need two CPUs."),
]

# A rendezvous: it predicts and ends when it is told to, and not before.
WAITS = "trap 'head -c 30 /dev/zero > /output/predictions; exit' USR1\nwhile :; do sleep 0.05; done"
LONG = 240  # seconds; other runs of this host may come first
A_WHILE = 3  # seconds in which nothing happens


@pytest.fixture(scope="module")
def one_cpu(sealed_workspace: Path, command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose runs get one CPU, and whose wall has been tried under that."""
    root = tmp_path_factory.mktemp("slots") / "farm"
    shutil.copytree(sealed_workspace, root)
    change(root, "cpus", "1.0")
    assert command("doctor", "--workspace", root).code == 0
    return root


@pytest.fixture
def workspace(one_cpu: Path, tmp_path: Path) -> Path:
    """A copy to spoil, with one slot."""
    return shutil.copytree(one_cpu, tmp_path / "farm")


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts the `evaluator` command."""
    started = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "evaluator", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def submitted(workspace: Path, command: Run, make_image: Callable[..., str]) -> Path:
    """The workspace, where a submission of each of two vendors waits for its run."""
    for vendor in ("acme", "zenith"):
        image = make_image(f"{WAITS} # {vendor}")
        options = ("--vendor", vendor, "--phase", "baseline", "--workspace", workspace)
        assert command("submit", image, *options).code == 0
    return workspace


def change(root: Path, name: str, value: str) -> None:
    """Change a line of the settings."""
    lines = (root / "evaluator.toml").read_text().splitlines()
    assert sum(line.startswith(f"{name} =") for line in lines) == 1
    changed = [f"{name} = {value}" if line.startswith(f"{name} =") else line for line in lines]
    (root / "evaluator.toml").write_text("\n".join(changed) + "\n")


def running(root: Path) -> list[dict[str, Any]]:
    """The containers that read tiles of this workspace, as the engine describes them."""
    client, found = sandbox.connect(), []
    for container in client.containers(filters={"label": "evaluator.verb=predict"}):
        with suppress(docker.errors.NotFound):
            found.append(client.inspect_container(container["Id"]))
    return [each for each in found if tiles_of(each).startswith(f"{root}/")]


def tiles_of(container: dict[str, Any]) -> str:
    """Where on the host its tiles lie."""
    (source,) = [
        mount["Source"]
        for mount in container["Mounts"]
        if mount["Destination"] == "/input/tiles.npy"
    ]
    return str(source)


def wait_for_containers(root: Path, count: int) -> list[dict[str, Any]]:
    """As many containers at one time."""
    deadline = time.monotonic() + LONG
    while len(found := running(root)) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} ever ran at once"
        time.sleep(0.1)
    return found


def let_end(root: Path, workers: list[subprocess.Popen[str]], most: int) -> list[str]:
    """Tell every container to predict until the workers have ended; what these said.

    No more than `most` run at any time.
    """
    client, deadline = sandbox.connect(), time.monotonic() + LONG
    told: dict[str, float] = {}
    while any(worker.poll() is None for worker in workers):
        assert time.monotonic() < deadline
        found = [str(each["Id"]) for each in running(root)]
        assert len(found) <= most
        for container in found:
            # Once it has set its trap, and not as it ends: the engine takes that for a kill.
            now = time.monotonic()
            if now > told.setdefault(container, now) + A_WHILE:
                told[container] = now + LONG / 10
                with suppress(docker.errors.APIError):
                    client.kill(container, "USR1")
        time.sleep(0.2)
    return [worker.communicate()[1] for worker in workers]


def results(root: Path) -> list[Predicate]:
    """The signed results, which verify."""
    workspace = Workspace(root)
    key = workspace.public_key.read_bytes()
    return [verify(path.read_bytes(), key).result.predicate for path in workspace.results()]


def test_two_slots_run_two_submissions_at_once(
    start: Start, submitted: Path, traces: Callable[[], list[str]]
) -> None:
    """Neither ends before both run. CPUs, tiles and admitted images are each one's own."""
    change(submitted, "slots", '["0", "1"]')
    workers = [start("work", "--workspace", submitted) for _ in range(2)]
    both = wait_for_containers(submitted, 2)
    said = let_end(submitted, workers, most=2)

    assert [worker.returncode for worker in workers] == [0, 0], said
    assert sorted(each["HostConfig"]["CpusetCpus"] for each in both) == ["0", "1"]
    sources = {tiles_of(each) for each in both}
    assert {source.removeprefix(f"{submitted}/").split("/")[0] for source in sources} == {
        "data",
        "slots",
    }
    assert len({each["Config"]["Labels"]["evaluator.run"] for each in both}) == 2
    assert len({each["Config"]["Labels"]["evaluator.image"] for each in both}) == 2
    assert [each.sandbox.co_resident for each in results(submitted)] == [True, True]
    assert sorted(each.vendor for each in results(submitted)) == ["acme", "zenith"]
    assert traces() == []


def test_with_one_slot_they_never_overlap(start: Start, submitted: Path) -> None:
    """The control: the other worker waits, however long the first takes."""
    workers = [start("work", "--workspace", submitted) for _ in range(2)]
    wait_for_containers(submitted, 1)
    time.sleep(A_WHILE)
    assert len(running(submitted)) == 1
    said = let_end(submitted, workers, most=1)

    assert [worker.returncode for worker in workers] == [0, 0], said
    assert any("Another run has this host" in each for each in said)
    assert [each.sandbox.co_resident for each in results(submitted)] == [False, False]


def test_a_workspace_with_one_slot_waits_for_both_slots_to_end(
    start: Start, submitted: Path, one_cpu: Path, make_image: Callable[..., str], tmp_path: Path
) -> None:
    """It has the host to itself, whatever another owner of it has chosen."""
    change(submitted, "slots", '["0", "1"]')
    alone = shutil.copytree(one_cpu, tmp_path / "alone")
    workers = [start("work", "--workspace", submitted) for _ in range(2)]
    wait_for_containers(submitted, 2)
    image = make_image("head -c 30 /dev/zero > /output/predictions")
    options = ("--vendor", "acme", "--phase", "baseline", "--workspace", alone)
    other = start("run", image, *options)
    assert other.stderr is not None
    said = iter(other.stderr.readline, "")
    assert any("Another run has this host" in line for line in said)
    time.sleep(A_WHILE)
    assert other.poll() is None
    assert running(alone) == []
    let_end(submitted, workers, most=2)

    assert other.wait(LONG) in {0, 1}
    assert [each.sandbox.co_resident for each in results(alone)] == [False]

"""A disk that is full: before, during and at the end of the work."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import docker
import pytest

from tests.faults.engine import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.conftest import Images
    from tests.faults.engine import Engine

    Start = Callable[..., subprocess.Popen[str]]
    Evaluator = Callable[..., tuple[int, str]]
    Traces = Callable[[Path], list[str]]

pytestmark = pytest.mark.docker

ROOM = 80  # MiB: enough for a run, whose reserve is 1 MiB and its headroom 64


@pytest.fixture
def small_farm(engine_to_break: Engine, sealed: Path, tmp_path: Path) -> Iterator[Path]:  # noqa: ARG001 - skips where not root
    """A workspace on a small file system of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "none", disk], check=True)
    shutil.copytree(sealed, disk / "farm")
    yield disk / "farm"
    subprocess.run(["umount", disk], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Nothing more fits while this lasts."""
    hog = disk / "hog"
    with suppress(OSError), hog.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**20))
    with suppress(OSError), hog.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(2**10))
    yield
    hog.unlink()


def test_a_submission_that_does_not_fit_is_no_result(
    evaluator: Evaluator, small_farm: Path, images: Images, tmp_path: Path, traces: Traces
) -> None:
    """Receiving stops at the full disk; with less to receive, the next run is well."""
    large = tmp_path / "large.tar"
    large.touch()
    os.truncate(large, 2 * ROOM * 2**20)
    code, said = evaluator("run", large, "--vendor", "acme", "--workspace", small_farm)

    assert (code, "No space left on device" in said) == (3, True), said
    assert traces(small_farm) == []
    assert evaluator("run", images.quick, "--vendor", "a", "--workspace", small_farm)[0] == 0


def test_a_disk_that_is_full_at_the_start_is_no_result(
    evaluator: Evaluator, small_farm: Path, images: Images, traces: Traces
) -> None:
    """A sentence about the disk, and nothing has run."""
    with filled(small_farm.parent):
        code, said = evaluator("run", images.quick, "--vendor", "a", "--workspace", small_farm)

    assert (code, traces(small_farm)) == (3, []), said
    assert said.splitlines()[-1].startswith("Error: The "), said


def test_a_disk_that_fills_while_the_program_runs_is_no_result(
    start: Start,
    small_farm: Path,
    engine_to_break: Engine,
    images: Images,
    traces: Traces,
    set_values: Callable[..., None],
) -> None:
    """The result cannot be written, so neither of its two documents is left."""
    set_values(small_farm / "policies" / "sandbox.toml", tmp_bytes=4096, shm_bytes=4096)
    process = start("run", images.waits, "--vendor", "acme", "--workspace", small_farm)
    client = engine_to_break.client()

    def running() -> list[dict[str, str]]:
        found: list[dict[str, str]] = client.containers(filters={"label": "evaluator.run"})
        return found

    wait_for(running, "the container")
    with filled(small_farm.parent):
        while process.poll() is None:  # it may not have set its trap yet, so more than once
            for container in running():
                with suppress(docker.errors.APIError):
                    client.kill(container["Id"], "USR1")
        assert process.stderr is not None
        said = process.stderr.read()

    assert (process.returncode, traces(small_farm)) == (3, []), said
    assert "The disk is full." in said


def test_an_import_that_does_not_fit_brings_in_nothing(
    evaluator: Evaluator,
    small_farm: Path,
    tmp_path: Path,
    traces: Traces,
    write_tiles: Callable[[Path, int], Path],
) -> None:
    """The version that was there stays the current one."""
    tiles = write_tiles(tmp_path / "more", 96)
    arguments = ("data", "import", tiles, "--holdout", 12, "--workspace", small_farm)
    with filled(small_farm.parent):
        code, said = evaluator(*arguments)

    assert (code, "is full" in said) == (3, True), said
    assert traces(small_farm) == []
    assert [path.name for path in (small_farm / "data").glob("[0-9]*")] == ["1"]
    assert evaluator(*arguments)[0] == 0

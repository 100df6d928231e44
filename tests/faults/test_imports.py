"""Interruptions of an import, and of building images."""

from __future__ import annotations

import os
import signal
import tarfile
from typing import TYPE_CHECKING

import pytest

from evaluator.images import EXAMPLES, name_of
from tests.faults.engine import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.engine import Door, Engine

    Start = Callable[..., subprocess.Popen[str]]
    Evaluator = Callable[..., tuple[int, str]]
    Traces = Callable[[Path], list[str]]

pytestmark = pytest.mark.docker

SENTENCE = "Interrupted; nothing unfinished is left."


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_import_brings_in_nothing(
    how: signal.Signals,
    start: Start,
    evaluator: Evaluator,
    write_tiles: Callable[[Path, int], Path],
    farm: Path,
    tmp_path: Path,
    traces: Traces,
) -> None:
    """The version that was there stays the current one, and the next import is version 2."""
    many, few = write_tiles(tmp_path / "many", 60_000), write_tiles(tmp_path / "few", 60)
    arguments = ("--holdout", 12, "--workspace", farm)
    process = start("data", "import", many, *arguments)
    wait_for((farm / "data" / ".2.tmp").exists, "the import")
    process.send_signal(how)
    _, said = process.communicate(timeout=60)

    if how is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert (process.returncode, said.strip().splitlines()[-1]) == (130, SENTENCE)
        assert traces(farm) == []
    code, said = evaluator("data", "import", few, *arguments)
    assert code == 0, said
    assert traces(farm) == []
    assert sorted(path.name for path in (farm / "data").glob("[0-9]*")) == ["1", "2"]


@pytest.fixture
def cache(tmp_path: Path, busybox: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and an mmdebstrap that brings a busybox at once, named perl."""
    program = tmp_path / "perl"
    program.write_bytes(busybox)
    with tarfile.open(tmp_path / "base.tar", "w") as archive:
        archive.add(program, "usr/bin/perl")
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "mmdebstrap"
    fake.write_text(f'#!/bin/sh\nfor target; do :; done\ncp {tmp_path}/base.tar "$target"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "evaluator"


@pytest.mark.usefixtures("model")  # so that our runner is there already
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_build_is_built_by_the_next(
    how: signal.Signals,
    start: Start,
    evaluator: Evaluator,
    door: Door,
    engine_to_break: Engine,
    cache: Path,
    farm: Path,
    traces: Traces,
) -> None:
    """No folder of it is left; the engine may still finish the image, whole and under its name."""
    client = engine_to_break.client()
    command = ("images", "build", "--example", "perl")
    door.hold("POST .*/images/create")
    process = start(*command, DOCKER_HOST=door.address)
    door.wait()
    process.send_signal(how)
    _, said = process.communicate(timeout=60)

    if how is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert (process.returncode, said.strip().splitlines()[-1]) == (130, SENTENCE)
        assert not (cache / "build").exists()
    door.let_go()
    code, said = evaluator(*command)
    assert code == 0, said
    client.remove_image(name_of(EXAMPLES["perl"]))
    assert traces(farm) == []
    assert not (cache / "build").exists()

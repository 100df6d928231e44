"""Two runs at once on one host."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.conftest import Images
    from tests.faults.engine import Door

    Start = Callable[..., subprocess.Popen[str]]
    Traces = Callable[[Path], list[str]]

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("same", [True, False], ids=["one workspace", "two workspaces"])
def test_the_second_of_two_runs_waits(
    start: Start, door: Door, images: Images, farm: Path, traces: Traces, *, same: bool
) -> None:
    """It says so, sweeps nothing of the first away, and then both are results."""
    other = farm if same else shutil.copytree(farm, farm.with_name("other"))
    door.hold("POST .*/wait")
    arguments = ("run", images.quick, "--vendor", "acme", "--workspace")
    first = start(*arguments, farm, DOCKER_HOST=door.address)
    door.wait()
    second = start(*arguments, other)
    assert second.stderr is not None
    assert second.stderr.readline() == "Receiving the submission ...\n"
    assert second.stderr.readline() == "Another run has this host; waiting for its end ...\n"
    door.let_go()

    assert [process.wait(60) for process in (first, second)] == [0, 0]
    assert len({*traces(farm), *traces(other)}) == 4

"""Two runs at once on one host."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.conftest import waiting_for_the_host

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.conftest import Images
    from tests.faults.engine import Door

    Start = Callable[..., subprocess.Popen[str]]
    Traces = Callable[[Path], list[str]]

pytestmark = pytest.mark.docker

A_MOMENT = 1  # seconds in which these few tiles would have been hashed


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


@pytest.mark.parametrize("mended", [True, False], ids=["mended meanwhile", "not mended"])
def test_tiles_are_hashed_once_the_host_is_free(
    start: Start, images: Images, farm: Path, *, mended: bool
) -> None:
    """And not while another run can still touch them: what was spoilt before is not looked at."""
    tiles = farm / "data" / "1" / "holdout" / "tiles" / "tiles.npy"
    whole = tiles.read_bytes()
    tiles.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with waiting_for_the_host(start, images.quick, farm) as process:
        time.sleep(A_MOMENT)
        if mended:
            tiles.write_bytes(whole)

    assert process.wait(60) == (0 if mended else 2)

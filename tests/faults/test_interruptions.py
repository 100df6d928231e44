"""Ctrl-C, SIGTERM, a closed terminal and `kill -9`, at every stage of a run."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from evaluator.verify import verify
from tests.faults.conftest import waiting_for_the_host
from tests.faults.engine import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.conftest import Images
    from tests.faults.engine import Door

    Start = Callable[..., subprocess.Popen[str]]
    Evaluator = Callable[..., tuple[int, str]]
    Traces = Callable[[Path], list[str]]

pytestmark = pytest.mark.docker

SENTENCE = "Interrupted; nothing unfinished is left."
LOOKING = "GET .*/containers/json.*evaluator.run%3D"
# The request to the engine that a stage waits for, and which submission has that stage.
STAGES = {
    "receiving": ("quick_id", "GET .*/images/.*/get"),
    "loading": ("quick", "POST .*/images/load"),
    "creating": ("quick", "POST .*/containers/create"),
    "starting": ("quick", "POST .*/start"),
    "predicting": ("quick", "POST .*/wait"),
    "looking for what to remove": ("quick", LOOKING),
    "removing": ("quick", "DELETE .*/containers/"),
    "looking for old images": ("quick", "GET .*/images/json.*evaluator.image"),
    "removing its image": ("quick", "DELETE .*/images/"),
    "recording": ("quick", r"GET /v[\d.]+/version"),
}


def interrupt(process: subprocess.Popen[str], how: str) -> None:
    """Send a signal to the process, or to its group as a terminal's Ctrl-C does."""
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.Signals[how])


def ended(process: subprocess.Popen[str], door: Door) -> tuple[int, str]:
    """How it ended, whether at once or, as it may, only when the engine has answered."""
    try:
        _, said = process.communicate(timeout=1)
    except subprocess.TimeoutExpired:
        door.let_go()
        _, said = process.communicate(timeout=60)
    door.let_go()
    return process.returncode, said


def require_clean_run(farm: Path, submission: object, evaluator: Evaluator, traces: Traces) -> None:
    """A run on this workspace ends well, and leaves its two documents and nothing else."""
    code, said = evaluator("run", submission, "--vendor", "next", "--workspace", farm)

    assert code == 0, said
    (signed,) = (farm / "results").rglob("*.json")
    verify(signed.read_bytes(), (farm / "keys" / "signing.pub").read_bytes())
    private = farm / "private" / f"{signed.name.partition('.')[0]}.json"
    assert traces(farm) == sorted(map(str, (signed, private)))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGKILL"])
def test_nothing_of_an_interrupted_run_is_left(
    how: str,
    stage: str,
    start: Start,
    evaluator: Evaluator,
    door: Door,
    images: Images,
    farm: Path,
    traces: Traces,
) -> None:
    """Ctrl-C cleans up by itself, at every stage; after `kill -9` the next run does."""
    kind, request = STAGES[stage]
    submission = getattr(images, kind)
    door.hold(request)
    process = start(
        "run", submission, "--vendor", "acme", "--workspace", farm, DOCKER_HOST=door.address
    )
    door.wait()
    interrupt(process, how)
    code, said = ended(process, door)

    if how == "Ctrl-C":
        assert (code, said.strip().splitlines()[-1]) == (130, SENTENCE)
        assert traces(farm) == []
    else:
        assert code == -signal.SIGKILL
    require_clean_run(farm, submission, evaluator, traces)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_polite_signal_is_an_interruption(
    how: str, start: Start, door: Door, images: Images, farm: Path, traces: Traces
) -> None:
    """To the process alone; SIGHUP is what a closed terminal sends."""
    door.hold("POST .*/wait")
    process = start(
        "run", images.quick, "--vendor", "acme", "--workspace", farm, DOCKER_HOST=door.address
    )
    door.wait()
    interrupt(process, how)
    code, said = ended(process, door)

    assert (code, said.strip().splitlines()[-1]) == (130, SENTENCE)
    assert traces(farm) == []


def test_under_nohup_a_closed_terminal_is_not_an_interruption(
    start: Start, door: Door, images: Images, farm: Path
) -> None:
    """The control of SIGHUP above."""
    door.hold("POST .*/wait")
    arguments = ("run", images.quick, "--vendor", "acme", "--workspace", farm)
    process = start(*arguments, prefix=("nohup",), DOCKER_HOST=door.address)
    door.wait()
    interrupt(process, "SIGHUP")

    assert ended(process, door)[0] == 0


def test_a_second_interruption_does_not_stop_the_clean_up(
    start: Start, door: Door, images: Images, farm: Path, traces: Traces
) -> None:
    """Ctrl-C again between finding the container and removing it."""
    arguments = ("run", images.waits, "--vendor", "acme", "--workspace", farm)
    process = start(*arguments, DOCKER_HOST=door.address)
    door.hold("POST .*/wait")
    door.wait()
    door.hold(LOOKING)
    interrupt(process, "Ctrl-C")
    door.wait()
    interrupt(process, "Ctrl-C")
    code, said = ended(process, door)

    assert (code, said.strip().splitlines()[-1]) == (130, SENTENCE)
    assert traces(farm) == []


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGKILL"])
def test_an_onnx_model_is_interrupted_while_it_is_checked(
    how: str,
    start: Start,
    evaluator: Evaluator,
    door: Door,
    model: Path,
    farm: Path,
    traces: Traces,
) -> None:
    """The first of its two containers, which sees no tile."""
    door.hold("POST .*/wait")
    process = start("run", model, "--vendor", "acme", "--workspace", farm, DOCKER_HOST=door.address)
    door.wait()
    interrupt(process, how)
    code, _ = ended(process, door)

    assert code == (130 if how == "Ctrl-C" else -signal.SIGKILL)
    assert how == "SIGKILL" or traces(farm) == []
    require_clean_run(farm, model, evaluator, traces)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGKILL"])
def test_waiting_for_the_host_is_interrupted(
    how: str, start: Start, evaluator: Evaluator, images: Images, farm: Path, traces: Traces
) -> None:
    """While another run has the lock; that run is not disturbed."""
    with waiting_for_the_host(start, images.quick, farm) as process:
        interrupt(process, how)
        process.wait(60)

    assert process.returncode == (-signal.SIGKILL if how == "SIGKILL" else 130)
    assert how == "SIGKILL" or traces(farm) == []
    require_clean_run(farm, images.quick, evaluator, traces)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGKILL"])
def test_a_file_is_interrupted_while_it_is_copied(
    how: str,
    start: Start,
    evaluator: Evaluator,
    images: Images,
    farm: Path,
    tmp_path: Path,
    traces: Traces,
) -> None:
    """A large file that a workspace would need minutes to take in."""
    large = tmp_path / "large.tar"
    large.touch()
    os.truncate(large, 2**40)
    process = start("run", large, "--vendor", "acme", "--workspace", farm)
    wait_for(lambda: list((farm / "queue").glob("*/submission")), "the copy")
    interrupt(process, how)
    process.wait(60)

    assert process.returncode == (-signal.SIGKILL if how == "SIGKILL" else 130)
    assert how == "SIGKILL" or traces(farm) == []
    require_clean_run(farm, images.quick, evaluator, traces)

"""An engine that dies, breaks a connection, or may not be used."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.faults.engine import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.conftest import Images
    from tests.faults.engine import Door, Engine

    Start = Callable[..., subprocess.Popen[str]]
    Evaluator = Callable[..., tuple[int, str]]
    Traces = Callable[[Path], list[str]]

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_engine_that_stops_in_the_middle_is_no_result(
    how: signal.Signals,
    start: Start,
    evaluator: Evaluator,
    engine_to_break: Engine,
    images: Images,
    farm: Path,
    traces: Traces,
) -> None:
    """Killed or told to stop, it ends the program; nobody blames the submission for that."""
    process = start("run", images.waits, "--vendor", "acme", "--workspace", farm)
    client = engine_to_break.client()
    wait_for(lambda: client.containers(filters={"label": "evaluator.run"}), "the container")
    try:
        engine_to_break.send(how)
        _, said = process.communicate(timeout=60)
    finally:
        engine_to_break.start()

    assert (process.returncode, "Docker engine" in said.splitlines()[-1]) == (3, True), said
    assert list((farm / "tmp").iterdir()) == []
    assert list((farm / "private").iterdir()) == []
    code, said = evaluator("run", images.quick, "--vendor", "acme", "--workspace", farm)
    assert code == 0, said
    assert len(traces(farm)) == 2


def test_an_engine_that_was_away_for_a_moment_is_no_result(
    start: Start, door: Door, images: Images, farm: Path, traces: Traces
) -> None:
    """A broken connection is no deadline, though the engine answers again and the program runs."""
    door.hold("POST .*/wait")
    arguments = ("run", images.waits, "--vendor", "acme", "--workspace", farm)
    process = start(*arguments, DOCKER_HOST=door.address)
    door.wait()
    door.let_go(drop=True)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 3, said
    assert said.splitlines()[-1].startswith("Error: The connection to the Docker engine broke.")
    assert traces(farm) == []


def test_a_program_that_a_restart_may_have_ended_is_no_result(
    start: Start,
    door: Door,
    engine_to_break: Engine,
    images: Images,
    farm: Path,
    traces: Traces,
) -> None:
    """A status read from an engine that does not remember the start proves nothing."""
    door.hold("POST .*/wait")
    arguments = ("run", images.exits_137, "--vendor", "acme", "--workspace", farm)
    process = start(*arguments, DOCKER_HOST=door.address)
    door.wait()
    door.hold_next("GET .*/containers/[0-9a-f]+/json")
    door.wait()
    engine_to_break.send(signal.SIGTERM)
    engine_to_break.start()
    door.let_go()
    _, said = process.communicate(timeout=60)

    assert (process.returncode, "killed from outside" in said) == (3, True), said
    assert traces(farm) == []


def test_a_program_that_somebody_killed_is_no_result(
    start: Start, engine_to_break: Engine, images: Images, farm: Path, traces: Traces
) -> None:
    """By `docker kill`, which no submission can do to itself."""
    process = start("run", images.waits, "--vendor", "acme", "--workspace", farm)
    client = engine_to_break.client()
    label = {"label": "evaluator.run"}
    wait_for(lambda: client.containers(filters=label), "the container")
    client.kill(client.containers(filters=label)[0]["Id"])
    _, said = process.communicate(timeout=60)

    assert (process.returncode, "killed from outside" in said) == (3, True), said
    assert traces(farm) == []


def test_a_program_that_ends_as_if_it_was_killed_is_to_blame(
    evaluator: Evaluator, images: Images, farm: Path
) -> None:
    """The control of the two tests above: the same exit status, of its own making."""
    code, _ = evaluator("run", images.exits_137, "--vendor", "acme", "--workspace", farm)

    (private,) = (farm / "private").iterdir()
    assert code == 1
    assert '"NONZERO_EXIT"' in private.read_text()


def test_a_deadline_is_the_submissions(
    evaluator: Evaluator,
    images: Images,
    farm: Path,
    traces: Traces,
    set_values: Callable[..., None],
) -> None:
    """The control of the test above: with nothing broken, one second is a TIMEOUT."""
    set_values(farm / "policies" / "sandbox.toml", predict_seconds=1)
    code, _ = evaluator("run", images.waits, "--vendor", "acme", "--workspace", farm)

    (signed,) = (farm / "results").rglob("*.json")
    private = farm / "private" / f"{signed.name.partition('.')[0]}.json"
    assert code == 1
    assert '"TIMEOUT"' in private.read_text()
    assert traces(farm) == sorted(map(str, (signed, private)))

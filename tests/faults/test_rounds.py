"""Rounds of random faults for a minute, and the faults that they may miss: the books add up."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from evaluator.images import HOLDER, build_holder, name_of
from evaluator.ledger import open_ledger
from evaluator.workspace import Workspace
from sandbox import connect
from sandbox.lock import lock_path
from tests.faults import rounds
from tests.faults.engine import SOON, wait_for
from tests.faults.rounds import LEARNT, ZEROS, image_archive, kill_containers_of, violations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evaluator.ledger import SubmissionRow
    from tests.faults.conftest import Images
    from tests.faults.engine import Door, Engine

    Start = Callable[..., subprocess.Popen[str]]
    Evaluator = Callable[..., tuple[int, str]]

pytestmark = pytest.mark.docker

ROOM = 80  # MiB: enough for a run, whose reserve is 1 MiB and its headroom 64

# The requests to the engine that come one after the other until a run is there.
VOLUME, WAIT, DELETE = "POST .*/volumes/create", "POST .*/wait", "DELETE .*/containers/"
STAGES = {
    "the holder is made": [VOLUME],
    "the holder is started": [VOLUME, "POST .*/start"],
    "train runs": [VOLUME, WAIT],
    "train has ended": [VOLUME, WAIT, DELETE],
    "what was learnt predicts": [VOLUME, WAIT, DELETE, WAIT],
    "the adapted model is packed": [VOLUME, WAIT, DELETE, WAIT, DELETE, WAIT],
    "the adapted model has its place": [VOLUME, r"GET /v[\d.]+/version"],
}


def test_rounds_of_random_faults_end_with_everything_accounted_for() -> None:
    """The short form of what .ci/soak does a hundred times, always with the same seed."""
    command = [sys.executable, rounds.__file__, "4", "--seed", "1", "--seconds", "60"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "round 1: " in ended.stdout


@pytest.fixture(scope="module")
def engine(engine_to_break: Engine) -> Engine:
    """The engine to break, which has the image that keeps models."""
    build_holder(lambda _: None)
    for _ in engine_to_break.client().load_image(connect().get_image(name_of(HOLDER))):
        pass
    return engine_to_break


@pytest.fixture(scope="module")
def trains(
    engine: Engine, busybox: bytes, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Submissions by how long they train: `quick` not at all, `soon` 3 seconds, `long` a minute."""
    folder = tmp_path_factory.mktemp("trains")
    lines = {"quick": LEARNT, "soon": f"sleep 3; {LEARNT}", "long": f"sleep 60; {LEARNT}"}
    for name, train in lines.items():
        (folder / f"{name}.tar").write_bytes(image_archive(engine, busybox, ZEROS, train))
    return {name: folder / f"{name}.tar" for name in lines}


def test_what_is_looked_for_is_found_where_it_is(
    evaluator: Evaluator, engine: Engine, trains: dict[str, Path], keeping: Path
) -> None:
    """The control of every test here: nothing after a run, then one sentence for each plant."""
    code, said = evaluator(*both(trains["quick"], keeping))
    assert (code, violations(keeping, engine)) == (0, []), said
    for name in ("queue/7", "tmp/dead", "adapted/dead"):
        (keeping / name).mkdir()
    (keeping / "private" / "dead.json").touch()
    (keeping / "results" / ".dead.part").touch()
    engine.client().create_volume("planted", labels={"evaluator.run": "dead"})
    with closing(sqlite3.connect(keeping / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE runs SET micro_tuned = 0, fee_cents = 1, tenths = tenths + 1")
        ledger.execute("UPDATE submissions SET state = 'running', ended = ''")
    found = violations(keeping, engine)
    engine.client().remove_volume("planted")

    for sentence in (
        "submission 1 is running$",
        "submission 1 is running, and its result is there",
        "acme holds 1 of 5 slots for 0 done",
        "acme is charged",
        "acme owes 1 for 0 done",
        "the ledger has .* bits and the results",
        "private documents without a result",
        "adapted models without a result",
        "queue/7 is left",
        "tmp/dead is left",
        ".dead.part is left",
        "volume planted is left",
    ):
        assert [each for each in found if re.search(sentence, each)], sentence
    assert len(found) == 12


@pytest.fixture
def keeping(farm: Path, set_values: Callable[..., None]) -> Path:
    """A workspace to spoil, which keeps adapted models."""
    set_values(farm / "evaluator.toml", keep_adapted_model="true")
    return farm


def ends(farm: Path) -> list[str]:
    """How each submission ended, and why where it was aborted."""
    return [f"{row.state} {row.reason}".strip() for row in rows(farm)]


def rows(farm: Path) -> tuple[SubmissionRow, ...]:
    """The submissions of the ledger."""
    with open_ledger(Workspace(farm).ledger) as ledger:
        return ledger.submissions()


def both(submission: Path, farm: Path, vendor: str = "acme") -> tuple[object, ...]:
    """The arguments of a run in both phases."""
    return ("run", submission, "--vendor", vendor, "--phase", "both", "--workspace", farm)


def training(engine: Engine) -> list[str]:
    """The containers in which a submission trains."""
    found = engine.client().containers(filters={"label": "evaluator.verb=train"})
    return [container["Id"] for container in found]


def hold_at(door: Door, requests: list[str]) -> None:
    """Let a run come as far as the last of these requests."""
    door.hold(requests[0])
    door.wait()
    for request in requests[1:]:
        door.hold_next(request)
        door.wait()


# `kill -9` of the harness


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_any_stage_of_the_training_is_an_abort_that_costs_nothing(
    stage: str,
    start: Start,
    evaluator: Evaluator,
    door: Door,
    engine: Engine,
    trains: dict[str, Path],
    keeping: Path,
) -> None:
    """The next run removes holder, volume, model and scratch, and is well."""
    process = start(*both(trains["quick"], keeping), DOCKER_HOST=door.address)
    hold_at(door, STAGES[stage])
    process.kill()
    process.wait(SOON)
    door.let_go()
    there = stage == "the adapted model has its place"
    assert bool(list(keeping.glob("adapted/*/model.tar"))) == there
    code, said = evaluator(*both(trains["quick"], keeping, "next"))

    assert code == 0, said
    assert ends(keeping) == ["aborted killed", "done"]
    assert violations(keeping, engine) == []
    assert len(list((keeping / "adapted").iterdir())) == 1


def test_a_kill_while_a_submission_is_received_gives_its_slot_back_at_the_next_sweep(
    start: Start, evaluator: Evaluator, door: Door, engine: Engine, images: Images, farm: Path
) -> None:
    """Until then it holds the slot: nobody looks."""
    arguments = ("submit", images.quick_id, "--vendor", "acme", "--workspace", farm)
    process = start(*arguments, DOCKER_HOST=door.address)
    door.hold("GET .*/images/.*/get")
    door.wait()
    process.kill()
    process.wait(SOON)
    door.let_go()
    (before,) = rows(farm)
    code, said = evaluator("work", "--workspace", farm)

    assert (before.state, before.holds_slot) == ("receiving", True)
    assert (code, ends(farm)) == (0, ["aborted killed"]), said
    assert violations(farm, engine) == []


def test_work_that_is_interrupted_leaves_nothing_of_what_it_ran(
    start: Start, evaluator: Evaluator, engine: Engine, trains: dict[str, Path], farm: Path
) -> None:
    """Not even the bytes that were handed in: no sweep is needed."""
    for vendor in ("acme", "next"):
        evaluator("submit", trains["long"], "--vendor", vendor, "--workspace", farm)
    process = start("work", "--workspace", farm)
    wait_for(lambda: training(engine), "the training")
    process.send_signal(signal.SIGTERM)
    process.wait(SOON)

    assert (process.returncode, ends(farm)) == (130, ["aborted interrupted", "queued"])
    assert [path.name for path in (farm / "queue").glob("[0-9]*")] == ["2"]


def test_a_reboot_in_the_middle_of_a_training_is_an_abort(
    start: Start, evaluator: Evaluator, engine: Engine, trains: dict[str, Path], keeping: Path
) -> None:
    """Simulated: engine, containers and worker are killed, and the lock of the run is gone."""
    for name, vendor in (("long", "acme"), ("quick", "next")):
        evaluator("submit", trains[name], "--vendor", vendor, "--workspace", keeping)
    process = start("work", "--workspace", keeping)
    wait_for(lambda: training(engine), "the training")
    try:
        process.kill()
        process.wait(SOON)
        engine.send(signal.SIGKILL)
        kill_containers_of(engine)
        for row in rows(keeping):
            lock_path().with_name(f"evaluator-run-{row.run}.lock").unlink(missing_ok=True)
    finally:
        engine.start()
    code, said = evaluator("work", "--workspace", keeping)

    assert (code, ends(keeping)) == (0, ["aborted killed", "done"]), said
    assert violations(keeping, engine) == []


# The host fails


def test_an_engine_that_is_killed_during_train_aborts_that_run_alone(
    start: Start, evaluator: Evaluator, engine: Engine, trains: dict[str, Path], keeping: Path
) -> None:
    """Exit 3, nothing charged; the next work goes on with what still waits."""
    for name, vendor in (("long", "acme"), ("quick", "next")):
        evaluator("submit", trains[name], "--vendor", vendor, "--workspace", keeping)
    process = start("work", "--workspace", keeping)
    wait_for(lambda: training(engine), "the training")
    try:
        engine.send(signal.SIGKILL)
        _, said = process.communicate(timeout=SOON)
    finally:
        engine.start()
    assert (process.returncode, ends(keeping)) == (3, ["aborted host", "queued"]), said
    code, said = evaluator("work", "--workspace", keeping)

    assert (code, ends(keeping)) == (0, ["aborted host", "done"]), said
    assert violations(keeping, engine) == []


def test_a_holder_that_is_killed_from_outside_is_no_result(
    start: Start, evaluator: Evaluator, engine: Engine, trains: dict[str, Path], keeping: Path
) -> None:
    """The model may be lost with it, though train goes on and predict would find something."""
    process = start(*both(trains["soon"], keeping))
    wait_for(lambda: training(engine), "the training")
    client = engine.client()
    (holder,) = client.containers(filters={"label": "evaluator.verb=hold"})
    client.kill(holder["Id"])
    _, said = process.communicate(timeout=SOON)

    assert (process.returncode, "trained model was stopped from outside" in said) == (3, True), said
    assert ends(keeping) == ["aborted host"]
    assert violations(keeping, engine) == []
    assert evaluator(*both(trains["soon"], keeping))[0] == 0  # the control: left alone, it is well


@pytest.fixture
def small_farm(keeping: Path, tmp_path: Path) -> Iterator[Path]:
    """A workspace on a small file system of its own, at the same place."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "none", disk], check=True)
    subprocess.run(["cp", "-a", keeping, disk / "farm"], check=True)
    yield disk / "farm"
    subprocess.run(["umount", disk], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Nothing more fits while this lasts."""
    hog = disk / "hog"
    for size in (2**20, 2**10):
        with suppress(OSError), hog.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(size))
    yield
    hog.unlink()


def test_a_disk_that_fills_during_train_is_an_abort_once_there_is_room(
    start: Start, evaluator: Evaluator, engine: Engine, trains: dict[str, Path], small_farm: Path
) -> None:
    """Not even the ledger can be written before that, and nothing is charged afterwards."""
    process = start(*both(trains["soon"], small_farm))
    wait_for(lambda: training(engine), "the training")
    with filled(small_farm.parent):
        _, said = process.communicate(timeout=SOON)
    assert process.returncode == 3, said
    code, said = evaluator(*both(trains["quick"], small_farm, "next"))

    assert code == 0, said
    assert [end.partition(" ")[0] for end in ends(small_farm)] == ["aborted", "done"]
    assert violations(small_farm, engine) == []


# Many at once


def test_workers_on_one_ledger_take_each_submission_once(
    start: Start,
    evaluator: Evaluator,
    engine: Engine,
    trains: dict[str, Path],
    farm: Path,
    set_values: Callable[..., None],
) -> None:
    """Three on two slots (or on one, where there is one CPU), and nothing is aborted for it."""
    slots = '["0", "1"]' if (os.cpu_count() or 1) > 1 else "[]"
    set_values(farm / "evaluator.toml", slots=slots)
    for vendor in ("acme", "next", "zenith", "acme"):
        code, said = evaluator("submit", trains["quick"], "--vendor", vendor, "--workspace", farm)
        assert code == 0, said
    workers = [start("work", "--workspace", farm) for _ in range(3)]
    told = [worker.communicate(timeout=4 * SOON)[1] for worker in workers]
    with open_ledger(Workspace(farm).ledger) as ledger:
        ran = [run.submission for run in ledger.runs()]

    assert [worker.returncode for worker in workers] == [0, 0, 0], told
    assert (sorted(map(str, ran)), ends(farm)) == (list("1234"), ["done"] * 4)
    assert violations(farm, engine) == []


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="Two slots need two CPUs.")
def test_what_kills_left_of_two_slots_is_swept_by_whoever_works_next(
    start: Start,
    evaluator: Evaluator,
    engine: Engine,
    trains: dict[str, Path],
    farm: Path,
    set_values: Callable[..., None],
) -> None:
    """Also by one that works in the first slot alone."""
    set_values(farm / "evaluator.toml", slots='["0", "1"]')
    for vendor in ("acme", "next"):
        evaluator("submit", trains["long"], "--vendor", vendor, "--workspace", farm)
    workers = [start("work", "--workspace", farm) for _ in range(2)]
    wait_for(lambda: len(training(engine)) == 2, "the second training")
    for worker in workers:
        worker.kill()
        worker.wait(SOON)
    code, said = evaluator("work", "--workspace", farm)

    assert (code, ends(farm)) == (0, ["aborted killed"] * 2), said
    assert violations(farm, engine) == []


@pytest.mark.parametrize(
    ("quota", "attempt"), [(5, 1), (5, 2), (5, 3), (20, 1)], ids=["5", "5", "5", "20, the control"]
)
def test_of_twenty_submitters_at_once_as_many_are_taken_as_the_quota_says(
    quota: int,
    attempt: int,  # noqa: ARG001 - the same once more
    start: Start,
    images: Images,
    farm: Path,
    set_values: Callable[..., None],
) -> None:
    """The others are told so, and leave nothing behind."""
    set_values(farm / "evaluator.toml", submissions=quota, submissions_per_day=quota)
    arguments = ("submit", images.quick, "--vendor", "acme", "--workspace", farm)
    submitters = [start(*arguments) for _ in range(20)]
    said = [submitter.communicate(timeout=2 * SOON)[1] for submitter in submitters]

    codes = sorted(submitter.returncode for submitter in submitters)
    assert codes == [0] * quota + [2] * (20 - quota), said
    assert ends(farm) == ["queued"] * quota
    assert len(list((farm / "queue").glob("[0-9]*"))) == quota

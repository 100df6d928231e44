"""What a run does with its GPU, end to end on Docker 26: a CDI device, its driver a stand-in.

The device computes nothing. libcuda.so.1 in the container and libnvidia-ml.so.1 on the host are
ours; everything between them is what a run with a GPU goes through.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import docker.errors
import pytest

import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from docker import APIClient

    from tests.official.conftest import Ended

    Run = Callable[..., Ended]

pytestmark = pytest.mark.docker

MiB = 2**20
LIMIT = 100 * MiB
H100 = 989.4e12  # what the stand-in says it is; evaluator/devices.toml has the figure
WATTS = 300
SECONDS = {"predict": 4, "train": 5}  # that the submission sleeps, while half of its GPU is busy
FIRST, SECOND = "nvidia.com/gpu=0", "nvidia.com/gpu=1"
LONG = 240

SUBMISSION = f"""[ -c /dev/example-gpu ] || exit 9
if [ "$1" = train ]; then sleep {SECONDS["train"]}; echo 1 > /opt/ml/model/answer; exit; fi
sleep {SECONDS["predict"]}
head -c 30 /dev/zero > /output/predictions
"""
# It predicts and ends when it is told to, and not before.
WAITS = "trap 'head -c 30 /dev/zero > /output/predictions; exit' USR1\nwhile :; do sleep 0.05; done"


def change(root: Path, **values: object) -> None:
    """Change lines of evaluator.toml."""
    path = root / "evaluator.toml"
    lines = path.read_text().splitlines()
    for name, value in values.items():
        assert sum(line.startswith(f"{name} =") for line in lines) == 1
        lines = [
            f"{name} = {json.dumps(value)}" if line.startswith(f"{name} =") else line
            for line in lines
        ]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def address(newer_engine: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """The socket of an engine that knows CDI names."""
    with newer_engine("trixie") as found:
        yield found


@pytest.fixture(scope="module")
def farm(
    sealed_workspace: Path, command: Run, address: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A workspace whose wall was tried with each of two GPUs; a step is a tenth of a petaflop."""
    root = shutil.copytree(sealed_workspace, tmp_path_factory.mktemp("gpus") / "farm")
    change(root, gpus=1, gpu_memory_bytes=LIMIT, petaflops=100.0, charge_steps=1000, cpus=1.0)
    for device in (SECOND, FIRST):
        change(root, gpu_devices=[device])
        ended = command("doctor", "--workspace", root, DOCKER_HOST=address)
        assert ended.code == 0, ended.stdout
    return root


@pytest.fixture
def workspace(farm: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(farm, tmp_path / "farm")


@pytest.fixture
def archive(
    make_image: Callable[..., str],
    engine: APIClient,
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Path]:
    """A function from a script to an image's archive; all that follows uses the newer engine."""
    monkeypatch.setenv("DOCKER_HOST", address)

    def save(script: str) -> Path:
        path = tmp_path / f"{abs(hash(script))}.tar"
        with path.open("wb") as file:
            file.writelines(engine.get_image(make_image(script)))
        return path

    return save


class Gpu:
    """A GPU that needs power and memory as long as a container of a run trains or predicts."""

    def __init__(self, figures: Path, client: APIClient) -> None:
        self.busy = 50  # per cent
        self.memory = {"predict": 40 * MiB, "train": 60 * MiB}
        self._figures, self._client = figures, client
        self._joules = 0.0
        self._seen: dict[str, float] = {}  # since when, by container
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        """Begin to work."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Work no more."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(0.05):
            found = self._client.containers(filters={"label": "evaluator.verb"})
            verbs = {container["Labels"]["evaluator.verb"] for container in found}
            before, passed = time.monotonic(), time.monotonic() - before
            working = verbs & self.memory.keys()
            self._joules += WATTS * passed if working else 0
            memory = max((self._held(container) for container in found), default=0)
            part = self._figures.with_suffix(".part")
            part.write_text(f"{self.busy} {memory} {int(self._joules * 1000)}")
            part.replace(self._figures)

    def _held(self, container: dict[str, Any]) -> int:
        """Memory for the first half of a container's time.

        A meter takes what is used when it begins as somebody else's, and this stand-in is late: the
        next container must not find what the one before it held.
        """
        verb = container["Labels"]["evaluator.verb"]
        since = self._seen.setdefault(container["Id"], time.monotonic())
        half = SECONDS.get(verb, 0) / 2
        return self.memory.get(verb, 0) if time.monotonic() - since < half else 0


@pytest.fixture
def gpu(driver: Path, archive: Callable[[str], Path]) -> Iterator[Gpu]:
    """The first GPU of the host, under the newer engine."""
    del archive
    with Gpu(driver, sandbox.connect()) as gpu:
        yield gpu


@pytest.fixture
def run(command: Run, workspace: Path) -> Callable[..., Ended]:
    """Run a submission in both phases."""

    def run(submission: Path) -> Ended:
        options = ("--vendor", "acme", "--phase", "both", "--workspace", workspace, "--json")
        return command("run", submission, *options)

    return run


def predicate_of(ended: Ended) -> dict[str, Any]:
    """What a signed result states."""
    assert ended.code in {0, 1}, ended.stderr
    predicate: dict[str, Any] = ended.document()["statement"]["predicate"]
    return predicate


def usages(workspace: Path, predicate: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The owner's own record of what each container used, by phase."""
    exact = json.loads((workspace / "private" / f"{predicate['run']}.json").read_text())
    return {
        phase: [container["usage"] for container in exact[phase]["containers"]]
        for phase in ("baseline", "tuned")
    }


def charged(used: list[dict[str, Any]], compute: dict[str, Any]) -> float:
    """The published formula, once more: busy seconds times peaks, in whole steps, rounded up."""
    operations: float = sum(each["cpu_seconds"] for each in used) * compute["cpu_peak"]
    operations += sum(each["gpu_seconds"] for each in used) * compute["gpu_peak"]
    step: float = compute["step"]
    return round(math.ceil(operations / 1e15 / step) * step, 6)


def nothing_is_charged(command: Run, workspace: Path) -> bool:
    """No run, no petaflop, and the place in the quota is given back."""
    status = command("status", "--workspace", workspace, "--json").document()
    (own,) = [each for each in status["vendors"] if each["vendor"] == "acme"]
    return (
        (own["petaflops"]["used"], own["submissions"]["used"], own["today"]["used"]) == (0, 0, 0)
        and not list((workspace / "results").glob("*/*"))
        and not list((workspace / "private").iterdir())
    )


def test_busy_time_of_a_gpu_is_charged_in_both_phases(
    run: Callable[..., Ended], archive: Callable[[str], Path], gpu: Gpu, workspace: Path
) -> None:
    """In steps to the vendor, exactly to the owner, with energy and memory; idle, the control."""
    submission = archive(SUBMISSION)
    half = predicate_of(run(submission))
    gpu.busy = 0
    idle = predicate_of(run(submission))
    compute, phases = half["compute"], half["phases"]
    used, unused = usages(workspace, half), usages(workspace, idle)

    assert (half["sandbox"]["device"], compute["gpu_peak"], compute["step"]) == ("cuda", H100, 0.1)
    for phase, verbs in {"baseline": ["predict"], "tuned": ["train", "predict"]}.items():
        assert phases[phase]["status"] == "OK"
        assert phases[phase]["charge"] == charged(used[phase], compute)
        assert phases[phase]["charge"] > idle["phases"][phase]["charge"]
        for verb, each, control in zip(verbs, used[phase], unused[phase], strict=True):
            assert SECONDS[verb] / 2 < each["gpu_seconds"] < each["seconds"]
            assert control["gpu_seconds"] < SECONDS[verb] / 2
            assert each["gpu_peak_memory"] == gpu.memory[verb]
            assert WATTS * SECONDS[verb] / 2 < each["joules"] < WATTS * each["seconds"] * 1.5


def test_more_gpu_memory_than_allowed_stops_the_training(
    run: Callable[..., Ended], archive: Callable[[str], Path], gpu: Gpu, workspace: Path
) -> None:
    """As OUT_OF_MEMORY, long before its end, and charged so far; the baseline stands."""
    gpu.memory["train"] = 2 * LIMIT
    ended = run(archive(SUBMISSION.replace(f"sleep {SECONDS['train']}", "sleep 3000")))
    predicate = predicate_of(ended)
    phases, (trained,) = predicate["phases"], usages(workspace, predicate)["tuned"]

    assert ended.code == 1
    assert phases["baseline"]["status"] == "OK"
    assert phases["tuned"]["status"] == "OUT_OF_MEMORY"
    assert phases["tuned"]["charge"] == charged([trained], predicate["compute"])
    assert trained["gpu_peak_memory"] > LIMIT
    assert trained["seconds"] < 60


@pytest.mark.usefixtures("driver")
def test_another_makers_gpu_is_the_hosts_trouble(
    run: Callable[..., Ended], archive: Callable[[str], Path], workspace: Path, command: Run
) -> None:
    """The engine gives it and its self-test passes; what nobody counts, nobody is charged for."""
    change(workspace, gpu_devices=["vendor.example/gpu=0"])
    ended = run(archive(SUBMISSION))

    assert (ended.code, ended.stdout) == (3, ""), ended.stderr
    assert "it is not NVIDIA's" in ended.stderr
    assert nothing_is_charged(command, workspace)


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("nvmlDeviceGetHandleByIndex_v2:6", "the driver lists no such GPU"),
        ("nvmlDeviceGetUtilizationRates:15", "could not be metered to its end"),
    ],
)
def test_a_driver_that_fails_before_or_during_a_run_charges_nobody(
    run: Callable[..., Ended],
    archive: Callable[[str], Path],
    workspace: Path,
    command: Run,
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
    words: str,
) -> None:
    """15: the GPU fell off the bus, and the container was stopped."""
    monkeypatch.setenv("STAND_IN_FAIL", failure)
    ended = run(archive(SUBMISSION))

    assert (ended.code, ended.stdout) == (3, ""), ended.stderr
    assert words in ended.stderr
    assert nothing_is_charged(command, workspace)
    assert sandbox.connect().containers(all=True, filters={"label": "evaluator.run"}) == []


@pytest.mark.parametrize("figure", [0.0, 1e13])
def test_without_a_driver_on_the_host_no_gpu_is_used(
    run: Callable[..., Ended],
    archive: Callable[[str], Path],
    workspace: Path,
    command: Run,
    figure: float,
) -> None:
    """Whether its peak is looked up or the owner's own: one sentence, and no charge."""
    change(workspace, gpu_peak_flops=figure)
    ended = run(archive(SUBMISSION))

    assert (ended.code, ended.stdout) == (3, ""), ended.stderr
    assert "libnvidia-ml.so.1 is not on this host" in ended.stderr
    assert nothing_is_charged(command, workspace)


def devices_at_work(client: APIClient) -> dict[str, list[str]]:
    """The devices that each container which predicts was given."""
    found = {}
    for container in client.containers(filters={"label": "evaluator.verb=predict"}):
        with suppress(docker.errors.NotFound):
            settings = client.inspect_container(container["Id"])["HostConfig"]
            found[container["Id"]] = [
                device for request in settings["DeviceRequests"] for device in request["DeviceIDs"]
            ]
    return found


@pytest.mark.usefixtures("driver")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="Two slots need two CPUs.")
def test_two_slots_have_a_gpu_each(
    archive: Callable[[str], Path], workspace: Path, command: Run
) -> None:
    """Both run at once; neither has what the other has."""
    change(workspace, slots=["0", "1"], gpu_devices=[FIRST, SECOND], gpu_peak_flops=1e13)
    for vendor in ("acme", "zenith"):
        options = ("--vendor", vendor, "--phase", "baseline", "--workspace", workspace)
        assert command("submit", archive(f"{WAITS} # {vendor}"), *options).code == 0
    client, deadline = sandbox.connect(), time.monotonic() + LONG
    arguments = [sys.executable, "-m", "evaluator", "work", "--workspace", str(workspace)]
    workers = [subprocess.Popen(arguments, stdin=subprocess.DEVNULL) for _ in range(2)]
    try:
        while len(found := devices_at_work(client)) < 2:
            assert time.monotonic() < deadline, f"only {found} at once"
            time.sleep(0.1)
        time.sleep(3)  # they have set their traps
        for container in found:
            client.kill(container, "USR1")
        ended = [worker.wait(LONG) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()

    assert ended == [0, 0]
    assert sorted(found.values()) == [[FIRST], [SECOND]]
    assert len(list((workspace / "results").glob("*/*"))) == 2

"""What containers are charged: the arithmetic by laws, the sampling on a real engine."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import SandboxError, metering, nvml
from sandbox.cgroup import Reading, find, hierarchies
from sandbox.metering import Meter, Tally, of_engine
from sandbox.nvml import GpuReading
from sandbox.spec import Allowance, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker

MiB = 2**20
FREE = Allowance(math.inf, 1e9)
RUNTIMES = [
    pytest.param("runc", id="runc"),
    pytest.param("runsc", id="runsc", marks=pytest.mark.gvisor),
]


@dataclass(frozen=True)
class Work:
    """How busy a container is, one step after the other: (seconds, CPUs)."""

    steps: tuple[tuple[float, float], ...]

    def until(self, at: float) -> float:
        """CPU seconds used by then."""
        used = 0.0
        for seconds, cpus in self.steps:
            used += min(seconds, max(0.0, at)) * cpus
            at -= seconds
        return used

    def end(self) -> float:
        """When it is over."""
        return sum(seconds for seconds, _ in self.steps)


def works(cpus: float) -> st.SearchStrategy[Work]:
    """Anything that `cpus` CPUs can do."""
    step = st.tuples(st.floats(0.001, 3), st.floats(0, cpus))
    return st.lists(step, min_size=1, max_size=8).map(tuple).map(Work)


@given(st.data(), st.sampled_from([0.5, 1.0, 2.0, 16.0]))
def test_the_charge_is_never_less_than_what_was_used(data: st.DataObject, cpus: float) -> None:
    """Whenever the samples were taken; and no more than the time after the last one adds to it."""
    work = data.draw(works(cpus))
    times = sorted(data.draw(st.lists(st.floats(0, work.end()), max_size=10)))
    tally = Tally(0.0, cpus, 0.0)
    for at in times:
        tally.sample(at, Reading(work.until(at)))
    charged = tally.usage(work.end(), "cgroup").cpu_seconds
    gap = work.end() - (times[-1] if times else 0.0)

    assert charged >= work.until(work.end()) - 1e-9
    assert charged <= work.until(work.end()) + gap * cpus + 1e-9


@given(st.data(), st.sampled_from([0.5, 1.0, 2.0, 16.0]), st.floats(0.01, 5))
def test_a_container_is_stopped_before_its_budget_is_spent(
    data: st.DataObject, cpus: float, budget: float
) -> None:
    """As long as samples come on time; one that is late shows in the charge, which is capped."""
    work = data.draw(works(cpus))
    allowance = Allowance(budget * 1e9, 1e9)
    tally = Tally(0.0, cpus, 0.0)
    at = 0.0
    while at < work.end():
        tally.sample(at, Reading(work.until(at)))
        if tally.exceeds(at + 0.05, allowance):
            break
        at += data.draw(st.floats(0.01, 0.05))

    assert work.until(at) <= budget + 1e-9
    assert tally.usage(at + 3.0, "cgroup").operations(allowance) <= budget * 1e9


@given(st.lists(st.tuples(st.floats(0.001, 1), st.floats(0, 2)), max_size=20), st.floats(0, 3))
def test_gpus_are_charged_by_utilisation_and_after_it_in_full(
    steps: list[tuple[float, float]], gap: float
) -> None:
    """Busy GPUs times the time that they were, then two GPUs times the gap."""
    tally = Tally(0.0, 1.0, 2.0)
    at = 0.0
    for seconds, busy in steps:
        at += seconds
        tally.gpu_sample(at, GpuReading(busy, 0, at))
    used = tally.usage(at + gap, "cgroup").gpu_seconds

    assert used == pytest.approx(sum(s * busy for s, busy in steps) + 2 * gap)


def test_half_a_gpu_for_two_seconds_is_one_busy_second() -> None:
    """From when the container was there, to when it was seen to be gone."""
    tally = Tally(0.0, 1.0, 1.0)
    tally.started(10.0)
    for tenth in range(1, 21):
        tally.gpu_sample(10 + tenth / 10, GpuReading(0.5, tenth * MiB, 100.0 + 30 * tenth))
    tally.gone(12.0)
    used = tally.usage(15.0, "cgroup")

    assert used.gpu_seconds == pytest.approx(1.0)
    assert used.gpu_peak_memory == 20 * MiB
    assert used.joules == pytest.approx(570.0)


def test_nothing_is_charged_after_the_cgroup_has_gone() -> None:
    """The engine takes its time to say that a container ended."""
    tally = Tally(0.0, 2.0, 0.0)
    tally.sample(1.0, Reading(1.5, 7, 8, 9))
    tally.gone(1.25)
    tally.gone(4.0)

    assert tally.usage(5.0, "cgroup") == Usage(5.0, 2.0, 7, 8, 9, 0.0, 0, 0.0, "cgroup")


def test_a_figure_that_falls_is_not_believed() -> None:
    """An engine that has lost count says zero."""
    tally = Tally(0.0, 1.0, 0.0)
    tally.sample(1.0, Reading(0.9))
    tally.sample(2.0, Reading(0.1))

    assert tally.usage(2.0, "engine").cpu_seconds == pytest.approx(1.9)


@pytest.mark.parametrize(
    ("gpu_memory", "used", "why"), [(0, 9, ""), (8, 8, ""), (8, 9, "gpu memory")]
)
def test_more_gpu_memory_than_allowed_is_a_reason_of_its_own(
    gpu_memory: int, used: int, why: str
) -> None:
    """Zero sets no limit."""
    tally = Tally(0.0, 1.0, 1.0)
    tally.gpu_sample(1.0, GpuReading(0.0, used, 0.0))

    assert tally.exceeds(1.0, Allowance(math.inf, 1e9, 1e9, gpu_memory)) == why


def test_the_engines_document_is_read_as_docker_writes_it() -> None:
    """Version 1 with a maximum, version 2 without, and a container that has ended."""
    blocks = [{"op": "Read", "value": 5}, {"op": "write", "value": 7}, {"op": "Total", "value": 12}]
    figures: dict[str, Any] = {
        "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
        "memory_stats": {"usage": 10, "max_usage": 20},
        "blkio_stats": {"io_service_bytes_recursive": blocks},
    }

    assert of_engine(figures) == Reading(1.5, 20, 5, 7)
    newer = figures | {"memory_stats": {"usage": 10}, "blkio_stats": {}}
    assert of_engine(newer) == Reading(1.5, 10)
    ended = {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}}
    assert of_engine(ended) is None


@dataclass(frozen=True)
class Metered:
    """A container that has ended: its usage, why it was stopped, and what it printed."""

    usage: Usage
    stopped: str
    printed: str


@pytest.fixture
def container(engine: docker.APIClient, make_image: Callable[..., str]) -> Callable[..., Any]:
    """A context of a script's container, made and not started."""

    @contextmanager
    def made(script: str, runtime: str = "runc", **host: object) -> Iterator[str]:
        settings = {"Runtime": runtime, "NetworkMode": "none", "NanoCpus": 10**9, **host}
        asked = {"Image": make_image(script), "HostConfig": settings}
        name = engine.create_container_from_config(asked)["Id"]
        try:
            yield name
        finally:
            engine.remove_container(name, v=True, force=True)

    return made


@pytest.fixture
def metered(engine: docker.APIClient, container: Callable[..., Any]) -> Callable[..., Metered]:
    """Run a script's container to its end under a meter."""

    def run(
        script: str,
        allowance: Allowance = FREE,
        gpus: tuple[str, ...] = (),
        cpus: float = 1.0,
        **settings: object,
    ) -> Metered:
        nano = round(cpus * 1e9)
        with container(script, NanoCpus=nano, **settings) as name:
            with Meter(name, cpus, allowance, gpus, lambda: engine.kill(name)) as meter:
                engine.start(name)
                engine.wait(name, timeout=60)
            printed = engine.logs(name).decode()
        return Metered(meter.usage(), meter.stopped, printed)

    return run


# A loop that takes a while, and then what the shell itself says it used: "0m1.20s 0m0.05s".
BUSY = "i=0; while [ $i -lt {} ]; do i=$((i+1)); done; times"


def own_word(printed: str) -> float:
    """CPU seconds out of what `times` printed."""
    minutes, seconds = zip(*(word.rstrip("s").split("m") for word in printed.split()), strict=True)
    return sum(map(float, seconds)) + 60 * sum(map(float, minutes))


@pytest.mark.docker
def test_a_busy_loop_is_charged_what_it_used(metered: Callable[..., Metered]) -> None:
    """Compared with what the shell's own `times` says."""
    run = metered(BUSY.format(1_500_000))
    used = own_word(run.printed)

    assert used > 0.5
    assert run.usage.cpu_seconds == pytest.approx(used, rel=0.1, abs=0.15)
    assert (run.usage.source, run.stopped) == ("cgroup", "")


@pytest.mark.gvisor
def test_under_gvisor_the_sandboxs_own_work_is_charged_too(
    metered: Callable[..., Metered],
) -> None:
    """No less than the program used, as gVisor counts it (roughly); no more than it could."""
    run = metered(BUSY.format(200_000), runtime="runsc")

    assert run.usage.cpu_seconds >= 0.6 * own_word(run.printed) > 0.0
    assert run.usage.cpu_seconds <= run.usage.seconds
    assert run.usage.source == "cgroup"


@pytest.mark.docker
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_sleeping_costs_next_to_nothing(metered: Callable[..., Metered], runtime: str) -> None:
    """Two seconds on two CPUs."""
    run = metered("sleep 2", runtime=runtime, cpus=2.0)

    assert run.usage.seconds > 2
    assert run.usage.cpu_seconds < (0.6 if runtime == "runc" else 1.2)  # of 4


@pytest.mark.docker
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_most_memory_is_known_after_it_was_given_back(
    metered: Callable[..., Metered], runtime: str
) -> None:
    """A hundred mebibytes for a moment; the control has none."""
    script = "dd if=/dev/zero of=/dev/null bs={} count=1; sleep 0.5"
    hog = metered(script.format("100M"), runtime=runtime).usage.peak_memory
    control = metered(script.format("1M"), runtime=runtime).usage.peak_memory

    assert 100 * MiB < hog < 160 * MiB
    assert control < 60 * MiB


def disk_of(path: Path) -> str:
    """The device file of the whole disk that `path` is on."""
    device = path.stat().st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not block.exists():
        pytest.skip("The temporary directory is on no block device.")
    block = block.resolve()
    return f"/dev/{(block.parent if (block / 'partition').exists() else block).name}"


@pytest.mark.docker
def test_bytes_to_the_disk_are_counted(metered: Callable[..., Metered], tmp_path: Path) -> None:
    """Written through by the container itself; recent kernels count only where a throttle is."""
    throttle = [{"Path": disk_of(tmp_path), "Rate": 10**12}]
    settings = {"Binds": [f"{tmp_path}:/disk"], "BlkioDeviceWriteBps": throttle}
    script = "dd if=/dev/zero of=/disk/file bs=1M count=20 conv=fsync && sleep 0.3"
    written = metered(script, **settings).usage.bytes_written
    control = metered("sleep 0.3", **settings).usage.bytes_written

    assert 20 * MiB <= written < 22 * MiB
    assert control < MiB


@pytest.mark.docker
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("cpus", [1.0, 2.0])
def test_a_container_is_stopped_at_its_budget(
    metered: Callable[..., Metered], runtime: str, cpus: float
) -> None:
    """Within a second of it, charged at most it; without a budget the same program runs on."""
    script = "for i in 1 2; do while :; do :; done & done; sleep 4; kill %1 %2; echo ended"
    budget = 1.0
    allowance = Allowance(budget * 1e9, 1e9)
    run = metered(script, allowance, runtime=runtime, cpus=cpus)
    control = metered(script, runtime=runtime, cpus=cpus)

    assert (run.stopped, run.printed) == ("operations", "")
    assert 0.6 * budget < run.usage.cpu_seconds < budget + cpus  # one second of them
    assert 0.6 * budget * 1e9 < run.usage.operations(allowance) <= budget * 1e9
    assert (control.stopped, control.printed) == ("", "ended\n")
    assert control.usage.cpu_seconds > budget


@pytest.mark.docker
def test_a_budget_of_nothing_stops_a_container_that_has_just_begun(
    metered: Callable[..., Metered],
) -> None:
    """An engine does not kill what it has not quite started, so it is asked again."""
    allowance = Allowance(0.0, 1e9)
    run = metered("sleep 30", allowance)

    assert run.stopped == "operations"
    assert run.usage.seconds < 5
    assert run.usage.operations(allowance) == 0


@pytest.mark.docker
def test_a_program_that_ends_at_once_is_charged_little(metered: Callable[..., Metered]) -> None:
    """It may end between two samples: then the time until that was seen is charged."""
    used = metered("true").usage

    assert 0 < used.cpu_seconds < used.seconds


@pytest.mark.docker
def test_an_engine_out_of_sight_is_asked_for_its_figures(
    metered: Callable[..., Metered], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no cgroup of this machine has the id."""
    monkeypatch.setattr(metering, "hierarchies", lambda: ())
    run = metered(BUSY.format(500_000) + "; sleep 5")
    used = own_word(run.printed)

    assert run.usage.source == "engine"
    assert 0.9 * used < run.usage.cpu_seconds < used + 3  # it answers once a second
    assert run.usage.cpu_seconds < run.usage.seconds - 2
    assert run.usage.peak_memory > 0


@pytest.mark.docker
@pytest.mark.parametrize("answers", ["no figures", "nothing"])
def test_without_any_figures_the_clock_counts(
    metered: Callable[..., Metered], monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    """Every CPU as if busy from the start: never too little."""

    def silent() -> docker.APIClient:
        raise SandboxError

    monkeypatch.setattr(metering, "hierarchies", lambda: ())
    if answers == "nothing":
        monkeypatch.setattr(metering, "connect", silent)
    else:
        monkeypatch.setattr(metering, "of_engine", lambda _: None)
    used = metered("sleep 1", cpus=2.0).usage

    assert used.source == "clock"
    assert used.cpu_seconds == pytest.approx(2 * used.seconds)


@pytest.mark.docker
def test_by_the_clock_a_container_is_stopped_too(
    metered: Callable[..., Metered], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sleeping then costs as much as working."""
    monkeypatch.setattr(metering, "hierarchies", lambda: ())
    monkeypatch.setattr(metering, "of_engine", lambda _: None)
    run = metered("sleep 30", Allowance(2e9, 1e9))

    assert run.stopped == "operations"
    assert 1.5 < run.usage.seconds < 4


@pytest.mark.docker
def test_a_jump_of_the_clock_changes_nothing(
    metered: Callable[..., Metered], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No time of day is read."""
    days = itertools.cycle((0, 400, -400))
    monkeypatch.setattr(time, "time", lambda: 1.7e9 + 86400 * next(days))
    used = metered("sleep 1").usage

    assert 1 < used.seconds < 5
    assert used.cpu_seconds < 0.6


@pytest.mark.docker
def test_a_meter_that_breaks_stops_the_container_and_says_so(
    metered: Callable[..., Metered], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would hold it to its budget any more."""

    def broken(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(Tally, "exceeds", broken)
    began = time.monotonic()

    with pytest.raises(SandboxError, match="could not be metered to its end"):
        metered("sleep 0.3; sleep 30")
    assert time.monotonic() - began < 40


@pytest.mark.docker
def test_any_user_of_the_host_may_read_a_containers_cgroup(
    engine: docker.APIClient, container: Callable[..., Any]
) -> None:
    """Being in the engine's group is enough."""
    if os.geteuid() != 0:
        pytest.skip("Only root can become another user.")
    with container("sleep 30") as name:
        engine.start(name)
        os.seteuid(65534)
        try:
            cgroup = find(hierarchies(), name)
            reading = cgroup.read() if cgroup else None
        finally:
            os.seteuid(0)

    assert reading is not None
    assert min(reading.cpu, reading.memory) > 0


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in for the driver's library."""
    if shutil.which("gcc") is None:
        pytest.skip("The stand-in for the driver's library needs gcc (apt-get install gcc).")
    target = tmp_path_factory.mktemp("nvml") / nvml.LIBRARY
    source = Path(__file__).parents[1] / "images/libnvidia-ml.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(target), str(source)], check=True)
    return target


@pytest.fixture
def gpu(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the stand-in reads the figures of GPU-0 from."""
    figures = tmp_path / "figures"
    figures.write_text("50 0 0")
    monkeypatch.setenv("STAND_IN_NVML", str(figures))
    monkeypatch.setattr(nvml, "LIBRARY", str(library))
    return figures


@pytest.mark.docker
@pytest.mark.usefixtures("gpu")
def test_a_gpu_half_busy_is_charged_half_its_time(metered: Callable[..., Metered]) -> None:
    """While the container is there; what the GPU does before its start is not its work."""
    used = metered("sleep 2", Allowance(math.inf, 1e9, 1e9), ("GPU-0",)).usage

    assert 1.0 < used.gpu_seconds < 0.75 * used.seconds


@pytest.mark.docker
@pytest.mark.usefixtures("gpu")
def test_busy_gpu_seconds_spend_the_budget(metered: Callable[..., Metered]) -> None:
    """Two seconds of half a GPU; the CPU is hardly used."""
    allowance = Allowance(1e15, 1e9, 1e15)
    run = metered("sleep 30", allowance, ("GPU-0",))

    assert run.stopped == "operations"
    assert 1.5 < run.usage.seconds < 4
    assert run.usage.operations(allowance) <= 1e15


@pytest.mark.docker
def test_more_gpu_memory_than_its_limit_stops_a_container(
    metered: Callable[..., Metered], gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the GPU held before the start does not count; without a limit it runs to its end."""
    gpu.write_text(f"0 {90 * MiB} 0")
    opened = nvml.opened

    @contextmanager
    def then_used(names: tuple[str, ...]) -> Iterator[nvml.Gpus]:
        with opened(names) as gpus:
            gpu.write_text(f"0 {200 * MiB} 0")
            yield gpus

    monkeypatch.setattr(metering, "opened", then_used)
    stopped = metered("sleep 30", Allowance(math.inf, 1e9, 1e9, 100 * MiB), ("GPU-0",))
    gpu.write_text(f"0 {90 * MiB} 0")
    control = metered("sleep 0.5", Allowance(math.inf, 1e9, 1e9, 120 * MiB), ("GPU-0",))

    assert (stopped.stopped, stopped.usage.gpu_peak_memory) == ("gpu memory", 110 * MiB)
    assert stopped.usage.seconds < 5
    assert (control.stopped, control.usage.gpu_peak_memory) == ("", 110 * MiB)


@pytest.mark.docker
def test_a_gpu_that_cannot_be_metered_refuses_before_the_start(
    metered: Callable[..., Metered], gpu: Path
) -> None:
    """Where it has a price; a probe of ours has none, and its GPU counts as busy."""
    assert gpu.exists()
    with pytest.raises(SandboxError, match="cannot be metered"):
        metered("true", Allowance(math.inf, 1e9, 1e9), ("vendor.example/gpu=0",))

    assert metered("sleep 1", FREE, ("vendor.example/gpu=0",)).usage.gpu_seconds > 1

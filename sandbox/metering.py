"""What a container uses while it runs, and its end where it would use more than it may.

A thread reads the container's cgroup every 50 ms and its GPUs every 100 ms. The charge is the last
sample, and for the time after it every CPU and every GPU as if it had been busy: the cgroup
vanishes with the container, so what came after the last sample is never known. Under gVisor the
sandbox's own work is in the cgroup and charged too.

Where the cgroup is not to be seen (an engine in a machine of its own) the engine is asked for its
figures instead. Docker answers once a second, so up to two seconds of every CPU are charged that
may not have been used, and a container is stopped that much earlier. Without figures the clock
counts: every CPU as if busy from the start. All times are monotonic; setting the clock changes
nothing.

A CPU limit is a quota for each 100 ms, so on a host with more CPUs than the container may use, up
to two quotas may be used within a shorter time: so much of a burst after the last sample (0.2
seconds times the CPUs, once per container) may go uncharged.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Literal, Self

from sandbox.cgroup import Reading, find, hierarchies
from sandbox.engine import connect, engine_errors
from sandbox.nvml import opened
from sandbox.spec import Allowance, SandboxError, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker import APIClient

    from sandbox.cgroup import Cgroup
    from sandbox.nvml import GpuReading, Gpus

Stopped = Literal["", "operations", "gpu memory"]

# Seconds between two of a kind.
_LOOK = 0.01  # for a cgroup that is not there yet
_SAMPLE = 0.05
_ASK = 0.1  # the engine, and GPUs
_KILL = 0.25  # again, for an engine that says the container does not run yet
_PATIENCE = 0.5  # before the engine is asked why there is no cgroup
_HURRY = 30.0  # after which a cgroup is looked for less often


class Tally:
    """The arithmetic: samples in, usage out. It has no clock; every time is given to it."""

    def __init__(self, began: float, cpus: float, gpus: float) -> None:
        self._cpus, self._gpus = cpus, gpus  # how many can be busy at once
        self._began = began
        self._last, self._at = Reading(0.0), began
        self._gpu_seconds, self._gpu_at = 0.0, began
        self._gpu_memory = 0
        self._joules: list[float] = []  # the first and the last figure
        self._gone: float | None = None

    def started(self, at: float) -> None:
        """No program of the container ran before, so no GPU worked for it."""
        self._gpu_at = at

    def sample(self, at: float, reading: Reading) -> None:
        """Take a reading that was made at `at` or later."""
        if reading.cpu >= self._last.cpu:
            self._last, self._at = reading, at

    def gpu_sample(self, at: float, reading: GpuReading) -> None:
        """Take a reading of the GPUs: it stands for the time since the one before."""
        self._gpu_seconds += reading.busy * (at - self._gpu_at)
        self._gpu_at = at
        self._gpu_memory = max(self._gpu_memory, reading.memory)
        self._joules = [*self._joules[:1], reading.joules]

    def gone(self, at: float) -> None:
        """Nothing of the container runs any more."""
        self._gone = min(at, at if self._gone is None else self._gone)

    def usage(self, at: float, source: Literal["cgroup", "engine", "clock"]) -> Usage:
        """What was used up to `at`; what no sample covers counts as busy."""
        until = at if self._gone is None else min(at, self._gone)
        gap, gpu_gap = max(0.0, until - self._at), max(0.0, until - self._gpu_at)
        return Usage(
            seconds=at - self._began,
            cpu_seconds=self._last.cpu + gap * self._cpus,
            peak_memory=self._last.memory,
            bytes_read=self._last.read,
            bytes_written=self._last.written,
            gpu_seconds=self._gpu_seconds + gpu_gap * self._gpus,
            gpu_peak_memory=self._gpu_memory,
            joules=self._joules[-1] - self._joules[0] if self._joules else 0.0,
            source=source,
        )

    def exceeds(self, at: float, allowance: Allowance) -> Stopped:
        """What the container may have used up by `at`."""
        if allowance.gpu_memory and self._gpu_memory > allowance.gpu_memory:
            return "gpu memory"
        used = self.usage(at, "clock")
        operations = used.cpu_seconds * allowance.per_cpu_second
        operations += used.gpu_seconds * allowance.per_gpu_second
        return "operations" if operations > allowance.operations else ""


class Meter:
    """Samples one container from before its start until after its end.

    `stop` is called, from the meter's own thread, as soon as the container may have used up its
    allowance by the next sample, or uses more GPU memory than it may; `stopped` says why from then
    on. It is called again every quarter of a second while the container is still seen, because an
    engine does not kill what it has not quite started.

    GPUs are metered where the allowance has a price or a limit for them; SandboxError says before
    the start why one cannot be. `charged` gets the operations used so far with every sample.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a container may use, and who is told
        self,
        container: str,
        cpus: float,
        allowance: Allowance,
        gpus: tuple[str, ...],
        stop: Callable[[], None],
        charged: Callable[[float], None] | None = None,
    ) -> None:
        self.stopped: Stopped = ""
        self._charged = charged
        self._container = container
        self._cpus = cpus
        self._allowance = allowance
        self._names = gpus
        self._stop = stop
        self._open = ExitStack()
        self._gpus: Gpus | None = None
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="meter", daemon=True)

    def __enter__(self) -> Self:
        """Begin to look for the container."""
        if self._names and (self._allowance.per_gpu_second or self._allowance.gpu_memory):
            self._gpus = self._open.enter_context(opened(self._names))
        count = self._gpus.count if self._gpus else len(self._names)
        began = time.monotonic()
        self._tally = Tally(began, self._cpus, count)
        self._source: Cgroup | _EngineFigures | None = None
        self._figures: Literal["cgroup", "engine", "clock"] = "clock"
        self._finder = _Finder(self._container, began)
        self._alive = False  # whether a container is there that can be stopped
        self._gpu_next = self._stop_next = self._ticked = began
        self._thread.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Take the last sample; SandboxError where metering broke."""
        self._ended.set()
        self._thread.join()
        self._until = time.monotonic()
        self._open.close()
        ours = error is None or isinstance(error, SandboxError)  # Ctrl-C stays what it is
        if self._failure is not None and ours:
            raise SandboxError(
                "The run could not be metered to its end, so it was stopped and nothing is charged "
                f"for it: {self._failure}"
            ) from self._failure

    def allow(self, allowance: Allowance) -> None:
        """Give a container that runs another allowance, of which all counts that it has used."""
        self._allowance = allowance

    def usage(self) -> Usage:
        """What the container used, once the block is left."""
        return self._tally.usage(self._until, self._figures)

    def _watch(self) -> None:
        try:
            while not self._ended.wait(self._pause()):
                self._tick()
            self._tick()
        except Exception as error:  # noqa: BLE001 - __exit__ raises it, whatever it is
            self._failure = error
            with suppress(SandboxError):  # nothing would stop it at its allowance any more
                self._stop()

    def _pause(self) -> float:
        if self._source is None:
            return self._finder.pause()
        return _SAMPLE if self._source.name == "cgroup" else _ASK

    def _tick(self) -> None:
        before = time.monotonic()
        between, self._ticked = before - self._ticked, before
        if self._source is None:
            self._find(before)
        if self._source is not None:
            self._sample(self._source)
        if self._alive and self._gpus and before >= self._gpu_next:
            self._gpu_next = before + _ASK
            reading = self._gpus.read()
            self._tally.gpu_sample(time.monotonic(), reading)
        if self._alive and not self._ended.is_set():
            self._judge(max(between, self._pause()))
            if self._charged:
                used = self._tally.usage(time.monotonic(), self._figures)
                self._charged(used.operations(self._allowance))

    def _find(self, now: float) -> None:
        self._source = self._finder.look(now)
        if self._source is not None:
            self._open.callback(self._source.close)
            self._tally.started(self._finder.looked)
            self._alive = True

    def _sample(self, source: Cgroup | _EngineFigures) -> None:
        at = time.monotonic()
        reading = source.read()
        if reading is not None:
            self._tally.sample(at, reading)
            self._figures = source.name
        elif source.name == "cgroup":
            self._alive = False
            self._tally.gone(time.monotonic())

    def _judge(self, ahead: float) -> None:
        """Stop what may be over its allowance by the next sample, in `ahead` seconds."""
        now = time.monotonic()
        if not self.stopped:
            self.stopped = self._tally.exceeds(now + ahead, self._allowance)
        if self.stopped and now >= self._stop_next:
            self._stop()
            self._stop_next = time.monotonic() + _KILL


class _Finder:
    """Looks for the figures of a container that may not be there yet."""

    def __init__(self, container: str, began: float) -> None:
        self._container = container
        self._trees = hierarchies()
        self._ask_next = began + (_PATIENCE if self._trees else 0.0)
        self._engine: _EngineFigures | None = None
        self._hurry_until = began + (_HURRY if self._trees else 0.0)
        self.looked = began  # the last time that there was nothing

    def pause(self) -> float:
        """Seconds until it is worth looking again."""
        return _LOOK if self.looked < self._hurry_until else _ASK

    def look(self, now: float) -> Cgroup | _EngineFigures | None:
        """Its cgroup, or the engine where that runs it out of sight, or nothing yet."""
        found: Cgroup | _EngineFigures | None = find(self._trees, self._container)
        if found is None and now >= self._ask_next:
            found = self._ask()
            self._ask_next = time.monotonic() + _ASK
        if found is None:
            self.looked = now
        return found

    def _ask(self) -> Cgroup | _EngineFigures | None:
        try:
            self._engine = self._engine or _EngineFigures(self._container)
            pid = self._engine.pid()
        except SandboxError:  # it does not answer now
            return None
        if not pid:
            return None
        return find(self._trees, self._container, pid) or self._engine


class _EngineFigures:
    """What the engine itself counts of a container: a request for each reading."""

    name: Literal["engine"] = "engine"

    def __init__(self, container: str) -> None:
        self._client: APIClient = connect()
        self._container = container

    def pid(self) -> int:
        """What the engine calls the container's first process; 0: it does not run."""
        with engine_errors():
            return int(self._client.inspect_container(self._container)["State"]["Pid"])

    def read(self) -> Reading | None:
        """The figures of now; None where the engine has none."""
        try:
            with engine_errors():
                figures = self._client.stats(self._container, stream=False, one_shot=True)
        except SandboxError:
            return None
        return of_engine(figures)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def of_engine(figures: dict[str, Any]) -> Reading | None:
    """A reading out of the engine's document (GET /containers/ID/stats)."""
    cpu = (figures.get("cpu_stats") or {}).get("cpu_usage") or {}
    if not cpu.get("total_usage"):  # it has ended
        return None
    memory = figures.get("memory_stats") or {}
    blocks = (figures.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    read, written = (
        sum(int(block["value"]) for block in blocks if block["op"].lower() == kind)
        for kind in ("read", "write")
    )
    most = int(memory.get("max_usage") or memory.get("usage") or 0)  # version 2 has no maximum
    return Reading(cpu["total_usage"] / 1e9, most, read, written)

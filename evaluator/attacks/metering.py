"""What the engine itself counts of a container while it runs: the host's side of the limits."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import sandbox

METERED = frozenset({"processes", "memory", "cpu", "log"})
_MEMORY = 250 * 2**20  # of the probe's 300
_CPUS = 0.8  # small limits give half of one
_WINDOW = 1.5  # seconds over which CPU time is compared


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading: seconds, CPU seconds so far, bytes, processes and threads."""

    at: float
    cpu: float
    memory: int
    processes: int


class Meter:
    """Reads the engine's own figures of the container of one run until the block ends."""

    def __init__(self, run: str, marker: str, processes: int, *, idle: bool) -> None:
        """`run` is the container's label, `marker` what it prints, `processes` how many are tried.

        An idle meter reads nothing.
        """
        self._idle = idle
        self._processes = processes
        self._filters = {"label": f"{sandbox.RUN_LABEL}={run}"}
        self._marker = marker.encode()
        self.samples: list[Sample] = []
        self._logged = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Start to read, unless nobody asks."""
        if not self._idle:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Read no more."""
        self._ended.set()
        if not self._idle:
            self._thread.join()

    def seen(self) -> frozenset[str]:
        """Which of METERED the container went beyond."""
        found = {
            "processes": any(sample.processes >= self._processes for sample in self.samples),
            "memory": any(sample.memory >= _MEMORY for sample in self.samples),
            "cpu": busiest(self.samples) >= _CPUS,
            "log": self._logged,
        }
        return frozenset(name for name, there in found.items() if there)

    def _watch(self) -> None:
        client = sandbox.connect()
        while not self._ended.wait(0.1):
            # It is not made yet, or gone already, or its driver keeps no log: that is an answer.
            with suppress(sandbox.SandboxError, KeyError), sandbox.engine_errors():
                for container in client.containers(filters=self._filters):
                    figures = client.stats(container, stream=False, one_shot=True)
                    self.samples.append(sample(figures))
                    self._logged |= self._marker in client.logs(container, tail=5)


def sample(figures: dict[str, Any]) -> Sample:
    """A reading out of the engine's document (GET /containers/ID/stats)."""
    return Sample(
        at=time.monotonic(),
        cpu=figures["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
        memory=figures["memory_stats"]["usage"],
        processes=figures["pids_stats"].get("current", 0),
    )


def busiest(samples: list[Sample]) -> float:
    """The most CPUs used between two readings that are at least 1.5 s apart."""
    pairs = ((a, b) for a in samples for b in samples if b.at - a.at >= _WINDOW)
    return max(((b.cpu - a.cpu) / (b.at - a.at) for a, b in pairs), default=0.0)

"""The processes that run what waits: one `evaluator work` for each slot, begun anew when it ends.

    with working(command, slots, metrics, say) as workers:
        workers.alive

A worker whose watcher was killed ends by itself, once it has finished its run.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from evaluator.watch.metrics import Metrics

_TICK = 0.5  # seconds between two looks at them
_STEADY = 60.0  # who has worked for so long begins anew with the shortest wait
_FIRST, _LONGEST = 2.0, 300.0
PATIENCE = 120.0
"""Seconds that a worker gets to end its containers and give its submission back."""


@dataclass
class _Worker:
    """One place: the process in it, and when the next may start where there is none."""

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    not_before: float = 0.0


class Workers:
    """All of them, looked after by a thread of their own."""

    def __init__(
        self, command: Sequence[str], slots: int, metrics: Metrics, say: Callable[[str], None]
    ) -> None:
        self._command, self._metrics, self._say = command, metrics, say
        self._workers = [_Worker() for _ in range(slots)]
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="workers", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether every one of them runs."""
        return all(worker.process and worker.process.poll() is None for worker in self._workers)

    def start(self) -> None:
        """Start them."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """Have them end what they do and give it back; none is left when this returns."""
        self._ending.set()
        self._thread.join()
        running = [worker.process for worker in self._workers if worker.process]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()  # the next sweep removes what it leaves
                process.wait()

    def _tend(self) -> None:
        while not self._ending.wait(_TICK):
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.process and (code := worker.process.poll()) is not None:
                self._ended(worker, code, now)
            if worker.process is None and worker.not_before <= now:
                if worker.started:
                    self._metrics.add("worker_restarts")
                self._begin(worker, now)
        running = sum(worker.process is not None for worker in self._workers)
        self._metrics.replace(
            "workers", {"running": running, "ended": len(self._workers) - running}
        )

    def _begin(self, worker: _Worker, now: float) -> None:
        worker.started = now
        try:
            # Of a session of its own: Ctrl-C is for the watcher, which then ends it in order.
            worker.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # `evaluator runs` shows what came of each
                start_new_session=True,
            )
        except OSError as error:  # no memory, or too many processes
            self._ended(worker, error.errno or -1, now)

    def _ended(self, worker: _Worker, code: int, now: float) -> None:
        worker.process = None
        if now - worker.started > _STEADY:
            worker.failures = 0
        worker.failures += 1
        wait = min(_LONGEST, _FIRST * 2 ** min(worker.failures - 1, 30))
        worker.not_before = now + wait
        self._say(
            f"A worker has ended with {code}, for the reason above; the next in {wait:.0f} s."
        )


@contextmanager
def working(
    command: Sequence[str], slots: int, metrics: Metrics, say: Callable[[str], None]
) -> Iterator[Workers]:
    """Have workers for as long as the block lasts; none where there are no slots."""
    workers = Workers(command, slots, metrics, say)
    workers.start()
    try:
        yield workers
    finally:
        workers.stop()

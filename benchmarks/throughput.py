"""Fifty submissions, one after the other and two at a time, against containers started by hand.

Each is a small ONNX model of its own bytes on the same holdout, and each way is the seconds that
all of them take, divided by their number:

docker run            our runner image by `docker run`, with the files bound read-only, no network,
                      and one line of numpy for the score: a container after the other, as a user
                      would do it in a loop. Two CPUs.
evaluator, 1 slot     `evaluator work` in a workspace where they wait, of five vendors: a container
                      that checks and predicts for each, a signed result, ledger, log. Two CPUs.
evaluator, 2 slots    the same with two slots of one CPU and two of these commands, which share the
                      queue. Left out on a host of one CPU.

They are taken in beforehand, by what `evaluator submit` calls; that is in a table of its own.
"""

from __future__ import annotations

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands import by_hand, ground_of
from benchmarks.measure import Comparison, Sample, command, timed
from benchmarks.past import signers_of
from benchmarks.workspace import (
    HOLDOUT,
    SMALL,
    VENDOR,
    empty_model,
    evaluator,
    run_line,
    runtimes,
    settled,
    warm_workspaces,
)
from evaluator.queue import Request, submit
from evaluator.submission import parse_submission
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.commands import Ground
    from benchmarks.measure import Bench

COUNT = 50
VENDORS = (VENDOR, *(f"{VENDOR}-{number}" for number in range(2, 6)))  # each has one run at a time


@dataclass(frozen=True, slots=True)
class Queue:
    """A workspace with slots, where `models` are handed in again and again."""

    bench: Bench
    farm: Path
    models: Sequence[Path]
    slots: int
    taking: list[Sample] = field(default_factory=list)

    def emptied(self) -> Sample:
        """Hand all in; then work until nothing waits."""
        self.taking.append(timed(self._hand_in))
        work = evaluator("work", "--workspace", self.farm)

        def workers() -> None:
            environment = settled(self.bench)
            with ThreadPoolExecutor(self.slots) as threads:
                samples.extend(threads.map(lambda _: command(work, environment), range(self.slots)))

        samples: list[Sample] = []
        whole = timed(workers)
        cpu = sum(sample.cpu for sample in samples)
        peak = max(sample.peak for sample in samples)
        return Sample(whole.seconds / len(self.models), cpu / len(self.models), peak)

    def _hand_in(self) -> None:
        workspace = Workspace(self.farm)
        signers = signers_of(workspace)
        for number, model in enumerate(self.models):
            vendor = VENDORS[number % len(VENDORS)]
            request = Request(parse_submission(str(model)), vendor, "baseline")
            submit(workspace, request, signers, lambda _: None)


def measure(bench: Bench) -> None:
    """Compare the ways, once: fifty runs of each are enough."""
    if "runc" not in runtimes(bench):
        return
    models = _models(bench, 2 if bench.smoke else COUNT)
    warm = warm_workspaces(bench, SMALL if bench.smoke else HOLDOUT, ("runc",))["runc"]
    queues = [Queue(bench, _farm(bench, warm, 1), models, 1)]
    if (os.cpu_count() or 1) > 1:
        queues.append(Queue(bench, _farm(bench, warm, 2), models, 2))
    ways: dict[str, Callable[[], Sample]] = {}
    if shutil.which("docker"):
        ways["docker run"] = partial(_by_hand, ground_of(bench, {"runc": warm}), models)
    for queue in queues:
        ways[f"evaluator, {queue.slots} slot{'s'[: queue.slots - 1]}"] = queue.emptied
    against = next(iter(ways))
    title = f"Seconds for each of {len(models)} submissions"
    bench.compare(Comparison("throughput", title, ways, against), rounds=1, warm=True)
    taking = [sample for queue in queues for sample in queue.taking]
    bench.table(
        "taking-in",
        "Milliseconds to take one submission in, and to log it",
        ["wall", "CPU"],
        [
            [
                round(1000 * min(sample.seconds for sample in taking) / len(models), 1),
                round(1000 * min(sample.cpu for sample in taking) / len(models), 1),
            ]
        ],
    )
    for queue in queues:
        shutil.rmtree(queue.farm)


def _models(bench: Bench, count: int) -> list[Path]:
    """So many files that differ in a word."""
    from onnx import load, save  # noqa: PLC0415

    model, paths = load(str(empty_model(bench.work))), []
    for number in range(count):
        model.producer_version = str(number)
        paths.append(bench.work / f"small-{number}.onnx")
        save(model, str(paths[-1]))
    return paths


def _farm(bench: Bench, warm: Path, slots: int) -> Path:
    """A copy of a workspace, with slots of one CPU or none, whose wall has been tried so."""
    farm = Path(shutil.copytree(warm, bench.work / f"queue-{slots}"))
    rules = farm / "evaluator.toml"
    if slots > 1:
        text = re.sub("(?m)^cpus = .*", "cpus = 1.0", rules.read_text())
        sets = ", ".join(f'"{number}"' for number in range(slots))
        rules.write_text(re.sub("(?m)^slots = .*", f"slots = [{sets}]", text))
    for vendor in VENDORS[1:]:
        command(evaluator("vendors", "add", vendor, "--workspace", farm), settled(bench))
    command(run_line(empty_model(bench.work), farm), settled(bench))
    return farm


def _by_hand(ground: Ground, models: Sequence[Path]) -> Sample:
    """A loop over `docker run`."""
    samples = [by_hand(ground, model) for model in models]
    seconds, cpu = (sum(getattr(one, key) for one in samples) for key in ("seconds", "cpu"))
    peak = max(sample.peak for sample in samples)
    return Sample(seconds / len(models), cpu / len(models), peak)

"""EVA420 on: what a submission will need on the owner's host, from what was measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.lint.making import asks, block, rules_of
from evaluator.lint.rule import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import Facts

_MICRO = 1_000_000  # micro-petaflops in a petaflop
_LONG_LOAD = 30.0  # seconds
_SHARE = 0.5  # of a run's time, or of the budget
_NEAR = 0.85  # of the memory limit
_WORTH_LOOKING = 10.0  # seconds; shorter steps say nothing of how CPUs are used


def _predicted(facts: Facts, status: str, words: str) -> Iterator[Hit]:
    for each in facts.estimates:
        if each.status == status:
            yield Hit(words.format(each=each), f"estimate/{each.phase}")


@asks(
    420,
    "predicted-over-deadline",
    "error",
    applies="both",
    needs=("estimates",),
    title="It will end before the deadline on the owner's tiles",
    why="The owner has more tiles than the rehearsal. From the time for each of them here, an "
    "official run would be TIMEOUT; on another processor it may differ.",
    fix="Make a tile cheaper: larger batches, fewer augmentations, a smaller model."
    + block("python", "with torch.inference_mode():"),
)
def _predicted_over_deadline(facts: Facts) -> Iterator[Hit]:
    return _predicted(facts, "TIMEOUT", "{each.phase}: about {each.seconds:.0f} s")


@asks(
    421,
    "predicted-over-budget",
    "error",
    applies="both",
    needs=("estimates",),
    title="It will fit into the compute budget on the owner's tiles",
    why="Busy seconds times the peak of the device are charged. From what was measured here an "
    "official run would be BUDGET_SPENT.",
    fix="Make a tile cheaper, train for fewer epochs, or ask the owner for more."
    + block("json", '{"epochs": 2, "mode": "head"}'),
)
def _predicted_over_budget(facts: Facts) -> Iterator[Hit]:
    return _predicted(facts, "BUDGET_SPENT", "{each.phase}: about {each.petaflops:.4g} PF")


@asks(
    422,
    "takes-much-of-the-budget",
    "note",
    applies="both",
    needs=("estimates",),
    title="One run leaves compute for another",
    why="What is charged is gone. A run that takes more than half of the budget cannot be tried "
    "again.",
    fix="Ask for one phase first." + block("sh", "evaluator run IMAGE --phase baseline"),
)
def _takes_much_of_the_budget(facts: Facts) -> Iterator[Hit]:
    budget = facts.challenge.limits.micro_petaflops / _MICRO
    spent = sum(each.petaflops for each in facts.estimates)
    if _SHARE * budget < spent <= budget:
        yield Hit(f"about {spent:.4g} of {budget:.4g} PF", "estimate")


@asks(
    423,
    "memory-near-limit",
    "warning",
    applies="both",
    title="Memory stays well below the limit",
    why="The rehearsal's tiles are few. A program that keeps its inputs or outputs needs more with "
    "the owner's, and the kernel kills it at the limit.",
    fix="Map the tiles, and let nothing grow with their number."
    + block("python", 'tiles = numpy.load("/input/tiles.npy", mmap_mode="r")'),
)
def _memory_near_limit(facts: Facts) -> Iterator[Hit]:
    most = facts.challenge.resources.memory_bytes
    peaks = [(each.peak_memory, f"log/{each.verb}") for each in facts.steps]
    peaks += [(each.peak_memory, f"estimate/{each.phase}") for each in facts.estimates]
    for peak, where in peaks:
        if peak > _NEAR * most:
            yield Hit(f"{peak / most:.0%} of {most:,} bytes", where)


@asks(
    424,
    "slow-to-load",
    "warning",
    applies="both",
    needs=("estimates",),
    title="Loading takes a small part of the time",
    why="Imports and weights are loaded in every container, before its first tile, and charged. "
    "Most of it is often a framework of which one function is used.",
    fix="See what is imported, and leave it out."
    + block("sh", "python -X importtime main.py predict 2>&1 | sort -t'|' -k2 -n | tail"),
)
def _slow_to_load(facts: Facts) -> Iterator[Hit]:
    for each in facts.estimates:
        share = each.load / each.seconds if each.seconds > 0 else 0.0
        if each.load > _LONG_LOAD or (each.load > _WORTH_LOOKING and share > _SHARE):
            yield Hit(
                f"{each.phase}: {each.load:.0f} s of about {each.seconds:.0f} s before the first "
                "tile",
                f"estimate/{each.phase}",
            )


@asks(
    425,
    "gpu-idle",
    "note",
    applies="both",
    needs=("predict",),
    title="The GPU works where there is one",
    why="The owner's container has a GPU, and this one never used it: the CPU does the work, for "
    "longer. Where the rehearsal's host has no GPU this says nothing.",
    fix="Move model and tiles to the device that is given."
    + block("python", 'model.to(os.environ["EVALUATOR_DEVICE"])'),
)
def _gpu_idle(facts: Facts) -> Iterator[Hit]:
    if facts.challenge.resources.gpus:
        for step in facts.ran("predict"):
            if step.status == "OK" and step.seconds > 1 and not step.gpu_seconds:
                yield Hit(f"{step.phase}: the GPU was never busy", "log/predict")


@asks(
    426,
    "one-cpu-of-many",
    "note",
    applies="both",
    title="Every CPU that is given works",
    why="The deadline counts seconds, whatever stands idle.",
    fix="Use as many threads as are given."
    + block("python", 'torch.set_num_threads(int(os.environ["EVALUATOR_THREADS"]))'),
)
def _one_cpu_of_many(facts: Facts) -> Iterator[Hit]:
    cpus = facts.challenge.resources.cpus
    for step in facts.steps:
        busy = step.cpu_seconds / step.seconds if step.seconds > _WORTH_LOOKING else cpus
        if cpus >= 2 and busy < 0.6 * cpus and not step.gpu_seconds:
            yield Hit(f"{step.verb}: {busy:.1f} of {cpus:g} CPUs", f"log/{step.verb}")


RULES = rules_of(globals())

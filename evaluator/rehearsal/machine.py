"""The steps of a rehearsal: this host's engine, and a note of what each container did.

Two things are done that an official run does not do. A container of ours that only looks at a
model is told the owner's numbers of tiles, so that what it plans is what it would plan there. And
after the first prediction the same container runs once more on a few of its tiles: two sizes tell
what loading takes from what a tile takes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from evaluator.job import NUMBER_BYTES
from evaluator.lint.facts import StepFacts
from evaluator.rehearsal.by_hand import command, keep
from sandbox import LOG_BYTES, Mount, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from evaluator.dataset.sealed import Dataset
    from evaluator.job import Steps
    from evaluator.lint.facts import Output, Phase
    from sandbox import Outcome, Spec

FEW = 8  # tiles of the second, small prediction


@dataclass
class Noted:
    """The steps of one rehearsal and what they left: `checks` are records of our own programs."""

    dataset: Dataset
    owners: tuple[int, int]  # the owner's numbers of tiles: holdout, training
    scratch: Path
    vendors: str  # what the vendor calls its image, "" where images are ours
    say: Callable[[str], None]
    facts: list[StepFacts] = field(default_factory=list)
    checks: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    kept: Path | None = None  # where the vendor wants the inputs of each step
    printed: bytes = b""
    steps: Steps = field(init=False)  # which give `log` what containers print

    def log(self, _: str, printed: bytes) -> None:
        """Take what a container printed, before its step ends."""
        self.printed = printed

    def prepare(self, holder: Spec, size: int) -> AbstractContextManager[None]:
        """As an official run does."""
        return self.steps.prepare(holder, size)

    def run(self, spec: Spec) -> Outcome:
        """Run one step to its end, and note it."""
        self.commands.append(command(spec, self.vendors))
        if self.kept:
            keep(spec, self.kept)
        if spec.verb == "check":
            self.say("Looking at the model, without any tile ...")
            outcome = self._noted(self._planning(spec), 0)
            self.checks.append(outcome.output)
            return outcome
        if spec.verb == "train":
            tiles = self.dataset.training.size if self.dataset.training else 0
            self.say(f"Training on {tiles} made-up tiles ...")
            return self._noted(spec, tiles)
        learnt = " with what it has learnt" if spec.model else ""
        tiles = self.dataset.holdout.size
        self.say(f"Predicting {tiles} made-up tiles{learnt} ...")
        outcome = self._noted(spec, tiles)
        if outcome.status is Status.OK and not spec.model and tiles > FEW:
            self.say(f"Predicting {FEW} of them once more, to tell loading from predicting ...")
            self.commands.append("")  # the same line again
            self._noted(self._small(spec), FEW)
        return outcome

    def _noted(self, spec: Spec, tiles: int) -> Outcome:
        self.printed = b""
        outcome = self.steps.run(spec)
        used = outcome.usage
        self.facts.append(
            StepFacts(
                phase=self._phase(spec),
                verb=spec.verb,
                tiles=tiles,
                status=outcome.status,
                exit_code=outcome.exit_code,
                start=outcome.start,
                seconds=outcome.seconds,
                cpu_seconds=used.cpu_seconds if used else 0.0,
                gpu_seconds=used.gpu_seconds if used else 0.0,
                peak_memory=used.peak_memory if used else 0,
                log=self.printed[:LOG_BYTES].decode(errors="replace"),
                cut=len(self.printed) > LOG_BYTES,
                output=self._output(outcome.output, tiles) if spec.verb == "predict" else "",
            )
        )
        return outcome

    def _phase(self, spec: Spec) -> Phase:
        tuned = spec.model or (spec.verb == "check" and self.checks)
        return "tuned" if tuned else "baseline"

    def _output(self, raw: bytes, tiles: int) -> Output:
        """What was found in the file of predictions, by the rules of `evaluator.predictions`."""
        numbers = self.dataset.holdout.targets is not None
        wanted = tiles * (NUMBER_BYTES if numbers else 1)
        if len(raw) != wanted:
            return "missing" if not raw else "short" if len(raw) < wanted else "long"
        if numbers:
            fits = bool(np.isfinite(np.frombuffer(raw, "<f4")).all())
        else:
            fits = max(raw) < len(self.dataset.classes)
        return "right" if fits else "out of range"

    def _planning(self, spec: Spec) -> Spec:
        """The same look at a model, told of as many tiles as the owner has."""
        training = self.dataset.training
        trains = training is not None and _source(spec, _MANIFEST) == training.manifest
        return self._given(spec, "planning.json", self.owners[1 if trains else 0])

    def _small(self, spec: Spec) -> Spec:
        """The same prediction, of the first few tiles."""
        tiles = self.scratch / "few.npy"
        np.save(tiles, np.load(_source(spec, _TILES), mmap_mode="r")[:FEW])
        tiles.chmod(0o444)
        unit = spec.output_size // self.dataset.holdout.size
        small = self._given(spec, "few.json", FEW)
        inputs = tuple(Mount(tiles, m.target) if m.target == _TILES else m for m in small.inputs)
        return replace(small, inputs=inputs, output_size=FEW * unit)

    def _given(self, spec: Spec, name: str, tiles: int) -> Spec:
        """The same container, whose manifest says another number of tiles."""
        manifest = json.loads(_source(spec, _MANIFEST).read_bytes()) | {"tiles": tiles}
        path = self.scratch / name
        path.unlink(missing_ok=True)
        path.write_text(json.dumps(manifest, indent=2) + "\n")
        path.chmod(0o444)
        inputs = tuple(Mount(path, m.target) if m.target == _MANIFEST else m for m in spec.inputs)
        return replace(spec, inputs=inputs)


_MANIFEST, _TILES = "/input/manifest.json", "/input/tiles.npy"


def _source(spec: Spec, target: str) -> Path:
    return next(mount.source for mount in spec.inputs if mount.target == target)

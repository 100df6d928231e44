"""A run before its submission: dataset, policy, limits, and the containers they allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import Mount, Outcome, SandboxPolicy, Spec

if TYPE_CHECKING:
    from evaluator.admission_policy import AdmissionPolicy
    from evaluator.dataset.sealed import Dataset
    from evaluator.proof import Proof

Run = Callable[[Spec, Path, str], Outcome]


@dataclass(frozen=True, slots=True)
class Job:
    """Everything about a run that is not the submission. Memory and sizes in bytes."""

    run: str
    dataset: Dataset
    policy: SandboxPolicy
    admission: AdmissionPolicy
    seccomp: str
    proof: Proof
    scratch: Path
    cpus: float
    memory: int
    gpus: tuple[str, ...]
    largest: int
    runner: Callable[[], str]
    known_images: Path | None = None  # the workspace's record of admitted bytes; none are kept

    @property
    def manifest(self) -> Mount:
        """What a container reads first."""
        return Mount(self.dataset.holdout.manifest, "/input/manifest.json")

    @property
    def tiles(self) -> Mount:
        """The holdout, without its labels: those are mounted nowhere."""
        return Mount(self.dataset.holdout.tiles, "/input/tiles.npy")

    def check(self, model: tuple[Mount, ...], answer: int) -> Spec:
        """A container of ours that loads a model and sees no tile; `answer` is in bytes."""
        return self._spec("check", self.runner(), (self.manifest, *model), answer)

    def predict(self, image: str, more: tuple[Mount, ...]) -> Spec:
        """The one container that sees the holdout."""
        inputs = (self.manifest, self.tiles, *more)
        return self._spec("predict", image, inputs, self.dataset.holdout.size)

    def _spec(self, verb: str, image: str, inputs: tuple[Mount, ...], output: int) -> Spec:
        return Spec(
            run=self.run,
            image=image,
            verb=verb,
            inputs=inputs,
            output_size=output,
            limits=self.policy.limits(verb, self.cpus, self.memory),
            runtime=self.policy.runtime,
            gpus=self.gpus,
        )

"""A run before its submission: dataset, policy, limits, and the containers they allow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Literal, Protocol

from sandbox import Allowance, Mount, Spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from evaluator.admission_policy import AdmissionPolicy
    from evaluator.compute import Compute
    from evaluator.dataset.sealed import Dataset, Split
    from evaluator.lint.facts import ImageFacts
    from evaluator.proof import Proof
    from sandbox import Outcome, SandboxPolicy

NUMBER_BYTES = 4
"""Of a predicted number: one float32."""

_UNLIMITED = Allowance()


class Steps(Protocol):
    """What a run needs of a machine; `sandbox.Steps` is this host's Docker engine."""

    def prepare(self, holder: Spec, size: int) -> AbstractContextManager[None]:
        """A place of at most `size` bytes for the run's model, for as long as the block lasts."""

    def run(self, spec: Spec) -> Outcome:
        """Run one container to its end."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images of ours that a run may need, each built when it is asked for first."""

    runner: Callable[[], str]
    trainer: Callable[[], str]
    holder: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Job:
    """Everything about a run that is not the submission. Memory and sizes in bytes.

    `recipe` is what the vendor asks of the training, None where it asks nothing. `keep` is the
    file that takes the adapted model, and `adapted` one that an earlier run kept: then there is
    one phase alone, on today's holdout. `seen` is told what the layers of an image hold; only a
    rehearsal asks. `hashed` waits for the hashing of the dataset where that has begun already.
    """

    run: str
    dataset: Dataset
    phases: Literal["baseline", "both"]
    policy: SandboxPolicy
    admission: AdmissionPolicy
    seccomp: str
    proof: Proof
    scratch: Path
    cpus: float
    memory: int
    gpus: tuple[str, ...]
    largest: int
    compute: Compute
    images: Images
    recipe: bytes | None = None
    keep: Path | None = None
    adapted: Path | None = None
    cpuset: str = ""
    co_resident: bool = False
    known_images: Path | None = None  # the workspace's record of admitted bytes; none are kept
    seen: Callable[[ImageFacts], None] | None = None
    hashed: Callable[[], None] | None = None

    @property
    def training(self) -> Split | None:
        """The tiles to train on, where the run is to train at all."""
        return self.dataset.training if self.phases == "both" else None

    @property
    def both(self) -> bool:
        """Whether there is a phase of training."""
        return self.training is not None

    def check(
        self, image: str, model: tuple[Mount, ...], answer: int, *, waits: bool = False
    ) -> Spec:
        """A container of ours that loads a model and sees no tile; `answer` is in bytes.

        One that `waits` may be the one that predicts next: what it has used by then counts.
        """
        about = self.training or self.dataset.holdout
        priced = replace(self.compute.allowance(), operations=inf) if waits else _UNLIMITED
        spec = self._spec("check", image, (_manifest(about), *model), answer, priced)
        return replace(spec, waits=waits)

    def predict(
        self,
        image: str,
        more: tuple[Mount, ...],
        allowance: Allowance,
        model: Literal["", "read"] = "",
    ) -> Spec:
        """The one container that sees the holdout, without its labels: those are in none."""
        holdout = self.dataset.holdout
        inputs = (_manifest(holdout), Mount(holdout.tiles, "/input/tiles.npy"), *more)
        output = holdout.size * (NUMBER_BYTES if holdout.targets else 1)
        return self._spec("predict", image, inputs, output, allowance, model)

    def train(
        self, image: str, more: tuple[Mount, ...], allowance: Allowance, *, frames: bool
    ) -> Spec:
        """The one container that sees training tiles and their labels; no holdout, no output."""
        training = self.training
        assert training is not None  # noqa: S101 - the flow asks first
        inputs = (
            _manifest(training),
            Mount(training.tiles, "/input/tiles.npy"),
            *_labels(training),
            *more,
        )
        return self._spec("train", image, inputs, 0, allowance, "write", frames=frames)

    def hold(self) -> Spec:
        """The container of ours that keeps the model from `train` to `predict`."""
        return self._spec("hold", self.images.holder(), (), 0, model="read")

    def pack(self, kept: Path) -> Spec:
        """Have the model packed into a file that nobody here looks into."""
        return self._spec("keep", self.images.holder(), (), 1, model="read", kept=kept)

    def unpack(self, kept: Path) -> Spec:
        """Have such a file unpacked into a fresh model volume."""
        inputs = (Mount(kept, "/input/archive"),)
        return self._spec("restore", self.images.holder(), inputs, 0, model="write")

    def _spec(  # noqa: PLR0913, PLR0917 - what differs between the containers of a run
        self,
        verb: str,
        image: str,
        inputs: tuple[Mount, ...],
        output: int,
        allowance: Allowance = _UNLIMITED,
        model: Literal["", "read", "write"] = "",
        *,
        frames: bool = False,
        kept: Path | None = None,
    ) -> Spec:
        ours = verb in {"hold", "keep", "restore"}
        return Spec(
            run=self.run,
            image=image,
            verb=verb,
            inputs=inputs,
            output_size=output,
            limits=self.policy.limits(verb, self.cpus, self.memory),
            runtime=self.policy.runtime,
            gpus=() if ours else self.gpus,
            model=model,
            allowance=allowance,
            cpuset=self.cpuset,
            kept=kept,
            frames=frames,
        )


def _labels(side: Split) -> tuple[Mount, ...]:
    """What is to be learnt: classes, or numbers with the classes beside them."""
    if side.targets is None:
        return (Mount(side.labels, "/input/labels.npy"),)
    return (
        Mount(side.targets, "/input/labels.npy"),
        Mount(side.labels, "/input/crops.npy"),
    )


def _manifest(side: Split) -> Mount:
    """What a container reads first."""
    return Mount(side.manifest, "/input/manifest.json")

"""The main flow: one submission, one holdout, one evaluation. Start reading here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sandbox
from evaluator.admission import Admitted, Received, admit
from evaluator.dataset.commitment import check_commitment
from evaluator.dataset.sealed import Dataset, check_seal, read_labels
from evaluator.errors import Refused, SubmissionError
from evaluator.predictions import read_predictions
from evaluator.scoring import Counts, count
from sandbox import Limits, Mount, Outcome, SandboxPolicy, Spec, Status

Run = Callable[[Spec, Path, str], Outcome]


@dataclass(frozen=True, slots=True)
class Job:
    """Everything about a run that is not the submission. Memory and sizes in bytes."""

    run: str
    dataset: Dataset
    policy: SandboxPolicy
    seccomp: str
    scratch: Path
    cpus: float
    memory: int
    gpus: tuple[str, ...]
    largest: int
    runner: Callable[[], str]

    @property
    def manifest(self) -> Mount:
        """What a container reads first."""
        return Mount(self.dataset.holdout.manifest, "/input/manifest.json")

    @property
    def tiles(self) -> Mount:
        """The holdout, without its labels: those are mounted nowhere."""
        return Mount(self.dataset.holdout.tiles, "/input/tiles.npy")

    def limits(self, verb: str) -> Limits:
        """What one container may use."""
        return self.policy.limits(verb, self.cpus, self.memory)

    def predict(self, admitted: Admitted) -> Spec:
        """The one container that sees the holdout."""
        return Spec(
            run=self.run,
            image=admitted.image,
            verb="predict",
            inputs=(self.manifest, self.tiles, *admitted.inputs),
            output_size=self.dataset.holdout.size,
            limits=self.limits("predict"),
            runtime=self.policy.runtime,
            gpus=self.gpus,
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How one phase ended. `counts` are exact and for the data owner alone.

    `message` may be shown to the vendor; `exit_code` and `seconds` may not.
    """

    status: str
    counts: Counts | None = None
    rules: tuple[str, ...] = ()
    message: str = ""
    exit_code: int | None = None
    seconds: float = 0.0


def evaluate(received: Received, job: Job, run: Run = sandbox.run) -> Evaluation:
    """Evaluate one submission on the holdout.

    1. Hash every file of the dataset against its seal, and the holdout against the commitment.
    2. Admit the submission, or refuse it before any of it sees a tile.
    3. Run it: no network, tiles read-only, one file to write.
    4. Read its predictions: the only thing that comes back.
    5. Score them against labels that were never mounted.

    A submission that fails is an Evaluation. A sandbox that fails is an exception.
    """
    check_seal(job.dataset)
    check_commitment(job.dataset)
    outcome = None
    try:
        with admit(received, job, run) as admitted:
            outcome = run(job.predict(admitted), job.scratch, job.seccomp)
        _require_ok(outcome)
        classes = len(job.dataset.classes)
        predictions = read_predictions(outcome.output, job.dataset.holdout.size, classes)
    except SubmissionError as failure:
        return _failed(failure, outcome)
    labels = read_labels(job.dataset.holdout, classes)
    counts = count(labels, predictions, job.dataset.classes, job.dataset.rare)
    return Evaluation(Status.OK, counts, exit_code=outcome.exit_code, seconds=outcome.seconds)


_ENDINGS = {
    Status.START_FAILED: "its entry point is missing or not executable in the image.",
    Status.NONZERO_EXIT: "it ended with an exit status other than 0.",
    Status.TIMEOUT: "it was still running at the deadline.",
    Status.OUT_OF_MEMORY: "it asked for more memory than its limit.",
}


def _require_ok(outcome: Outcome) -> None:
    if outcome.status is not Status.OK:
        raise SubmissionError(outcome.status, _ENDINGS[outcome.status])


def _failed(failure: SubmissionError, outcome: Outcome | None) -> Evaluation:
    return Evaluation(
        failure.status,
        rules=(failure.rule,) if isinstance(failure, Refused) else (),
        message=str(failure),
        exit_code=outcome.exit_code if outcome else None,
        seconds=outcome.seconds if outcome else 0.0,
    )

"""The main flow: one submission, one holdout, two phases. Start reading here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.admission import Received, admit
from evaluator.dataset.sealed import check_seal
from evaluator.errors import Refused, SubmissionError
from evaluator.meanwhile import meanwhile
from evaluator.regression import measure
from evaluator.scoring import count
from sandbox import Allowance, Outcome, SandboxError, Spec, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.admission import Admitted
    from evaluator.compute import Compute
    from evaluator.dataset.sealed import Dataset
    from evaluator.job import Job, Steps
    from evaluator.regression import Errors
    from evaluator.scoring import Counts


@dataclass(frozen=True, slots=True)
class Phase:
    """How one phase ended. `counts` are exact and for the data owner alone.

    `charge` is in micro-petaflops. `message` may be shown to the vendor; `outcomes`, those of its
    containers in order, may not.
    """

    status: str
    counts: Counts | Errors | None = None
    rules: tuple[str, ...] = ()
    message: str = ""
    charge: int = 0
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of a run: as submitted, and fine-tuned; None for a phase it never came to."""

    baseline: Phase | None
    tuned: Phase | None = None

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Those that there are, in order."""
        return tuple(phase for phase in (self.baseline, self.tuned) if phase)


def evaluate(received: Received, job: Job, steps: Steps) -> Evaluation:
    """Evaluate one submission on the holdout, as submitted and fine-tuned.

    1. Hash every file of the dataset against its seal, and the holdout against the commitment.
    2. Meanwhile admit the submission, or refuse it before any of it sees a tile.
    3. Run it on the holdout as submitted: no network, tiles read-only, one file to write.
    4. Let it train on the training tiles, in a container without holdout tiles and without output.
    5. Run it on the holdout anew, with what it has learnt read-only.
    6. Score what it predicts, the only thing that comes back, against labels that were never
       mounted.

    A submission that fails is a Phase. A sandbox that fails is an exception.
    """
    sealed = meanwhile(lambda: _check_dataset(job))
    try:
        with admit(received, job, steps) as admitted:
            sealed()
            if job.adapted:
                return Evaluation(None, _adapted(admitted, job, steps))
            baseline = _baseline(admitted, job, steps)
            if job.training is None:
                return Evaluation(baseline)
            left = job.compute.after(baseline.charge)
            return Evaluation(baseline, _tuned(admitted, job, steps, left))
    except SubmissionError as failure:
        sealed()
        phase = _failed(failure)
        return Evaluation(None, phase) if job.adapted else Evaluation(phase)


def _check_dataset(job: Job) -> None:
    """Raise OwnerError where a tile, a label or anything else is not as it was sealed."""
    if job.hashed:
        job.hashed()
    else:
        check_seal(job.dataset)
    from evaluator.dataset.commitment import check_commitment  # noqa: PLC0415 - numpy, meanwhile

    check_commitment(job.dataset)


def _baseline(admitted: Admitted, job: Job, steps: Steps) -> Phase:
    return _phase(
        job, steps, job.compute, lambda left: job.predict(admitted.image, admitted.inputs, left)
    )


def _tuned(admitted: Admitted, job: Job, steps: Steps, left: Compute) -> Phase:
    """Train, then predict in a fresh container; the model lives no longer than this."""
    with steps.prepare(job.hold(), job.policy.model_bytes):
        phase = _phase(
            job,
            steps,
            left,
            lambda left: job.train(
                admitted.trainer, admitted.trainer_inputs, left, frames=admitted.ours
            ),
            lambda left: job.predict(admitted.image, admitted.tuned_inputs, left, "read"),
        )
        if job.keep and phase.status == Status.OK:
            _pack(job, steps, job.keep)
    return phase


def _pack(job: Job, steps: Steps, kept: Path) -> None:
    """Keep the model, or nothing of it: the scores stand without it, whatever went wrong."""
    try:
        packed = steps.run(job.pack(kept)).status is Status.OK
    except SandboxError:
        packed = False
    if not packed:
        kept.unlink()


def _adapted(admitted: Admitted, job: Job, steps: Steps) -> Phase:
    """Predict with the model that an earlier run's training left."""
    assert job.adapted is not None  # noqa: S101 - the flow asks first
    with steps.prepare(job.hold(), job.policy.model_bytes):
        _require_unpacked(steps.run(job.unpack(job.adapted)))
        return _phase(
            job,
            steps,
            job.compute,
            lambda left: job.predict(admitted.image, admitted.tuned_inputs, left, "read"),
        )


def _phase(
    job: Job, steps: Steps, compute: Compute, *containers: Callable[[Allowance], Spec]
) -> Phase:
    """Run containers one after the other, the last of which predicts, and score that."""
    outcomes: list[Outcome] = []
    dataset = job.dataset
    try:
        for container in containers:
            _require_left(compute, outcomes)
            spec = container(compute.allowance(_operations(outcomes, compute)))
            outcomes.append(steps.run(spec))
            _require_ok(outcomes[-1], spec.verb)
        counts = (
            _measured(outcomes[-1].output, dataset)
            if dataset.task == "regression"
            else _counted(outcomes[-1].output, dataset)
        )
    except SubmissionError as failure:
        return _failed(failure, compute, outcomes)
    charge = compute.charge(_operations(outcomes, compute))
    return Phase(Status.OK, counts, charge=charge, outcomes=tuple(outcomes))


def _counted(raw: bytes, dataset: Dataset) -> Counts:
    """Hold the classes that a submission wrote against the holdout's labels."""
    from evaluator.dataset.labels import read_labels  # noqa: PLC0415 - here numpy has come
    from evaluator.predictions import read_predictions  # noqa: PLC0415 - as above

    predictions = read_predictions(raw, dataset.holdout.size, len(dataset.classes))
    labels = read_labels(dataset.holdout, len(dataset.classes))
    return count(labels, predictions, dataset.classes, dataset.rare)


def _measured(raw: bytes, dataset: Dataset) -> Errors:
    """Hold the numbers that a submission wrote against the holdout's targets."""
    from evaluator.dataset.labels import read_labels  # noqa: PLC0415 - here numpy has come
    from evaluator.dataset.targets import read_targets  # noqa: PLC0415 - as above
    from evaluator.predictions import read_numbers  # noqa: PLC0415 - as above

    predictions = read_numbers(raw, dataset.holdout.size)
    labels = read_labels(dataset.holdout, len(dataset.classes))
    targets = read_targets(dataset.holdout)
    return measure(labels, targets, predictions, dataset.classes, dataset.rare)


def _operations(outcomes: list[Outcome], compute: Compute) -> float:
    allowance = compute.allowance()
    return sum(outcome.usage.operations(allowance) for outcome in outcomes if outcome.usage)


def _require_left(compute: Compute, outcomes: list[Outcome]) -> None:
    if compute.fits(_operations(outcomes, compute)) and compute.left:
        return
    raise SubmissionError(
        Status.BUDGET_SPENT, "nothing of the vendor's compute budget was left for it."
    )


_ENDINGS = {
    Status.START_FAILED: "the entry point is missing or not executable in the image.",
    Status.NONZERO_EXIT: "it ended with an exit status other than 0.",
    Status.TIMEOUT: "it was still running at the deadline.",
    Status.OUT_OF_MEMORY: "it asked for more memory than its limit.",
    Status.BUDGET_SPENT: "it had used up the vendor's compute budget.",
}


def _require_ok(outcome: Outcome, verb: str) -> None:
    if outcome.status is not Status.OK:
        raise SubmissionError(outcome.status, f"`{verb}`: {_ENDINGS[outcome.status]}")


def _require_unpacked(outcome: Outcome) -> None:
    if outcome.status is not Status.OK:
        raise SandboxError(
            "The adapted model could not be unpacked. Is model_bytes in policies/sandbox.toml as "
            "large as when it was kept?"
        )


def _failed(
    failure: SubmissionError, compute: Compute | None = None, outcomes: list[Outcome] | None = None
) -> Phase:
    ran = outcomes or []
    return Phase(
        failure.status,
        rules=(failure.rule,) if isinstance(failure, Refused) else (),
        message=str(failure),
        charge=compute.charge(_operations(ran, compute)) if compute else 0,
        outcomes=tuple(ran),
    )

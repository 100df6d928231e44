"""The main flow: one submission, one holdout, one evaluation. Start reading here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sandbox
from evaluator.admission import Received, admit
from evaluator.dataset.commitment import check_commitment
from evaluator.dataset.sealed import check_seal, read_labels
from evaluator.errors import Refused, SubmissionError
from evaluator.predictions import read_predictions
from evaluator.scoring import Counts, count
from sandbox import Outcome, Status

if TYPE_CHECKING:
    from evaluator.job import Job, Run


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
            outcome = run(job.predict(admitted.image, admitted.inputs), job.scratch, job.seccomp)
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

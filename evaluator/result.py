"""The result of one run, as the in-toto statement that is signed and read back.

    Result.of(digest, about, evaluation, account)   what came of a run, rounded
    result.payload()                                the bytes that are signed
    Result.parse(payload)                           and back

`python -m evaluator.result > evaluator/schemas/result.json` writes the JSON Schema.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal, Self, get_args

import rfc8785
from pydantic import Field

from evaluator import error_figures, regression, scoring
from evaluator.error_phases import ErrorGain, ErrorPhase
from evaluator.fields import Model
from evaluator.leakage import Account
from evaluator.petaflops import petaflops
from evaluator.predicate import (
    About,
    DigestSet,
    FailedPhase,
    Gain,
    LeakageBits,
    Phases,
    Predicate,
    RefusedPhase,
    ScoredPhase,
    Subject,
)
from evaluator.regression import ErrorGrid, Errors, PublishedErrors
from evaluator.scoring import Counts, Grid, Published

if TYPE_CHECKING:
    from evaluator.evaluate import Evaluation, Phase

StatementType = Literal["https://in-toto.io/Statement/v1"]
PredicateType = Literal["https://submission-evaluator.example/evaluation-result/v1"]
STATEMENT_TYPE: StatementType = get_args(StatementType)[0]
PREDICATE_TYPE: PredicateType = get_args(PredicateType)[0]


class Result(Model):
    """An in-toto Statement v1 about one submission."""

    statement_type: StatementType = Field(alias="_type")
    subject: tuple[Subject]
    predicate_type: PredicateType = Field(alias="predicateType")
    predicate: Predicate

    @classmethod
    def of(
        cls,
        digest: str,
        about: About,
        evaluation: "Evaluation",
        account: Account,
        adapted: str | None = None,
    ) -> Self:
        """Return the result of a run: counts rounded to the grid, statuses, charges.

        `digest` is the SHA-256 of the submission in hex, `account` the data set's before this
        run, and `adapted` the run whose model was used where this one trained none.
        """
        grid = about.published_grid()
        before, after = (
            _published(phase.counts, grid) if phase and phase.counts else None
            for phase in (evaluation.baseline, evaluation.tuned)
        )
        phases = Phases(
            baseline=_phase(evaluation.baseline, before, about),
            tuned=_phase(evaluation.tuned, after, about),
            gain=_gain(before, after, about) if before and after else None,
            adapted=adapted,
        )
        bits = LeakageBits.of(phases, about, account)
        predicate = Predicate(**dict(about), phases=phases, leakage_bits=bits)
        subject = Subject(name="submission", digest=DigestSet(sha256=digest))
        return cls(
            _type=STATEMENT_TYPE,
            subject=(subject,),
            predicateType=PREDICATE_TYPE,
            predicate=predicate,
        )

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Return the result in `payload`; pydantic's ValidationError where it is none."""
        return cls.model_validate_json(payload)

    def payload(self) -> bytes:
        """Return the RFC 8785 bytes of the statement: one spelling for one result."""
        return rfc8785.dumps(self.model_dump(mode="json", by_alias=True))


def _scored(
    published: Published | PublishedErrors, about: About, charge: float
) -> ScoredPhase | ErrorPhase:
    """Return everything that a result says of a phase, from its independent figures."""
    grid, holdout = about.published_grid(), about.dataset.holdout()
    if isinstance(published, Published) and isinstance(grid, Grid):
        return ScoredPhase.of(published, grid, holdout, charge)
    assert isinstance(published, PublishedErrors)  # noqa: S101 - one task has one grid
    assert isinstance(grid, ErrorGrid)  # noqa: S101 - the same
    return ErrorPhase.of(published, grid, holdout, charge)


def _gain(
    before: Published | PublishedErrors, after: Published | PublishedErrors, about: About
) -> Gain | ErrorGain:
    """Return what changed between two phases, from the independent figures of both."""
    grid, holdout = about.published_grid(), about.dataset.holdout()
    if isinstance(before, Published) and isinstance(after, Published) and isinstance(grid, Grid):
        return Gain.of(scoring.difference(before, after, grid, holdout))
    assert isinstance(before, PublishedErrors)  # noqa: S101 - one task has one grid
    assert isinstance(after, PublishedErrors)  # noqa: S101 - the same
    assert isinstance(grid, ErrorGrid)  # noqa: S101 - the same
    return ErrorGain.of(error_figures.difference(before, after, grid, holdout))


def _published(counts: Counts | Errors, grid: Grid | ErrorGrid) -> Published | PublishedErrors:
    if isinstance(counts, Counts) and isinstance(grid, Grid):
        return scoring.publish(counts, grid)
    assert isinstance(counts, Errors)  # noqa: S101 - one task has one grid
    assert isinstance(grid, ErrorGrid)  # noqa: S101 - the same
    return regression.publish(counts, grid)


def _phase(
    phase: "Phase | None", published: Published | PublishedErrors | None, about: About
) -> ScoredPhase | ErrorPhase | RefusedPhase | FailedPhase | None:
    if phase is None:
        return None
    charge = petaflops(phase.charge)
    if published is not None:
        return _scored(published, about, charge)
    if phase.status == "REFUSED":
        return RefusedPhase(status="REFUSED", rules=phase.rules)
    return FailedPhase.model_validate({"status": phase.status, "charge": charge})


def private_document(run: str, facts: Mapping[str, object], evaluation: "Evaluation") -> str:
    """Return the owner's own record of a run as JSON text: exact counts, never to be published.

    `facts` is whatever else the owner should know, as JSON values. Of each phase there are exact
    counts (null where nothing was scored; `confusion[i][j]` counts tiles of class i predicted as
    class j; where numbers were predicted, errors to the last digit of a float64) and what each
    container of it used.
    """
    document = {
        "schemaVersion": 2,
        "run": run,
        **facts,
        "baseline": evaluation.baseline and _private_phase(evaluation.baseline),
        "tuned": evaluation.tuned and _private_phase(evaluation.tuned),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _private_phase(phase: "Phase") -> dict[str, object]:
    return {
        "status": phase.status,
        "rules": phase.rules,
        "message": phase.message,
        "charge_petaflops": petaflops(phase.charge),
        "containers": [
            {
                "status": outcome.status,
                "exit_code": outcome.exit_code,
                "seconds": round(outcome.seconds, 3),
                "usage": outcome.usage and asdict(outcome.usage),
            }
            for outcome in phase.outcomes
        ],
        "counts": phase.counts and _exact(phase.counts),
    }


def _exact(counts: Counts | Errors) -> dict[str, object]:
    if isinstance(counts, Errors):
        return counts.document()
    return {
        "classes": counts.classes,
        "rare_classes": counts.rare,
        "total": counts.total,
        "correct": counts.correct,
        "class_sizes": counts.class_sizes,
        "class_correct": counts.class_correct,
        "rare_total": counts.rare_total,
        "rare_correct": counts.rare_correct,
        "confusion": counts.confusion,
    }


def json_schema() -> str:
    """Return evaluator/schemas/result.json."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": PREDICATE_TYPE,
        **Result.model_json_schema(by_alias=True),
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(json_schema())

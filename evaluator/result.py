"""The result of one run, as the in-toto statement that is signed and read back.

    Result.scored(digest, about, counts, account)          it ran and was scored
    Result.failed(digest, about, status, account, rules)   it did not: the status alone
    result.payload()                                       the bytes that are signed
    Result.parse(payload)                                  and back

`python -m evaluator.result > docs/result.schema.json` writes the JSON Schema.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, Self, get_args

import rfc8785
from pydantic import Field

from evaluator.leakage import Account
from evaluator.predicate import (
    About,
    DigestSet,
    FailedPhase,
    LeakageBits,
    Model,
    Phases,
    Predicate,
    RefusedPhase,
    ScoredPhase,
    Subject,
)
from evaluator.scoring import Counts, publish

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
    def scored(cls, digest: str, about: About, counts: Counts, account: Account) -> Self:
        """Return the result of a run that was scored: `counts` rounded to the grid.

        `digest` is the SHA-256 of the submission in hex, `account` the data set's before this
        run.
        """
        grid, holdout = about.grid.grid(), about.dataset.holdout()
        phase = ScoredPhase.of(publish(counts, grid), grid, holdout)
        return cls._of(digest, about, phase, account)

    @classmethod
    def failed(
        cls,
        digest: str,
        about: About,
        status: str,
        account: Account,
        rules: Sequence[str] = (),
    ) -> Self:
        """Return the result of a run that failed, or with REFUSED the rules it broke."""
        if status == "REFUSED":
            phase: RefusedPhase | FailedPhase = RefusedPhase(status="REFUSED", rules=tuple(rules))
        else:
            phase = FailedPhase.model_validate({"status": status})
        return cls._of(digest, about, phase, account)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Return the result in `payload`; pydantic's ValidationError where it is none."""
        return cls.model_validate_json(payload)

    def payload(self) -> bytes:
        """Return the RFC 8785 bytes of the statement: one spelling for one result."""
        return rfc8785.dumps(self.model_dump(mode="json", by_alias=True))

    @classmethod
    def _of(
        cls,
        digest: str,
        about: About,
        phase: ScoredPhase | RefusedPhase | FailedPhase,
        account: Account,
    ) -> Self:
        bits = LeakageBits.of(phase.status, about, account)
        predicate = Predicate(**dict(about), phases=Phases(baseline=phase), leakage_bits=bits)
        subject = Subject(name="submission", digest=DigestSet(sha256=digest))
        return cls(
            _type=STATEMENT_TYPE,
            subject=(subject,),
            predicateType=PREDICATE_TYPE,
            predicate=predicate,
        )


def private_document(run: str, facts: Mapping[str, object], counts: Counts | None) -> str:
    """Return the owner's own record of a run as JSON text: exact counts, never to be published.

    `facts` is whatever else the owner should know, as JSON values; `counts` is None where
    nothing was scored. `confusion[i][j]` counts tiles of class i predicted as class j.
    """
    document = {"schemaVersion": 1, "run": run, **facts, "counts": counts and _exact(counts)}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _exact(counts: Counts) -> dict[str, object]:
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
    """Return docs/result.schema.json."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": PREDICATE_TYPE,
        **Result.model_json_schema(by_alias=True),
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(json_schema())

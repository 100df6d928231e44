"""What an entry of the log says: one in-toto statement for each kind, field by field.

A result is such a statement too; its model is `evaluator.result`. As there, these models are the
edge: strict, frozen and closed.

`python -m evaluator.log.statements > evaluator/schemas/log.json` writes their JSON Schema.
"""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

import rfc8785
from pydantic import BaseModel, Field, TypeAdapter, model_validator

from evaluator.fields import ClassName, Model
from evaluator.kinds import BASE
from evaluator.ledger_rows import Reason
from evaluator.predicate import (
    DigestSet,
    Offer,
    RunName,
    Sha256,
    Time,
    VendorName,
    Word,
)
from evaluator.result import STATEMENT_TYPE, StatementType

Position = Annotated[int, Field(ge=0)]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Fingerprint = Annotated[str, Field(pattern=r"^SHA256:[0-9A-Za-z+/]{43}$")]
Words = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,500}$")]
"""The owner's own words, one line."""
_PEM = r"^-----BEGIN PUBLIC KEY-----\n[0-9A-Za-z+/=\n]{1,400}\n-----END PUBLIC KEY-----\n$"


class Named(Model):
    """A resource that a statement is about."""

    name: Word
    digest: DigestSet


class _Statement(Model):
    statement_type: StatementType = Field(alias="_type")

    @classmethod
    def of(cls, subject: Mapping[str, str], predicate: Model) -> Self:
        """Return the statement of this kind about resources, given as SHA-256 by name."""
        (kind,) = get_args(cls.model_fields["predicate_type"].annotation)
        named = tuple(
            Named(name=name, digest=DigestSet(sha256=sha256)) for name, sha256 in subject.items()
        )
        values = {"subject": named, "predicate": predicate}
        return cls(_type=STATEMENT_TYPE, predicateType=kind, **values)  # type: ignore[call-arg]  # each kind has these

    def payload(self) -> bytes:
        """Return the RFC 8785 bytes that are signed."""
        return rfc8785.dumps(self.model_dump(mode="json", by_alias=True))


class Committed(Model):
    """The holdout that results are measured on from here on."""

    version: Annotated[int, Field(ge=1)]
    count: Annotated[int, Field(ge=1)]
    root: Sha256
    task: Literal["classification", "regression"]
    classes: Annotated[tuple[ClassName, ...], Field(min_length=1, max_length=255)]


class HoldoutCommitment(_Statement):
    """The owner is bound to one holdout; its subject is commitment.json."""

    subject: tuple[Named]
    predicate_type: Literal["https://submission-evaluator.example/holdout-commitment/v1"] = Field(
        alias="predicateType"
    )
    predicate: Committed


class WindowDays(Model):
    """First and last day, UTC."""

    opens: Day
    closes: Day


class Published(Model):
    """What results may say and when, and how they are ranked: [publish] of evaluator.toml."""

    class_sizes: bool
    release_every_hours: Annotated[int, Field(ge=1)]
    leakage_budget_bits: Annotated[int, Field(ge=0)]
    accuracy_steps: Annotated[int, Field(ge=1)]
    recall_steps: Annotated[int, Field(ge=1)]
    rare_accuracy_steps: Annotated[int, Field(ge=1)]
    charge_steps: Annotated[int, Field(ge=1)]
    error_step: Annotated[float, Field(gt=0)]
    crop_error_step: Annotated[float, Field(gt=0)]
    r2_steps: Annotated[int, Field(ge=1)]
    rank_by: Word
    suppress_below: Annotated[int, Field(ge=2)]


class Allowed(Model):
    """What one vendor may use, unless the owner has agreed on something else with it."""

    submissions: Annotated[int, Field(ge=1)]
    petaflops: Annotated[float, Field(gt=0)]


class Rules(Model):
    """The rules that hold from here on; the policy files are the subjects."""

    window: WindowDays
    publish: Published
    limits: Allowed
    evaluator: Word


class PolicyChange(_Statement):
    """The rules of the window, as they are from here on."""

    subject: tuple[Named, Named, Named]
    predicate_type: Literal["https://submission-evaluator.example/policy-change/v1"] = Field(
        alias="predicateType"
    )
    predicate: Rules


class Key(Model):
    """A public key: `pem` is a SubjectPublicKeyInfo."""

    keyid: Fingerprint
    algorithm: Literal["ecdsa-p256", "ed25519"]
    pem: Annotated[str, Field(pattern=_PEM)]


class Changed(Model):
    """Which key signs from here on, and which one no longer does (null: there was none)."""

    purpose: Literal["result"]
    key: Key
    previous: Fingerprint | None
    not_before: Time
    reason: Words | None


class KeyChange(_Statement):
    """The owner's signing key; entered twice, signed by the old one and by the new."""

    subject: tuple[Named]
    predicate_type: Literal["https://submission-evaluator.example/key-change/v1"] = Field(
        alias="predicateType"
    )
    predicate: Changed


class HandedIn(Model):
    """A submission that was received whole; from here on it must end.

    `offer` is what the vendor asks for a licence. Where the owner uses a model again that the run
    `adapted` has trained, there is no `number`, and `run` is the run that this will be.
    """

    number: Annotated[int, Field(ge=1)] | None
    run: RunName | None
    vendor: VendorName
    kind: Literal["onnx", "image"]
    digest_of: Literal["file", "manifest", "config"]
    phases: Literal["baseline", "both"]
    recipe: DigestSet | None
    adapted: RunName | None
    offer: Offer | None
    received: Time

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if len({self.number is None, self.adapted is not None, self.run is not None}) > 1:
            raise ValueError("it is a submission, or an adapted model")
        return self


class SubmissionReceived(_Statement):
    """A submission was received; nothing of it has run yet."""

    subject: tuple[Named]
    predicate_type: Literal["https://submission-evaluator.example/submission-received/v1"] = Field(
        alias="predicateType"
    )
    predicate: HandedIn


class Aborted(Model):
    """Nothing came of what was received at `received`; the reason is a word of this program."""

    received: Position
    vendor: VendorName
    reason: Reason


class RunAborted(_Statement):
    """A submission ended without a result: it was the host's, the owner's or nobody's fault."""

    subject: tuple[Named]
    predicate_type: Literal["https://submission-evaluator.example/run-aborted/v1"] = Field(
        alias="predicateType"
    )
    predicate: Aborted


class Withdrawn(Model):
    """The result at position `result` should no longer be relied on."""

    result: Position
    run: RunName
    vendor: VendorName
    reason: Words


class ResultWithdrawn(_Statement):
    """The owner takes a result back, in public; it stays in the log."""

    subject: tuple[Named]
    predicate_type: Literal["https://submission-evaluator.example/result-withdrawn/v1"] = Field(
        alias="predicateType"
    )
    predicate: Withdrawn


class Opened(Model):
    """The log of `size` entries under `root` was published; early only for a stated reason."""

    size: Position
    root: Sha256
    closes: Day
    early_reason: Words | None


class WindowPublished(_Statement):
    """The window is over: the entries of the log may be read by anyone."""

    subject: tuple[Named]
    predicate_type: Literal["https://submission-evaluator.example/window-published/v1"] = Field(
        alias="predicateType"
    )
    predicate: Opened


Statement = Annotated[
    HoldoutCommitment
    | PolicyChange
    | KeyChange
    | SubmissionReceived
    | RunAborted
    | ResultWithdrawn
    | WindowPublished,
    Field(discriminator="predicate_type"),
]
_KINDS: dict[str, type[Statement]] = {
    get_args(kind.model_fields["predicate_type"].annotation)[0]: kind
    for kind in get_args(get_args(Statement)[0])
}


class _Typed(BaseModel):
    predicate_type: str = Field(alias="predicateType")


def parse(payload: bytes) -> Statement:
    """Return the statement in `payload`; pydantic's ValidationError where it is none of these."""
    # By its kind, not by one validator for all: a run meets three of them, and building takes time.
    kind = _Typed.model_validate_json(payload).predicate_type
    return _KINDS.get(kind, KeyChange).model_validate_json(payload)  # which refuses what is none


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of all kinds but the result, which has its own."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{BASE}log/v1/schema",
    } | TypeAdapter[Statement](Statement).json_schema(by_alias=True)


if __name__ == "__main__":
    json.dump(json_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")

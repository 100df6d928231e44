"""docs/schemas/: a JSON Schema of each file that people or programs exchange.

`python -m evaluator.schema_files docs/schemas` writes them. A TOML file is described as the
document it is read as. The programs read more strictly than a schema can say: what fits here may
still be refused, with a sentence; what does not fit is refused.

The statements that are signed have theirs in evaluator/schemas, where `verify` reads them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

import sandbox
from evaluator.admission_policy import AdmissionFile
from evaluator.board.values import Aborted, Row
from evaluator.challenge import Challenge
from evaluator.dataset.commitment import SCHEME, SCHEME_WITH_TARGETS, TYPE
from evaluator.decision.assumptions import Assumptions
from evaluator.lint.facts import Estimate, Facts
from evaluator.lint.waivers import WaiverFile
from evaluator.predicate import Origin, Sha256
from evaluator.recipe import Recipe
from evaluator.scoring import Figures
from evaluator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TIME = {"type": "string", "format": "date-time"}
_DAY = {"type": "string", "format": "date"}
_COUNT = {"type": "integer", "minimum": 0}


def _model(model: type[BaseModel]) -> Callable[[], Schema]:
    return model.model_json_schema


def _assumptions() -> Schema:
    """Pydantic leaves the bounds of decimals in its own words."""
    words = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}

    def spelled(value: Any) -> Any:  # noqa: ANN401 - anything JSON can say
        if isinstance(value, list):
            return [spelled(each) for each in value]
        if not isinstance(value, dict):
            return value
        known = {key: each for key, each in value.items() if key != "decimal_places"}
        return {words.get(key, key): spelled(each) for key, each in known.items()}

    schema: Schema = spelled(Assumptions.model_json_schema())
    return schema


def _dataclass(kind: type, **names: object) -> Schema:
    """Of what a frozen dataclass becomes by `asdict`; `names` are those of its annotations."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    adapter.rebuild(force=True, _types_namespace=dict(names))
    return _closed(adapter.json_schema(mode="serialization"))


def _closed(schema: Schema) -> Schema:
    """Every field is there, and no other."""
    for each in (schema, *schema.get("$defs", {}).values()):
        if each.get("type") == "object" and "properties" in each:
            each |= {"required": [*each["properties"]], "additionalProperties": False}
    return schema


def _object(properties: Schema, *optional: str) -> Schema:
    required = [name for name in properties if name not in optional]
    closed = {"required": required, "additionalProperties": False}
    return {"type": "object", "properties": properties, **closed}


def _sandbox() -> Schema:
    known = [field.name for field in fields(sandbox.SandboxPolicy) if field.name != "sha256"]
    numbers = {
        name: {"type": "integer", "minimum": 1, "maximum": most}
        for name, most in sandbox.CEILINGS.items()
    }
    words: Schema = {
        "runtime": {"enum": [*sandbox.RUNTIMES]},
        "require": {"type": "array", "items": {"type": "string"}},
    }
    return _object({name: (numbers | words)[name] for name in known})


def _trust() -> Schema:
    text = {"type": "string"}
    key = {"keyid": text, "purpose": {"const": "result"}, "pem": text, "not_before": _TIME}
    key |= {"not_after": _TIME, "compromised": _TIME}
    return _object(
        {
            "version": {"const": 1},
            "origin": TypeAdapter(Origin).json_schema(),
            "log": text,
            "quorum": _COUNT,
            "key": {
                "type": "array",
                "minItems": 1,
                "items": _object(key, "not_after", "compromised"),
            },
            "witness": {"type": "array", "items": _object({"vkey": text})},
        },
        "witness",
    )


def _board() -> Schema:
    """Figures of a phase are as in the result; programs take names they do not know."""
    statuses = {"type": ["string", "null"]}
    phases = _object({"baseline": statuses, "tuned": statuses})
    offer = _object({"currency": {"type": "string"}, "per_km2": {"type": "string"}})
    row = _dataclass(Row)
    figures = {"anyOf": [{"type": "object"}, {"type": "null"}]}
    row["properties"] |= {"phase_statuses": phases, "offer": {"anyOf": [offer, {"type": "null"}]}}
    row["properties"] |= dict.fromkeys(("baseline", "tuned", "gain"), figures)
    result = {
        name: row["properties"][name]
        for name in ("position", "received", "vendor", "run", "digest", "released")
    }
    result |= {"phase_statuses": phases, "figure": {"type": ["number", "null"]}}
    result |= {name: row["properties"][name] for name in ("petaflops", "adapted")}
    result |= {name: row["properties"][name] for name in ("withdrawn", "rank")}
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    none = {"type": "null"}
    numbers = {"type": "array", "items": {"type": "number"}}
    return _object(
        {
            "schemaVersion": {"const": 1},
            "checkpoint": _object({"origin": text, "size": _COUNT, "root": text}),
            "dataset_version": {"type": "integer", "minimum": 1},
            "task": {"enum": ["classification", "regression"]},
            "unit": {"type": ["string", "null"]},
            "range": {"anyOf": [numbers, none]},
            "classes": texts,
            "rare_classes": texts,
            "holdout_tiles": _COUNT,
            "class_sizes": {"anyOf": [{"type": "array", "items": _COUNT}, none]},
            "window": _object({"opens": _DAY, "closes": _DAY}),
            "published": {"type": "boolean"},
            "early_reason": {"type": ["string", "null"]},
            "view": {"type": ["string", "null"]},
            "metric": text,
            "majority": {"anyOf": [_dataclass(Figures), none]},
            "rows": {"type": "array", "items": row},
            "results": {"type": "array", "items": _object(result)},
            "aborted": {"type": "array", "items": _dataclass(Aborted)},
            "open": {"type": "array", "items": _COUNT},
        }
    )


def _commitment() -> Schema:
    """The file that binds an owner to a holdout, as `dataset.commitment` writes it."""
    digest = TypeAdapter(Sha256).json_schema()
    return _object(
        {
            "type": {"const": TYPE},
            "name": {"type": "string"},
            "scheme": {"enum": [SCHEME, SCHEME_WITH_TARGETS]},
            "count": {"type": "integer", "minimum": 1},
            "root": digest,
        }
    )


def _facts() -> Schema:
    schema = _dataclass(Facts, Challenge=Challenge)
    schema["properties"] = {"schemaVersion": {"const": 1}, **schema["properties"]}
    return _closed(schema)


def _report() -> Schema:
    text, rules = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    waiver = {"anyOf": [_object({"reason": text, "expires": _DAY}), {"type": "null"}]}
    rule: Schema = {"rule": {"type": "string", "pattern": "^EVA[0-9]{3}$"}, "name": text}
    rule |= {"severity": {"enum": ["error", "warning", "note"]}, "refuses": {"type": "boolean"}}
    rule |= dict.fromkeys(("title", "why", "fix", "url"), text)
    found: Schema = {"message": text, "where": text, "file": text, "waiver": waiver}
    found["line"] = {"type": "integer", "minimum": 1}
    submission: Schema = {"name": text, "kind": {"enum": ["onnx", "image"]}, "sha256": text}
    return _object(
        {
            "schemaVersion": {"const": 1},
            "submission": _object(submission),
            "challenge": _object({"name": text, "sha256": text}),
            "result": {"enum": ["PASSED", "WARNED", "FAILED"]},
            "summary": text,
            "answers": {"type": "object", "additionalProperties": text},
            "findings": {"type": "array", "items": _object(rule | found)},
            "estimates": {"type": "array", "items": _dataclass(Estimate)},
            "passed": rules,
            "skipped": rules,
        }
    )


SCHEMAS: dict[str, tuple[str, Callable[[], Schema]]] = {
    "challenge": ("challenge.json: what a vendor needs to try a submission", _model(Challenge)),
    "hyperparameters": ("hyperparameters.json: a vendor's recipe of training", _model(Recipe)),
    "facts": ("what `evaluator validate --facts-out` writes", _facts),
    "waivers": (".evaluatorignore.toml: findings that a vendor means to keep", _model(WaiverFile)),
    "report": ("what `evaluator validate --format json` prints", _report),
    "evaluator": ("evaluator.toml: the rules of a workspace", _model(Settings)),
    "sandbox": ("policies/sandbox.toml: the limits of a container", _sandbox),
    "admission": ("policies/admission.toml: what is admitted", _model(AdmissionFile)),
    "commitment": ("commitment.json: what binds the owner to a holdout", _commitment),
    "trust": ("trust.toml: whom a reader believes", _trust),
    "board": ("board.json: the leaderboard, for programs", _board),
    "assumptions": ("the assumptions of `evaluator decide`", _assumptions),
}


def schema(name: str) -> Schema:
    """One of SCHEMAS, whole."""
    title, made = SCHEMAS[name]
    identity = f"https://submission-evaluator.example/schemas/{name}.schema.json"
    return {"$schema": DIALECT, "$id": identity, **made(), "title": title}


def files() -> dict[str, str]:
    """Every file of docs/schemas by its name."""
    return {f"{name}.schema.json": json.dumps(schema(name), indent=2) + "\n" for name in SCHEMAS}


if __name__ == "__main__":
    for path, text in files().items():
        (Path(sys.argv[1]) / path).write_text(text)

"""Check a document against a JSON Schema, as far as the schemas of this package go.

    check("result.json", document)     ValueError saying where it is not as it must be

The schemas are generated from the pydantic models that write the documents, travel inside the
package, and are the same in docs/. A schema that says anything this module does not know is an
error, never passed over. Where JSON Schema and pydantic differ, pydantic is followed: 1.0 is no
integer, `$` is the very end of the text, and a mapping has no keys that no pattern knows.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from typing import Any

Check = Callable[[Any], bool]
Schema = dict[str, Any]

_ANNOTATIONS = {"$schema", "$id", "$defs", "title", "description"}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def check(name: str, document: Any) -> None:  # noqa: ANN401  # anything JSON can say
    """Raise ValueError unless `document` is one by evaluator/schemas/`name`."""
    if not load(name)(document):
        raise ValueError(f"this is no document by {name}")


@lru_cache
def load(name: str) -> Check:
    """Return what says whether a document is one by evaluator/schemas/`name`."""
    text = (resources.files("evaluator") / "schemas" / name).read_text("utf-8")
    return compiled(json.loads(text))


def compiled(schema: Schema) -> Check:
    """Return what says whether a document is one by `schema`.

    Raises ValueError where the schema says something that this module does not know.
    """
    return _Compiler(schema.get("$defs", {})).compile(schema)


class _Compiler:
    """Turns a schema into functions once, so that 100,000 documents are checked in seconds."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions
        self._made: dict[str, Check] = {}

    def compile(self, schema: Schema) -> Check:
        """Return the check of one schema; each branch must use up all that the schema says."""
        rest = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
        if "$ref" in rest:
            found = self._reference(rest.pop("$ref"))
        elif "oneOf" in rest:
            found = self._tagged(rest.pop("oneOf"), rest.pop("discriminator"))
        elif "anyOf" in rest:
            found = _any([self.compile(each) for each in rest.pop("anyOf")])
        elif rest.get("type") == "object":
            found = self._object(rest)
        elif rest.get("type") == "array":
            found = self._array(rest)
        else:
            found = _scalar(rest)
        if rest:
            raise ValueError(f"a schema says {sorted(rest)}, which is not understood")
        return found

    def _reference(self, reference: str) -> Check:
        """A definition may lead to itself only by a loop, which no schema of ours has."""
        name = reference.removeprefix("#/$defs/")
        if name not in self._made:
            self._made[name] = self.compile(self._definitions[name])
        return self._made[name]

    def _tagged(self, branches: list[Schema], discriminator: dict[str, Any]) -> Check:
        """One of several objects, told apart by the value of one field."""
        field = discriminator["propertyName"]
        mapping = {  # a branch is named, or tells others apart in its turn
            tag: {"$ref": each} if isinstance(each, str) else each
            for tag, each in discriminator["mapping"].items()
        }
        branch = {tag: self.compile(each) for tag, each in mapping.items()}
        told = [*mapping.values()]
        if any(each not in told for each in branches) or any(one not in branches for one in told):
            raise ValueError("a schema's branches are not those that it tells apart")

        def found(value: Any) -> bool:  # noqa: ANN401  # as above
            tag = value.get(field) if isinstance(value, dict) else None
            return isinstance(tag, str) and tag in branch and branch[tag](value)

        return found

    def _object(self, rest: Schema) -> Check:
        """Named fields and no others, or names of one pattern."""
        del rest["type"]
        if "patternProperties" in rest:
            ((pattern, schema),) = rest.pop("patternProperties").items()
            return _mapping(_pattern(pattern), self.compile(schema))
        if rest.pop("additionalProperties", None) is not False:
            raise ValueError("a schema leaves an object open")
        fields = {name: self.compile(each) for name, each in rest.pop("properties").items()}
        if {*rest.pop("required", ())} != {*fields}:
            raise ValueError("a schema has fields that may be missing")

        def found(value: Any) -> bool:  # noqa: ANN401  # as above
            if not isinstance(value, dict) or value.keys() != fields.keys():
                return False
            for name, holds in fields.items():  # noqa: SIM110  # all() would be slower
                if not holds(value[name]):
                    return False
            return True

        return found

    def _array(self, rest: Schema) -> Check:
        del rest["type"]
        least, most = rest.pop("minItems", 0), rest.pop("maxItems", None)
        if "prefixItems" in rest:
            items = [self.compile(each) for each in rest.pop("prefixItems")]
            if (least, most) != (len(items), len(items)):
                raise ValueError("a schema leaves a tuple open")
            return lambda value: (
                isinstance(value, list)
                and len(value) == len(items)
                and all(holds(each) for holds, each in zip(items, value, strict=True))
            )
        item = self.compile(rest.pop("items"))
        return lambda value: (
            isinstance(value, list)
            and least <= len(value)
            and (most is None or len(value) <= most)
            and all(map(item, value))
        )


def _any(checks: list[Check]) -> Check:
    return lambda value: any(holds(value) for holds in checks)


def _mapping(pattern: Check, value_check: Check) -> Check:
    return lambda value: (
        isinstance(value, dict)
        and all(map(pattern, value))
        and all(map(value_check, value.values()))
    )


def _scalar(rest: Schema) -> Check:
    """One value: its type, and what else is said of it."""
    types = _TYPES[rest.pop("type")]
    if rest.keys() == {"minimum", "maximum"}:  # most of a result, so in one step
        least, most = rest.pop("minimum"), rest.pop("maximum")
        return lambda value: type(value) in types and least <= value <= most
    limits = [make(rest.pop(key)) for key, make in _LIMITS.items() if key in rest]

    def found(value: Any) -> bool:  # noqa: ANN401  # as above
        if type(value) not in types:  # exactly: to Python True is an integer
            return False
        for holds in limits:  # noqa: SIM110  # all() would be slower
            if not holds(value):
                return False
        return True

    return found


def _pattern(pattern: str) -> Check:
    r"""The whole text: patterns of ours begin with ^ and end with $, which in Python is \Z."""
    if not pattern.startswith("^") or not pattern.endswith("$") or pattern.endswith(r"\$"):
        raise ValueError("a schema's pattern does not hold the whole text")
    search = re.compile(pattern[:-1] + r"\Z").search
    return lambda value: bool(search(value))


def _equal(constant: Any) -> Check:  # noqa: ANN401  # as above
    return lambda value: bool(value == constant)


_LIMITS: dict[str, Callable[[Any], Check]] = {
    "const": _equal,
    "enum": lambda options: lambda value: value in options,
    "pattern": _pattern,
    "minimum": lambda least: lambda value: bool(value >= least),
    "maximum": lambda most: lambda value: bool(value <= most),
    "exclusiveMinimum": lambda least: lambda value: bool(value > least),
}

"""A vendor's .evaluatorignore.toml: findings that are known, why they stay, and until when.

    [[waiver]]
    rule = "unpinned-base"        # an id or a name
    reason = "The base is rebuilt every night; ticket 1234."
    expires = 2027-01-31          # from the day after it is a finding of its own

What the intake refuses is never waived; of the rest, the owner's admission.toml says what may be.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads it
import tomllib
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints, ValidationError

from evaluator.errors import OwnerError
from evaluator.fields import Model
from evaluator.lint.catalogue import RULES, find
from evaluator.lint.rule import Waiver

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

MOST = 2**18  # bytes of such a file
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class _Waiver(Model):
    rule: _Text
    reason: _Text
    expires: dt.date


class WaiverFile(Model):
    """The file, whole."""

    waiver: list[_Waiver] = Field([], max_length=len(RULES))


def read_waivers(path: Path, waivable: Collection[str], today: dt.date) -> tuple[Waiver, ...]:
    """Read the file; `waivable` is what the owner lets be waived: ids, names, severities.

    OwnerError says which waiver is not as it must be; what has expired is returned as such.
    """
    named = {rule.id for rule in map(find, waivable) if rule}
    allowed = {
        rule.id
        for rule in RULES.values()
        if not rule.refuses and (rule.id in named or rule.severity in waivable)
    }
    waivers: dict[str, Waiver] = {}
    for number, said in enumerate(_read(path).waiver, 1):
        here = f"{path}: waiver {number}"
        rule = find(said.rule)
        if rule is None:
            raise OwnerError(f"{here} names no rule. `evaluator rule --all` lists them.")
        if rule.id in waivers:
            raise OwnerError(f"{here} is a second one of {rule.id}. Keep one of them.")
        if rule.id not in allowed:
            raise OwnerError(f"{here}: {_not_waivable(rule.id)}")
        expired = said.expires < today
        waivers[rule.id] = Waiver(rule.id, said.reason, said.expires, expired)
    return tuple(waivers.values())


def _not_waivable(rule: str) -> str:
    if RULES[rule].refuses:
        return f"{rule} is one that an official run refuses by, so no waiver helps. Mend it."
    return f"{rule} is not among those that the data owner lets be waived. Mend it, or ask them."


def _read(path: Path) -> WaiverFile:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST + 1)
        if len(raw) > MOST:
            raise OwnerError(f"{path} has more than {MOST:,} bytes. Remove waivers that are old.")
        return WaiverFile.model_validate(tomllib.loads(raw.decode()))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(
            str(part) for part in first["loc"] if part in _KNOWN or part.__class__ is int
        )
        raise OwnerError(
            f"{path}: {where or 'the file'}: {first['msg']}. Each [[waiver]] has a rule, a reason "
            "and a date `expires = 2027-01-31`, and nothing else."
        ) from None  # its text repeats what it was given
    except OSError as error:
        raise OwnerError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise OwnerError(f"{path} is not TOML in UTF-8. Check its quotes and brackets.") from error


_KNOWN = {"waiver", "rule", "reason", "expires"}

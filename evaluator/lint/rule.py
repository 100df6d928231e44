"""A rule: what it asks, why, and what to do about it; and a finding, which is a rule broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable

    from evaluator.lint.facts import Facts

Severity = Literal["error", "warning", "note"]
Applies = Literal["image", "onnx", "both"]
Need = Literal["image", "model", "predict", "train", "estimates"]


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a rule is broken.

    `where` is a pointer into the submission that this program made: "config/Env/2", "log/predict",
    "layers". `message` may quote the vendor's own words. `line` is one of the Dockerfile, from 1.
    """

    message: str
    where: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Its id never changes its meaning and is never used again.

    A rule with `refuses` is the intake's own: an official run answers REFUSED with its id. Others
    say what will fail, cost or surprise. `why` and `fix` are Markdown; `fix` is to be copied.
    `needs` is what the facts must hold before the rule can be asked at all.
    """

    id: str
    name: str
    severity: Severity
    applies: Applies
    title: str
    why: str
    fix: str
    check: Callable[[Facts], Iterable[Hit]]
    refuses: bool = False
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiver:
    """The vendor's own word that a finding is known; only for rules that the owner lets be waived.

    `rule` is an id. One that has expired covers nothing, and is a finding itself.
    """

    rule: str
    reason: str
    expires: dt.date
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a submission breaks, and the waiver that covers it, if one does."""

    rule: Rule
    hit: Hit
    waiver: Waiver | None = None

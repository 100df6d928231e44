"""Judge a host: every check, what the owner requires of them, and the verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evaluator.doctor import (
    engine_rules,
    gvisor_rules,
    kernel_rules,
    machine_rules,
    version_rules,
)
from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from collections.abc import Collection

    from evaluator.doctor.check import Check
    from evaluator.doctor.facts import HostFacts
    from evaluator.proof import Verdict

RULES = (
    *engine_rules.RULES,
    *version_rules.RULES,
    *gvisor_rules.RULES,
    *kernel_rules.RULES,
    *machine_rules.RULES,
)


def check_host(facts: HostFacts, runtime: str) -> tuple[Check, ...]:
    """Judge a host for a policy's `runtime`: the same ids in the same order on every host."""
    return tuple(rule.check(facts, runtime) for rule in RULES)


def enforce(checks: tuple[Check, ...], require: Collection[str]) -> tuple[Check, ...]:
    """Make each check of `require` fatal unless it is ok.

    Raises OwnerError for an id that no check has.
    """
    known = {check.id for check in checks}
    if unknown := sorted(set(require) - known):
        raise OwnerError(
            f"policies/sandbox.toml requires {', '.join(map(repr, unknown))}, and there is no such "
            f"check. There are: {', '.join(sorted(known))}."
        )
    return tuple(
        replace(check, status="fatal", decisive=True)
        if check.id in require and check.status != "ok"
        else check
        for check in checks
    )


def verdict(checks: tuple[Check, ...]) -> Verdict:
    """UNSEALED where anything is fatal; UNKNOWN where a decisive check could not be made."""
    if any(check.status == "fatal" for check in checks):
        return "UNSEALED"
    unsure = any(check.status == "unknown" and check.decisive for check in checks)
    return "UNKNOWN" if unsure else "SEALED"


def residual(checks: tuple[Check, ...]) -> tuple[str, ...]:
    """The ids of the risks that remain, sorted: what a signed result names.

    A check that could not be made counts: it may be one.
    """
    return tuple(sorted(check.id for check in checks if check.status in {"residual", "unknown"}))

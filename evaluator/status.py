"""How a phase can end: the only words about it that a vendor ever sees."""

from typing import Literal, get_args

Failure = Literal[
    "START_FAILED",
    "NONZERO_EXIT",
    "TIMEOUT",
    "OUT_OF_MEMORY",
    "OUTPUT_MISSING",
    "OUTPUT_INVALID",
    "BUDGET_SPENT",
]
"""It ran and failed; with BUDGET_SPENT the vendor's compute budget ended it, or left it nothing."""

Status = Literal["OK", "REFUSED", Failure]
"""REFUSED comes with the ids of the admission rules it broke. Trouble of the host is none of these:
it is an exception, and there is no result."""

STATUSES: tuple[Status, ...] = get_args(Status)
UNTOUCHED: frozenset[Status] = frozenset({"REFUSED"})
"""Decided before the submission met a tile, so such a record carries no bit about any."""

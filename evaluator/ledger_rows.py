"""What stands in the ledger, as values, and which step may follow which.

Compute is kept in whole micro-petaflops (`evaluator.petaflops`), money in whole cents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from datetime import date

Phases = Literal["baseline", "both"]

SubmissionState = Literal["receiving", "queued", "running", "done", "refused", "aborted"]
RunState = Literal["reserved", "settled", "released", "aborted"]

SUBMISSION_STEPS: frozenset[tuple[SubmissionState, SubmissionState]] = frozenset(
    {
        ("receiving", "queued"),
        ("receiving", "aborted"),
        ("queued", "running"),
        ("queued", "aborted"),
        ("running", "done"),
        ("running", "refused"),
        ("running", "aborted"),
    }
)
RUN_STEPS: frozenset[tuple[RunState, RunState]] = frozenset(
    {
        ("reserved", "settled"),
        ("reserved", "aborted"),
        ("settled", "released"),
        ("settled", "aborted"),
    }
)

FREE: tuple[SubmissionState, ...] = ("refused", "aborted")
"""These take no slot of a quota and owe no fee; every other state holds its slot."""

OPEN: tuple[RunState, ...] = ("reserved", "settled")
"""A vendor has one run at most in these, so that it may reserve all that the vendor has left."""

Statuses = tuple[str | None, str | None]
"""Of the baseline and the tuned phase; None for a phase that was not asked for or not reached."""

Reason = Literal["interrupted", "killed", "host", "operator", "quota", "window", "lost"]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Why something was aborted: words of ours, never a vendor's and never an error's text."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one vendor may use in the window; `opens` and `closes` are its first and last day."""

    total: int
    per_day: int
    micro_petaflops: int
    opens: date
    closes: date


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor, and what differs for it from the rules of the workspace (None: nothing).

    `price` is what it asks for a licence, for each square kilometre: decimals, as it gave them.
    """

    name: str
    submissions: int | None = None
    per_day: int | None = None
    micro_petaflops: int | None = None
    fee_cents: int | None = None
    price: str | None = None
    added: str = ""

    def limits(self, usual: Limits) -> Limits:
        """Return the limits that hold for this vendor."""
        return Limits(
            _or(self.submissions, usual.total),
            _or(self.per_day, usual.per_day),
            _or(self.micro_petaflops, usual.micro_petaflops),
            usual.opens,
            usual.closes,
        )

    def fee(self, usual: int) -> int:
        """Return the fee of one submission of this vendor, in cents."""
        return _or(self.fee_cents, usual)


@dataclass(frozen=True, slots=True)
class Queued:
    """A submission that has been received: what a run of it needs to know.

    `sha256` is what the vendor recognises it by, `content` the digest of our copy of it.
    """

    id: int
    vendor: str
    phases: Phases
    kind: Literal["onnx", "image"]
    digest_of: Literal["file", "manifest", "config"]
    sha256: str
    size: int
    content: str
    recipe: bytes | None


@dataclass(frozen=True, slots=True)
class SubmissionRow:
    """One submission. `day` (UTC) is what it counts for; `ended` is empty until it has."""

    id: int
    vendor: str
    phases: Phases
    kind: str
    sha256: str
    size: int
    received: str
    day: str
    state: SubmissionState
    reason: str
    ended: str
    run: str

    @property
    def holds_slot(self) -> bool:
        """Whether it counts in the quotas."""
        return self.state not in FREE


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `tenths` of a bit are the most it may carry while reserved, then what it carries.

    `micro_reserved` is set aside for it and 0 once it is settled; `charges` are what the baseline
    and the tuned phase were charged, rounded as published. `submission` is None for a run of the
    owner's own and for a result that was found.
    """

    run: str
    submission: int | None
    vendor: str
    version: int
    state: RunState
    tenths: int
    micro_reserved: int
    charges: tuple[int, int]
    fee_cents: int
    statuses: Statuses
    day: str
    started: str
    ended: str
    reason: str

    @property
    def received(self) -> str:
        """By what name the log has received what it ran, after `received/` of `Entry.name`."""
        return str(self.submission or f"run-{self.run}")


@dataclass(frozen=True, slots=True)
class Used:
    """What one vendor has used of a window, in micro-petaflops and cents.

    `submissions` and `today` hold a slot of the quotas; `queued` wait, of whatever day.
    """

    submissions: int
    today: int
    queued: int
    running: str
    done: int
    refused: int
    aborted: int
    charged: int
    reserved: int
    owed_cents: int


def _or(special: int | None, usual: int) -> int:
    return usual if special is None else special

"""What a leaderboard says: plain values, made by `evaluator.board`, drawn by others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.log.checkpoint import Checkpoint
    from evaluator.scoring import Figures


class Log(Protocol):
    """What a board is read from: `evaluator.log.store.LogReader` is one.

    It has checked the signature under `checkpoint`, and yields no entry that is not in that tree.
    """

    @property
    def checkpoint(self) -> Checkpoint:
        """The newest state of the log."""
        ...

    @property
    def note(self) -> bytes:
        """The signed text of `checkpoint`."""
        ...

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield entries, `stop` not included."""
        ...

    def root(self, size: int) -> bytes:
        """Return the root that the log had at this size."""
        ...


Scores = Any
"""Figures of a phase or what it gained, of `scoring` or `error_figures`: read by name."""


@dataclass(frozen=True, slots=True)
class Row:
    """One result, as a board shows it.

    `position` and `received` are the log's entries of the result and of its submission. `rank`
    (from 1, shared by ties) has only the best result of a vendor, and `tied` says that it is
    shared. `phase_statuses` are those of the baseline and of the fine-tuned phase (None: not run);
    `baseline`, `tuned` and `gain` are there where they were scored. `submissions` is the N of
    "best of N": how many results with a score the vendor has on this version. `adapted` names the
    run whose model the owner used again: such a run is on no vendor's rank. `withdrawn` is the
    owner's reason. `offer` is the licence price asked, (currency, decimals for a square
    kilometre). `bits` are the leakage bits of the run.
    """

    position: int
    received: int
    vendor: str
    run: str
    digest: str
    released: str
    phase_statuses: tuple[str | None, str | None]
    baseline: Scores | None
    tuned: Scores | None
    gain: Scores | None
    petaflops: float
    offer: tuple[str, str] | None
    adapted: str | None
    withdrawn: str | None = None
    submissions: int = 0
    rank: int | None = None
    tied: bool = False
    bits: float = 0.0


@dataclass(frozen=True, slots=True)
class Aborted:
    """A submission that ended without a result; `reason` is a word of this program."""

    position: int
    received: int
    vendor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What of the log a board was made from; `note` is the signed text that says so."""

    origin: str
    size: int
    root: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class Board:
    """A leaderboard.

    `window` is its first and last day. `published` is None until the log holds a publication of
    this window; then it is the reason for an early one, or empty. `vendor` is set on a view that
    holds one vendor's rows alone, without a rank. `rows` is one row a vendor: those with a rank
    from the best down, then, by name, vendors whose results have none. `all` is every result of
    this version, the newest last; `open` are the positions of submissions that have not ended.
    `class_sizes` is None, and with it `majority`, unless the owner publishes sizes; `majority` is
    what a model scores that always names the largest class. `unit` and `range` are those of
    the targets, there where numbers are predicted and a result says them.
    """

    checkpoint: Snapshot
    dataset_version: int
    task: str
    classes: tuple[str, ...]
    rare: tuple[str, ...]
    holdout_tiles: int
    class_sizes: tuple[int, ...] | None
    metric: str
    window: tuple[str, str]
    published: str | None
    vendor: str | None
    majority: Figures | None
    rows: tuple[Row, ...]
    all: tuple[Row, ...]
    aborted: tuple[Aborted, ...]
    open: tuple[int, ...]
    unit: str | None = None
    range: tuple[float, float] | None = None

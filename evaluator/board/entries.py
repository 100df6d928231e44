"""What the entries of a log say, each checked by itself: the part of a board that takes time.

    for fact in facts(log.entries(0, size), keys): ...

Signature, schema and arithmetic of an entry need no other entry, so ranges of them are checked by
as many processes as there are CPUs. What an entry means after those before it (whether its key was
in force, whether what it names is there) is for `evaluator.board.history`, in order.
"""

from __future__ import annotations

import base64
import copyreg
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from evaluator import kinds
from evaluator.arithmetic import grid_of, holdout_of, phases_of
from evaluator.board.values import Row
from evaluator.bundle import fingerprint, load_public_key, open_envelope
from evaluator.error_arithmetic import error_grid_of
from evaluator.error_figures import ErrorDifference, ErrorFigures
from evaluator.errors import VerificationError
from evaluator.log.statements import parse
from evaluator.petaflops import MICRO
from evaluator.scoring import Difference, Figures, Grid, Holdout
from evaluator.verify import read_statement

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from evaluator.log.statements import Statement
    from evaluator.regression import ErrorGrid

CHUNK = 1000
"""Entries that a process is given at a time: about 5 MB."""

Value = TypeVar("Value", bound="Hashable")
Json = dict[str, Any]
Read = tuple[bytes, str, bytes, Json]
"""An entry: its envelope, who signed it, the payload, and that as JSON."""


@dataclass(frozen=True, slots=True)
class Measured:
    """On what a result was measured, and how finely it is published.

    `unit` and `range` are those of the targets, None where classes are predicted.
    """

    version: int
    commitment: str
    holdout: Holdout
    grid: Grid | ErrorGrid
    unit: str | None
    range: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result that adds up: its row, still without an offer, and what it says it belongs to."""

    row: Row
    origin: str
    measured: Measured


@dataclass(frozen=True, slots=True)
class Received:
    """A submission that was received."""

    vendor: str
    digest: str
    adapted: str | None
    offer: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Fact:
    """One entry: who signed it, which has been checked, and what it says.

    Bytes are the envelope of a key change: the ring of keys wants to read that itself.
    """

    keyid: str
    said: Outcome | Received | Statement | bytes


def _travels(kind: type) -> None:
    """Pickle values of a dataclass as a call of it: 2 to 4 times as fast as dataclasses do."""
    values = attrgetter(*(field.name for field in fields(kind)))
    copyreg.pickle(kind, lambda value: (kind, values(value)))


for _kind in (
    Row,
    Figures,
    Difference,
    ErrorFigures,
    ErrorDifference,
    Measured,
    Outcome,
    Received,
    Fact,
):
    _travels(_kind)


def facts(entries: Iterable[bytes], keys: Sequence[bytes], known: int = 0) -> Iterator[Fact]:
    """Yield what each entry says, in order; `keys` are the trusted public keys, PEM.

    Of the first `known` entries it is known that they hold, and they are only read. Raises
    VerificationError naming the first position that does not hold.
    """
    source = iter(entries)
    chunks = iter(lambda: list(islice(source, CHUNK)), [])
    first, second = next(chunks, []), next(chunks, [])
    if not second:  # not worth a process
        yield from _check(0, first, keys, known)
        return
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers) as pool:
        waiting = [
            pool.submit(_check, 0, first, keys, known),
            pool.submit(_check, CHUNK, second, keys, known),
        ]
        start = 2 * CHUNK
        while waiting:
            while len(waiting) <= 2 * workers and (chunk := next(chunks, [])):
                waiting.append(pool.submit(_check, start, chunk, keys, known))
                start += CHUNK
            yield from waiting.pop(0).result()


def _check(start: int, entries: Sequence[bytes], keys: Sequence[bytes], known: int) -> list[Fact]:
    """Check entries, the first of which is at `start`."""
    reader = _Reader(keys)
    return [
        reader.fact(position, *(_contents if position < known else reader.checked)(position, each))
        for position, each in enumerate(entries, start)
    ]


def _contents(_position: int, envelope: bytes) -> Read:
    """Read an entry that has been checked before."""
    document = json.loads(envelope)
    payload = base64.b64decode(document["payload"])
    return envelope, document["signatures"][0]["keyid"], payload, json.loads(payload)


def _pair(interval: list[float]) -> tuple[float, float]:
    low, high = interval
    return float(low), float(high)


class _Reader:
    """Checks entries; equal parts of what they say become one object, which keeps memory small."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        public = [load_public_key(pem) for pem in keys]
        self._keys = {fingerprint(key): key for key in public}
        self._parts: dict[Any, Any] = {}

    def checked(self, position: int, envelope: bytes) -> Read:
        """Read an entry and check it; VerificationError naming its position."""
        try:
            keyid, payload = open_envelope(envelope, self._keys)
            return envelope, keyid, payload, read_statement(payload)
        except VerificationError as error:
            raise VerificationError(f"Entry {position} of the log: {error}") from error

    def fact(
        self, position: int, envelope: bytes, keyid: str, payload: bytes, statement: Json
    ) -> Fact:
        """Return what an entry says."""
        match statement["predicateType"]:
            case kinds.RESULT:
                said: Outcome | Received | Statement | bytes = self._outcome(position, statement)
            case kinds.RECEIVED:
                said = self._received(statement)
            case kinds.KEY_CHANGE:
                said = envelope
            case _:
                said = parse(payload)
        return Fact(self._same(keyid), said)

    def _outcome(self, position: int, statement: Json) -> Outcome:
        """The row of a result whose figures add up."""
        said = statement["predicate"]
        phases, log, dataset = said["phases"], said["log"], said["dataset"]
        baseline, tuned = phases["baseline"], phases["tuned"]
        row = Row(
            position=position,
            bits=said["leakage_bits"]["run"],
            received=log["received"],
            vendor=self._same(said["vendor"]),
            run=said["run"],
            digest=statement["subject"][0]["digest"]["sha256"],
            released=self._same(said["release"]["at"]),
            phase_statuses=self._same((baseline and baseline["status"], tuned and tuned["status"])),
            baseline=self._figures(baseline),
            tuned=self._figures(tuned),
            gain=self._gain(phases["gain"]),
            petaflops=sum(round(p.get("charge", 0) * MICRO) for p in phases_of(said)) / MICRO,
            offer=None,
            adapted=phases["adapted"],
        )
        digest = dataset["holdout_commitment"]["digest"]["sha256"]
        grid = error_grid_of(said) if dataset["task"] == "regression" else grid_of(said)
        measured = Measured(
            dataset["version"],
            digest,
            holdout_of(said),
            grid,
            dataset["unit"],
            dataset["range"] and _pair(dataset["range"]),
        )
        return Outcome(row, self._same(log["origin"]), self._same(measured))

    def _received(self, statement: Json) -> Received:
        said, (subject,) = statement["predicate"], statement["subject"]
        offer = said["offer"] and (said["offer"]["currency"], said["offer"]["per_km2"])
        vendor, digest = self._same(said["vendor"]), subject["digest"]["sha256"]
        return Received(vendor, digest, said["adapted"], self._same(offer))

    def _figures(self, phase: Json | None) -> Figures | ErrorFigures | None:
        if phase is None or phase["status"] != "OK":
            return None
        values = {name: self._plain(value) for name, value in phase.items()}
        del values["status"], values["charge"], values["task"]
        return ErrorFigures(**values) if "rmse" in values else Figures(**values)

    def _gain(self, gain: Json | None) -> Difference | ErrorDifference | None:
        if gain is None:
            return None
        values = {name: self._plain(value) for name, value in gain.items()}
        return ErrorDifference(**values) if "rmse" in values else Difference(**values)

    def _plain(self, value: Any) -> Any:  # noqa: ANN401  # anything a figure can be
        """Numbers as floats, as the models of a result have them, and pairs as tuples."""
        if isinstance(value, dict):
            names, pairs = self._same(tuple(value)), isinstance(next(iter(value.values())), list)
            plain = map(_pair if pairs else float, value.values())
            return dict(zip(names, map(self._same, plain), strict=True))
        if isinstance(value, list):
            return self._same(_pair(value))
        return self._same(float(value)) if isinstance(value, int | float) else value

    def _same(self, value: Value) -> Value:
        """The first value met that is equal."""
        return self._parts.setdefault(value, value)  # type: ignore[no-any-return]  # a map of mixed types

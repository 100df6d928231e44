"""Parsers of an output as one would first write them, and what each of them falls for."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluator.attacks.output_tries import SLIP
from evaluator.attacks.stand_in import CLASSES, HELD_OUT

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = np.zeros(HELD_OUT, np.uint8)


def takes_more(raw: bytes) -> bool:
    """It takes what it gets: here, more answers than there were questions."""
    return len(np.frombuffer(raw, np.uint8)) > HELD_OUT


def scores_fewer(raw: bytes) -> bool:
    """It pairs answers with labels while there are both: a tile left out counts for nothing."""
    pairs = list(zip(raw, LABELS, strict=False))
    return len(pairs) < HELD_OUT and all(answer == label for answer, label in pairs)


def breaks_scoring(raw: bytes) -> bool:
    """It looks the class up in a table that has no such row."""
    table = np.zeros((len(CLASSES), len(CLASSES)))
    try:
        for label, answer in zip(LABELS, raw, strict=True):
            table[label, answer] += 1
    except IndexError:
        return True
    return False


def is_json(raw: bytes) -> bool:
    """It parses what was not asked for."""
    return bool(json.loads(raw))


def crashes(raw: bytes) -> bool:
    """It ends with an exception that is no decoding error."""
    try:
        json.loads(raw)
    except (RecursionError, ValueError) as error:
        return not isinstance(error, json.JSONDecodeError)
    return False


def is_no_number(raw: bytes) -> bool:
    """It takes for numbers what compares with none."""
    return any(number != number for number in json.loads(raw))  # noqa: PLR0124 - only NaN differs


def last_wins(raw: bytes) -> bool:
    """It takes the second of two values, where another reader took the first."""
    return bool(json.loads(raw)["accuracy"] == 1.0)


def prints_escapes(raw: bytes) -> bool:
    """It shows a person what it cannot read."""
    return "\x1b[2J" in f"invalid output: {raw.decode(errors='replace')}"


def slips(raw: bytes) -> bool:
    """It unpacks an archive, and a file comes to lie beside the folder."""
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "inner"
        inner.mkdir()
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            archive.extractall(inner, filter="fully_trusted")  # noqa: S202 - what it is here for
        return (Path(folder) / SLIP).exists()


TRICKED: dict[str, Callable[[bytes], bool]] = {
    "out-long": takes_more,
    "out-short": scores_fewer,
    "out-class-range": breaks_scoring,
    "out-json": is_json,
    "out-json-deep": crashes,
    "out-json-bigint": crashes,
    "out-json-nan": is_no_number,
    "out-json-duplicate-keys": last_wins,
    "out-esc": prints_escapes,
    "out-tar-slip": slips,
}

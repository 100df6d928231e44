"""A board as others read it: from a published log, and held against that log.

log, keys = open_published(folder, trust)    the log that the owner serves
require_same(board.json, log, keys)          VerificationError unless it follows from the log
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evaluator.board.documents import board_document, board_json
from evaluator.board.reading import read_board
from evaluator.errors import OwnerError, VerificationError
from evaluator.log.checkpoint import Checkpoint
from evaluator.log.folder import CHECKPOINT, PUBLISHED
from evaluator.log.note import open_note
from evaluator.log.store import LogReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.board.values import Board, Log
    from evaluator.trust import Trust

SIZE_CAP = 1 << 30
"""Bytes of a board.json; one of 100,000 results has 40 million."""


def open_published(folder: Path, trust: Trust) -> tuple[LogReader, list[bytes]]:
    """Return a log that may be anyone's, and the keys to read it by.

    Raises OwnerError where it has no entries, VerificationError where fewer witnesses than the
    quorum of `trust` have signed it.
    """
    name = PUBLISHED if (folder / PUBLISHED).exists() else CHECKPOINT
    log = LogReader(folder, trust.log, name)
    if log.checkpoint.size and not (folder / "tile" / "entries").is_dir():
        raise OwnerError(
            f"The log in {folder} is served without its entries: its window is not published yet. "
            "Only its owner can show a board before that."
        )
    signed = open_note(log.note, [trust.log, *trust.witnesses]).signatures
    witnesses = {signature.key.name for signature in signed} - {trust.log.name}
    if len(witnesses) < trust.quorum:
        raise VerificationError(
            f"{len(witnesses)} of the {trust.quorum} witnesses that you ask for have signed this "
            "state of the log: you may be shown another log than everybody else. Get it again, or "
            "ask its owner."
        )
    return log, [key.pem for key in trust.keys]


def require_same(raw: bytes, log: Log, keys: Sequence[bytes]) -> Board:
    """Return the board of the log that the bytes of a board.json claim to be.

    Raises VerificationError where they are not what this log gives.
    """
    said = _read(raw)
    try:
        checkpoint = said["checkpoint"]
        asked = Checkpoint(
            str(checkpoint["origin"]), int(checkpoint["size"]), bytes.fromhex(checkpoint["root"])
        )
        metric, version = str(said["metric"]), int(said["dataset_version"])
    except (KeyError, TypeError, ValueError) as error:
        raise VerificationError("The file is no board of this program's.") from error
    board = read_board(log, keys, asked, metric=metric, version=version)
    if raw != board_json(board):
        ours = json.loads(json.dumps(board_document(board)))
        names = [name for name in ours if said.get(name) != ours[name]]
        raise VerificationError(
            "The board is not what the log says. They differ in: "
            f"{', '.join(names) or 'how the file is written'}. Believe the log, and ask the owner."
        )
    return board


def _read(raw: bytes) -> dict[str, Any]:
    try:
        said = json.loads(raw[: SIZE_CAP + 1])
    except (ValueError, RecursionError) as error:
        raise VerificationError("The file is not JSON.") from error
    if not isinstance(said, dict):
        raise VerificationError("The file is no board of this program's.")
    return said

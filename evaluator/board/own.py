"""The board of one's own log, every entry of which is checked once and not at every look.

    board = read_own(workspace)

That all entries up to some size hold is written down with the root of the log at that size and
the keys that were believed. The log's files are held against that root each time they are read,
so what was checked is still what is there. Who does not own the log checks all of it, always.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from evaluator import __version__
from evaluator.board.reading import read_board
from evaluator.files import replace
from evaluator.log.store import LogReader
from evaluator.trust import load_trust
from evaluator.verify import read_bounded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.board.values import Board
    from evaluator.workspace import Workspace


def read_own(
    workspace: Workspace,
    *,
    metric: str | None = None,
    vendor: str | None = None,
    version: int | None = None,
) -> Board:
    """Return the board of a workspace's log; what is asked, and what is raised, as `read_board`."""
    trust = load_trust(read_bounded(workspace.trust))
    keys = [key.pem for key in trust.keys]
    log = LogReader(workspace.log, trust.log)
    known = _known(workspace.checked, log, keys)
    board = read_board(log, keys, metric=metric, vendor=vendor, version=version, known=known)
    size = log.checkpoint.size
    if size > known:
        notice = {"size": size, "root": log.root(size).hex(), "by": _by(keys)}
        replace(workspace.checked, json.dumps(notice).encode())
    return board


def _known(path: Path, log: LogReader, keys: Sequence[bytes]) -> int:
    """How many entries have been checked; 0 where that was another log, or is not known."""
    try:
        notice = json.loads(path.read_bytes())
        size, root, by = notice["size"], notice["root"], notice["by"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    if by != _by(keys) or type(size) is not int or not 0 < size <= log.checkpoint.size:
        return 0
    return size if log.root(size).hex() == root else 0


def _by(keys: Sequence[bytes]) -> str:
    """By which program and whose keys: another version may check more."""
    return hashlib.sha256(b"\0".join([__version__.encode(), *keys])).hexdigest()

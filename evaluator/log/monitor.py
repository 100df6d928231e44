"""Watch a log from outside: that it only grew since the last look, and that its hashes add up.

Only the checkpoint and the hash tiles are read, from a folder or over HTTP; no entry is needed.
It runs with Python and `cryptography` alone:

    python -m evaluator.log.monitor --log VKEY --state FILE SOURCE

The state is the last checkpoint seen. The first look has none, and takes the log as it is.
Exit status: 0 it only grew, 4 it did not, or does not add up, 2 something is missing here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evaluator import merkle
from evaluator.errors import EvaluatorError, OwnerError, VerificationError
from evaluator.files import replace
from evaluator.log import tiles
from evaluator.log.checkpoint import Checkpoint, open_checkpoint
from evaluator.log.note import NOTE_CAP, VerifierKey, parse_vkey
from evaluator.log.tiles import TileTree
from evaluator.log.transport import SCHEMES, request

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT: Final = 10.0
"""Seconds for one file."""


def monitor(
    source: str, state: Path, log: VerifierKey, *, full: bool = False, timeout: float = TIMEOUT
) -> Checkpoint:
    """Check the log served at `source`, a folder or a URL, and return its checkpoint.

    1. The checkpoint is signed by the log's key.
    2. The last hash tiles give its root.
    3. It is no smaller than the one in `state`, and its tiles give that one's root at that size:
       nothing before it was altered or dropped.
    4. Every tile of leaf hashes since then, or, where `full`, since the first entry, is the one
       below the root.
    5. The checkpoint becomes the new `state`.

    Raises VerificationError where a step fails. Where step 3 does, the log signed two checkpoints
    that do not fit, and both are kept as evidence: the other one as `state`.refused. Raises
    OwnerError where `state` is not this log's.
    """
    before = _before(state, log)
    # Step 1
    note = _read(source, "checkpoint", timeout)
    now = open_checkpoint(note, log)
    # Step 2
    tree = TileTree(lambda path: _read_tile(source, path, timeout), now.size, now.root)
    # Step 3
    try:
        _require_continuation(before, now, tree)
    except VerificationError:
        replace(state.with_name(f"{state.name}.refused"), note)
        raise
    # Step 4
    first = 0 if full else before.size // tiles.WIDTH
    for number in range(first, -(-now.size // tiles.WIDTH)):
        tree.tile(0, number)
    # Step 5
    replace(state, note)
    return now


def _before(state: Path, log: VerifierKey) -> Checkpoint:
    """Return the checkpoint seen last, or the empty log's."""
    try:
        note = state.read_bytes()
    except FileNotFoundError:
        return Checkpoint(log.name, 0, merkle.EMPTY_ROOT)
    except OSError as error:
        raise OwnerError(f"The state {state} cannot be read ({error.strerror}).") from error
    try:
        return open_checkpoint(note, log)
    except VerificationError as error:
        raise OwnerError(
            f"The state {state} is no checkpoint of this log. Restore it, or name another file; "
            "without it, an earlier past of the log is not compared."
        ) from error


def _require_continuation(before: Checkpoint, now: Checkpoint, tree: TileTree) -> None:
    if now.size < before.size:
        raise VerificationError(
            f"The log was rolled back: it has {now.size} entries, and had {before.size}."
        )
    if tree.root(before.size) != before.root:
        raise VerificationError(
            f"The log was rewritten: its first {before.size} entries are not those that it signed "
            "before."
        )


def _read_tile(source: str, path: str, timeout: float) -> bytes:
    """Return a tile; a partial one that is served no more, from the whole one in its place."""
    whole, _, width = path.partition(".p/")
    try:
        return _read(source, path, timeout)
    except VerificationError:
        if not width:
            raise
        return _read(source, whole, timeout)[: int(width) * tiles.HASH]


def _read(source: str, path: str, timeout: float) -> bytes:
    cap = NOTE_CAP if path == "checkpoint" else tiles.TILE
    if source.startswith(SCHEMES):
        answer = request(f"{source.rstrip('/')}/{path}", cap, timeout)
        if answer.status == 200:
            return answer.body
        raise VerificationError(f"{source} does not serve {path} (status {answer.status}).")
    try:
        with (Path(source) / path).open("rb") as file:
            content = file.read(cap + 1)
    except OSError as error:
        raise VerificationError(
            f"{path} cannot be read in {source} ({error.strerror}): a log has it."
        ) from error
    if len(content) > cap:
        raise VerificationError(f"{path} in {source} is larger than such a file can be.")
    return content


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluator.log.monitor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="a folder, or the URL that `checkpoint` is served below")
    parser.add_argument("--log", required=True, metavar="VKEY", help="the log's vkey")
    parser.add_argument("--state", required=True, type=Path, metavar="FILE")
    parser.add_argument("--full", action="store_true", help="read all tiles, not only new ones")
    given = parser.parse_args(arguments)
    try:
        seen = monitor(given.source, given.state, parse_vkey(given.log), full=given.full)
    except EvaluatorError as error:
        print(error, file=sys.stderr)  # noqa: T201  # a command line of its own
        return 4 if isinstance(error, VerificationError) else 2
    print(f"The log only grew: {seen.size} entries, root {seen.root.hex()}.")  # noqa: T201  # as above
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Checkpoints: what a log says of itself (https://c2sp.org/tlog-checkpoint@v1.0.0).

Three lines: the log's name, how many entries it has, and the root of their Merkle tree. The
specification allows further lines and advises against them, since nobody can audit them; here
they are refused.
"""

import base64
from dataclasses import dataclass
from typing import Final

from evaluator.errors import VerificationError
from evaluator.log.note import VerifierKey, open_note

SIZE_CAP: Final = 1 << 62
"""Entries; beyond it no proof fits the 63 hashes that the protocols allow."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log named `origin` has `size` entries, under the 32-byte Merkle tree head `root`."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the note text, three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint in a note text, or raise VerificationError.

    Only the one spelling that `Checkpoint.text` gives is accepted.
    """
    try:
        origin, size, root, end = text.split("\n")
        found = Checkpoint(origin, parse_decimal(size), base64.b64decode(root, validate=True))
    except ValueError as error:
        raise VerificationError(
            "The note is not a checkpoint: it has not its three lines."
        ) from error
    if not origin or end or found.text() != text or len(found.root) != 32:
        raise VerificationError("The note is not a checkpoint: a line is not in its form.")
    if found.size >= SIZE_CAP:
        raise VerificationError("The checkpoint claims more entries than a log can have.")
    return found


def open_checkpoint(note: bytes, log: VerifierKey) -> Checkpoint:
    """Return the checkpoint that the log itself signed; VerificationError otherwise.

    The log's key bears the name of the log, so that is the origin it must state.
    """
    checkpoint = parse_checkpoint(open_note(note, [log]).text)
    if checkpoint.origin != log.name:
        raise VerificationError("The checkpoint is of another log than its key.")
    return checkpoint


def parse_decimal(text: str) -> int:
    """Return a number below 2**64 in its one decimal spelling; ValueError for any other."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError
    if str(int(text)) != text:
        raise ValueError
    return int(text)

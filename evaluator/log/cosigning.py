"""Ask witnesses to cosign a log's checkpoint (the client of https://c2sp.org/tlog-witness@v1.0.0).

A witness is told from which size on, and gets the proof that the log grew from there. It answers
with another size where it has seen another state; then the proof starts from that one.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

from evaluator.errors import VerificationError
from evaluator.files import replace
from evaluator.log.checkpoint import parse_decimal
from evaluator.log.note import add_line, open_note, parse_vkey, signature_lines
from evaluator.log.transport import request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.log.note import VerifierKey
    from evaluator.log.store import LogReader

SIZE_TYPE: Final = "text/x.tlog.size"
_TRIES: Final = 3
_ANSWER_CAP: Final = 1 << 16  # bytes
_REFUSALS: Final = {
    400: "it does not understand the request",
    403: "it knows this log by another key",
    404: "it does not know this log, or its address is another",
    422: "what it has seen of this log is not the beginning of what the log says now",
}


def add_checkpoint_body(old: int, path: Sequence[bytes], note: bytes) -> bytes:
    """Return the request: the size last cosigned, the proof from there, and the checkpoint."""
    lines = [f"old {old}", *(base64.b64encode(one).decode() for one in path), "", ""]
    return "\n".join(lines).encode() + note


def collect(
    reader: LogReader,
    witnesses: Sequence[tuple[str, str]],
    state: Path,
    timeout: float = 10.0,
) -> tuple[list[str], list[str]]:
    """Ask each witness, by address and vkey, to cosign the checkpoint of `reader`.

    Returns the signature lines, each verified, and one sentence for each witness that gave none.
    The sizes that witnesses have seen are kept in `state`: only a hint, and no loss where it is
    lost. A witness may take `timeout` seconds for an answer, and is asked three times at most.
    """
    sizes = _read_sizes(state)
    lines, failures = [], []
    for url, vkey in witnesses:
        try:
            lines.append(_ask(reader, url, parse_vkey(vkey), sizes.get(vkey, 0), timeout))
            sizes[vkey] = reader.checkpoint.size
        except VerificationError as error:
            failures.append(f"The witness at {url} did not sign. {error}")
    replace(state, json.dumps(sizes).encode())
    return lines, failures


def _ask(reader: LogReader, url: str, key: VerifierKey, old: int, timeout: float) -> str:
    size = reader.checkpoint.size
    for _ in range(_TRIES):
        old = old if old <= size else 0  # of a log that was restored since
        body = add_checkpoint_body(old, reader.consistency(old), reader.note)
        answer = request(f"{url.rstrip('/')}/add-checkpoint", _ANSWER_CAP, timeout, body)
        if answer.status == 200:
            return _line(reader, key, answer.body)
        if answer.status != 409:
            reason = _REFUSALS.get(answer.status, f"it answers with status {answer.status}")
            raise VerificationError(f"It refuses: {reason}.")
        seen = _size(answer.body)
        if seen > size or seen == old:
            raise VerificationError(
                f"It has cosigned a checkpoint of {seen} entries that this log, of {size}, does "
                "not continue. Was the log restored from a backup, or its key used twice?"
            )
        old = seen
    raise VerificationError("It names another size each time it is asked.")


def _line(reader: LogReader, key: VerifierKey, body: bytes) -> str:
    """Return the line of the answer that is the witness's and verifies."""
    for line in signature_lines(body):
        if line.split(" ")[1] == key.name:
            try:
                opened = open_note(add_line(reader.note, line), [key])
            except VerificationError:
                continue  # of another key of the same name
            if opened.signatures[0].timestamp is not None:
                return line
    raise VerificationError("Its answer has no genuine cosignature by the key configured for it.")


def _size(body: bytes) -> int:
    try:
        return parse_decimal(body.decode("ascii").removesuffix("\n"))
    except ValueError as error:
        raise VerificationError("It refuses, and names no size.") from error


def _read_sizes(state: Path) -> dict[str, int]:
    """Return what is remembered; nothing where that is missing or damaged."""
    try:
        found = json.loads(state.read_bytes())
        return {str(vkey): int(size) for vkey, size in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}

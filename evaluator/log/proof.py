"""Proofs that travel beside an entry (https://c2sp.org/tlog-proof@v1), and how they verify.

c2sp.org/tlog-proof@v1
index 123
<one hash a line, from the leaf's sibling up>

<the checkpoint, with the signatures of the log and of its witnesses>
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evaluator import merkle
from evaluator.errors import VerificationError
from evaluator.log.checkpoint import Checkpoint, parse_checkpoint, parse_decimal
from evaluator.log.note import NOTE_CAP, VerifierKey, open_note

HEADER: Final = "c2sp.org/tlog-proof@v1"
SUFFIX: Final = ".tlog-proof"
PATH_CAP: Final = 63  # hashes


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof says, before any of it is believed; `extra` nobody signed."""

    index: int
    path: tuple[bytes, ...]
    note: bytes
    extra: bytes


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry's place in a log, and when each witness of it signed (Unix times, in order)."""

    checkpoint: Checkpoint
    index: int
    timestamps: tuple[int, ...]


def format_proof(
    index: int, path: Sequence[bytes], checkpoint_note: bytes, extra: bytes = b""
) -> bytes:
    """Return the file of a proof."""
    lines = [HEADER]
    if extra:
        lines.append(f"extra {base64.b64encode(extra).decode()}")
    lines.append(f"index {index}")
    lines += [base64.b64encode(sibling).decode() for sibling in path]
    return "\n".join([*lines, "", ""]).encode() + checkpoint_note


def parse_proof(raw: bytes) -> Proof:
    """Return what a proof says; VerificationError if it is not in the form of one."""
    if len(raw) > NOTE_CAP:
        raise VerificationError("The proof is larger than any proof.")
    try:
        found = _parse(raw)
    except (ValueError, IndexError) as error:
        raise VerificationError(
            f"The file is not a log proof: it should begin with {HEADER}."
        ) from error
    if format_proof(found.index, found.path, found.note, found.extra) != raw:
        raise VerificationError("The log proof is not written as proofs are written.")
    return found


def _parse(raw: bytes) -> Proof:
    """Read a proof with whatever slack; ValueError or IndexError where that is not enough."""
    head, _, note = raw.partition(b"\n\n")
    _, *lines = head.decode("ascii").split("\n")
    extra = b""
    if lines[0].startswith("extra "):
        extra = base64.b64decode(lines.pop(0).removeprefix("extra "))
    index = parse_decimal(lines[0].removeprefix("index "))
    return Proof(index, parse_hashes(lines[1:]), note, extra)


def parse_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    """Return the hashes on these lines, at most 63; ValueError if one is in another form."""
    found = tuple(base64.b64decode(line, validate=True) for line in lines)
    spelled = [base64.b64encode(one).decode() for one in found]
    if len(found) > PATH_CAP or spelled != list(lines) or any(len(one) != 32 for one in found):
        raise ValueError
    return found


def verify_proof(
    raw: bytes,
    entry: bytes,
    log_key: VerifierKey,
    witnesses: Sequence[VerifierKey],
    quorum: int,
) -> Proven:
    """Return where the log has `entry`, or raise VerificationError.

    1. The proof is in its form, and so is the checkpoint in it.
    2. The log's key signed the checkpoint, which is of the log that the key is named after.
    3. At least `quorum` of the witnesses cosigned it, each counted once however often it is named.
    4. The path leads from the entry to the root that they signed.
    """
    # Step 1
    proof = parse_proof(raw)
    # Step 2
    opened = open_note(proof.note, [log_key, *witnesses])
    checkpoint = parse_checkpoint(opened.text)
    signed = {signature.key for signature in opened.signatures}
    if log_key not in signed or checkpoint.origin != log_key.name:
        raise VerificationError(
            "The checkpoint in the proof is not signed by the log that you trust."
        )
    # Step 3: by key, since a cosignature does not cover the name of its witness.
    times = {
        signature.key.public: signature.timestamp
        for signature in opened.signatures
        if signature.timestamp is not None and signature.key.public != log_key.public
    }
    if len(times) < quorum:
        raise VerificationError(
            f"{len(times)} of the witnesses that you trust cosigned the checkpoint, and {quorum} "
            "are needed. Ask for a proof with more cosignatures."
        )
    # Step 4
    leaf = merkle.leaf_hash(entry)
    if not merkle.includes(checkpoint.root, checkpoint.size, proof.index, leaf, proof.path):
        raise VerificationError(
            "The proof does not lead from this entry to the root of the log: one of them was "
            "altered, or they do not belong together."
        )
    return Proven(checkpoint, proof.index, tuple(sorted(times.values())))

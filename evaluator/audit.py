"""Hold the log against itself, and against everything else that a workspace has.

Is each received submission accounted for, and was anything altered, dropped, or never entered?
Nothing is written, and no private key is needed. A log that cannot be read as one, or that does
not continue an earlier checkpoint, is an error; everything else is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.audit_log import ends, read_whole, require_continues, rules, sums
from evaluator.audit_workspace import against_workspace
from evaluator.log.note import parse_vkey
from evaluator.log.store import LogReader

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from evaluator.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Audit:
    """What was held against what. `open` are positions of submissions that may still end."""

    size: int
    root: bytes
    received: int
    ended: int
    open: tuple[int, ...]
    findings: tuple[str, ...]


def audit(workspace: Workspace, since: Iterable[bytes], now: dt.datetime) -> Audit:
    """Return what is wrong with the log of a workspace, if anything.

    1. Its checkpoint is signed by its key; every entry's hash is in its tiles, under its root.
    2. It begins as each earlier checkpoint in `since`, and the one that is served, says it did.
    3. Each entry is signed by the key in force, and states what its kind may; results add up.
    4. Each received submission has one end, after it, or is still open in the ledger.
    5. Results were measured under the rules and on the holdout that the log had before them.
    6. The ledger has the same submissions, runs, statuses, charges and bits.
    7. results/ has each signed result, the same bytes, and no other.
    8. Key, rules and holdout in the workspace are those that the log has last.

    Raises VerificationError or OwnerError where step 1, 2 or the signatures of 3 fail.
    """
    reader = LogReader(workspace.log, parse_vkey(workspace.log_vkey.read_text()))
    # Step 2
    served = workspace.public / "log" / "checkpoint"
    for earlier in (*since, *([served.read_bytes()] if served.exists() else [])):
        require_continues(reader, earlier)
    # Steps 1 and 3
    log = read_whole(reader)
    findings = [*sums(log)]
    # Step 4
    findings += ends(log)
    # Step 5
    findings += rules(log)
    # Steps 6 to 8
    findings += against_workspace(workspace, log, now)
    still = tuple(position for position in log.received if position not in log.ends)
    return Audit(
        size=reader.checkpoint.size,
        root=reader.checkpoint.root,
        received=len(log.received),
        ended=len(log.ends),
        open=still,
        findings=tuple(findings),
    )

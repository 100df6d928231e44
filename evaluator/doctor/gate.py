"""Before a run: the proof of the wall that goes into its result, or no run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sandbox
from evaluator.doctor import checks
from evaluator.doctor.examine import examine
from evaluator.files import write_new
from evaluator.proof import Proof

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.doctor.examine import Examination, Subject
    from evaluator.proof import Verdict

_KEPT = 16  # verdicts of other policies and versions, so that going back costs nothing


def require_sealed(subject: Subject, remembered: Path, say: Callable[[str], None]) -> Proof:
    """The proof that goes into a result; SandboxError where the wall is not SEALED.

    The host is judged each time. Of its wall, what was seen before counts as long as engine,
    runtime, kernel, policies, probe and corpus are the same; `remembered` is the file for that.
    """
    facts, host = subject.host()
    _require(checks.verdict(host), [check.id for check in host if check.status == "fatal"])
    known = _read(remembered).get(subject.key(facts))
    if known is not None and sandbox.find_image(known.probe):
        residual = {*known.residual, *checks.residual(host)}
        return Proof("SEALED", known.probe, known.stopped, tuple(sorted(residual)))
    say("Trying the wall on this host, once ...")
    examination = examine(subject, full=False, say=say)
    fatal = [check.id for check in examination.host if check.status == "fatal"]
    through = [tried.attack.id for tried in examination.wall.open]
    _require(examination.verdict, [*fatal, *through])
    remember(examination, remembered)
    return examination.proof


def remember(examination: Examination, path: Path) -> None:
    """Keep a SEALED wall's outcomes for as long as nothing that they depend on changes."""
    if examination.verdict != "SEALED":
        return
    kept = _read(path)
    kept.pop(examination.key, None)
    residual = tuple(tried.attack.id for tried in examination.wall.residual)
    kept[examination.key] = Proof("SEALED", examination.probe, examination.wall.stopped, residual)
    document = {
        key: {"probe": proof.probe, "stopped": proof.stopped, "residual": proof.residual}
        for key, proof in list(kept.items())[-_KEPT:]
    }
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    write_new(part, json.dumps(document, indent=1).encode(), 0o600)
    part.replace(path)


def _read(path: Path) -> dict[str, Proof]:
    """What was remembered; a file that cannot be read is no memory, and the wall is tried anew."""
    try:
        document = json.loads(path.read_bytes())
        return {
            key: Proof("SEALED", each["probe"], tuple(each["stopped"]), tuple(each["residual"]))
            for key, each in document.items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _require(verdict: Verdict, ids: list[str]) -> None:
    if verdict == "SEALED":
        return
    what = f" ({', '.join(ids)})" if ids else ""
    raise sandbox.SandboxError(
        f"The wall of this host is {verdict}{what}, so nothing was run. `evaluator doctor` says "
        "what to do about it."
    )

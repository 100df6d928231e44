"""What a vendor reads of the containers of a rehearsal: how each ended, its log, a line to repeat.

Logs are whatever a program printed. Each line is made plain, and has a mark of ours before it, so
that no terminal and no build takes it for anything but words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.reports.plain import plain, plain_lines
from sandbox import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import StepFacts
    from evaluator.rehearsal.attempt import Rehearsal

TAIL = 10  # lines of the log of a container that ended well


def shown_steps(rehearsal: Rehearsal, kept: str, *, verbose: bool) -> Iterator[str]:
    """Lines for the screen; `kept` is the folder of what containers were given, "" for none."""
    for step, command in zip(rehearsal.facts.steps, rehearsal.commands, strict=True):
        failed = step.status != Status.OK or step.output not in {"", "right"}
        yield _head(step)
        yield from _log(step, whole=verbose or failed)
        if command and (verbose or failed):
            yield f"  Again, in {plain(kept) if kept else 'the directory that --keep DIR makes'}:"
            yield f"  {plain(command, 10_000)}"


def _head(step: StepFacts) -> str:
    tiles = f", {step.tiles} tiles" if step.tiles else ""
    ended = "" if step.exit_code in {0, None} else f" (exit status {step.exit_code})"
    wrote = f", predictions {step.output}" if step.output not in {"", "right"} else ""
    return (
        f"{step.phase} {step.verb}{tiles}: {step.status}{ended}{wrote}, {step.seconds:.1f} s, "
        f"{step.peak_memory / 2**20:.0f} MiB"
    )


def _log(step: StepFacts, *, whole: bool) -> Iterator[str]:
    lines = step.log.rstrip("\n").split("\n") if step.log else []
    if not whole and len(lines) > TAIL:
        yield f"  | ... {len(lines) - TAIL} lines more (--verbose shows them)"
        lines = lines[-TAIL:]
    for line in plain_lines("\n".join(lines)) if lines else ():
        yield f"  | {line.replace('##', '# #')}"  # which some builds look for anywhere in a line
    if step.cut:
        yield "  | ... and more, which nobody read"

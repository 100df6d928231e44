"""What `evaluator doctor` prints: two tables and a verdict for people, a document for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluator.attacks.controls import CONTROLS

if TYPE_CHECKING:
    from evaluator.attacks.probing import Tried
    from evaluator.doctor.check import Check
    from evaluator.doctor.examine import Examination

_STYLE = {
    "ok": "green",
    "info": "dim",
    "residual": "yellow",
    "unknown": "magenta",
    "fatal": "bold red",
    "SEALED": "bold green",
    "UNSEALED": "bold red",
    "UNKNOWN": "bold magenta",
}
_MEANING = {
    "SEALED": "every technique that the wall claims to stop was stopped",
    "UNSEALED": "something gets through; `evaluator run` refuses on this host",
    "UNKNOWN": "something could not be told, which counts as open; `evaluator run` refuses",
}


def print_examination(examination: Examination) -> None:
    """Both halves, what is left to worry about, and the verdict last."""
    console = Console(highlight=False)
    console.print("the host")
    console.print(_host(examination.host))
    console.print("\nthe wall")
    console.print(_wall(examination))
    if examination.wall.positives:
        console.print(_positives(examination.wall.positives))
    console.print()
    stopped, tried = len(examination.wall.stopped), len(examination.wall.tried)
    verdict = examination.verdict
    console.print(
        Text.assemble(
            (verdict, _STYLE[verdict]),
            f" under {examination.runtime}: {stopped} of {tried} techniques stopped; "
            f"{_MEANING[verdict]}.",
        )
    )


def _table() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _host(checks: tuple[Check, ...]) -> Table:
    """What is as it should be in one line, then the rest with what it means and what to do."""
    table = _table()
    fine = ", ".join(check.id for check in checks if check.status == "ok")
    table.add_row(Text("ok", _STYLE["ok"]), fine)
    for check in checks:
        if check.status == "ok":
            continue
        words = Text.assemble((check.id, "bold"), f": {check.found}")
        if check.status != "info":
            words.append(f"\n{check.why[:1].upper()}{check.why[1:]}.\nFix: {check.fix}")
        table.add_row(Text(check.status, _STYLE[check.status]), words)
    return table


def _wall(examination: Examination) -> Table:
    """Each technique with what stops it; of one that gets through, what it is."""
    table = _table()
    for tried in examination.wall.tried:
        words = Text.assemble((tried.attack.id, "bold"), f": {_by(tried, examination.runtime)}")
        if tried.outcome not in {"blocked", "contained"}:
            words = Text.assemble((tried.attack.id, "bold"), f": {tried.attack.sentence}")
            words.append(f" {tried.attack.note}")
        table.add_row(_mark(tried), words)
    return table


def _mark(tried: Tried) -> Text:
    if tried.outcome in {"blocked", "contained"}:
        return Text("stopped", "green")
    if tried.outcome in {"absent", "-"}:
        return Text("absent" if tried.outcome == "absent" else "not tried", "dim")
    status = "residual" if not tried.attack.must else "fatal"
    words = "gets through" if tried.outcome == "succeeds" else "unknown"
    return Text(words, _STYLE[status])


def _by(tried: Tried, runtime: str) -> str:
    """The controls that stop it, each of them alone; under gVisor some end in its own kernel."""
    return ", ".join(CONTROLS[name].title for name in _controls(tried, runtime))


def _controls(tried: Tried, runtime: str) -> tuple[str, ...]:
    names = tried.attack.stopped_by(runtime)
    by_gvisor = tried.outcome == "contained" or (tried.outcome == "blocked" and not names)
    return ("gvisor", *names) if by_gvisor and runtime == "runsc" else names


def _positives(positives: tuple[Tried, ...]) -> Text:
    """How many of the techniques are known to work here without the wall."""
    shown = [tried for tried in positives if tried.outcome in {"succeeds", "contained"}]
    silent = [tried.attack.id for tried in positives if tried not in shown]
    text = f"{len(shown)} of {len(positives)} of them succeed here in an ordinary container"
    return Text(f"{text}; not {', '.join(silent)}." if silent else f"{text}.")


def doctor_document(examination: Examination) -> dict[str, Any]:
    """`evaluator doctor --json`."""
    return {
        "verdict": examination.verdict,
        "runtime": examination.runtime,
        "probe": examination.probe,
        "host": [asdict(check) for check in examination.host],
        "wall": [_row(tried, examination.runtime) for tried in examination.wall.tried],
        "positives": [_row(tried, examination.runtime) for tried in examination.wall.positives],
        "residual": list(examination.proof.residual),
    }


def _row(tried: Tried, runtime: str) -> dict[str, Any]:
    return {
        "id": tried.attack.id,
        "category": tried.attack.category,
        "sentence": tried.attack.sentence,
        "must": tried.attack.must,
        "outcome": tried.outcome,
        "controls": list(_controls(tried, runtime)),
    }

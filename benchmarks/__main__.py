"""Measure what runs cost, side by side with what a user would do instead.

    python -m benchmarks --tiles tiles.tar --python PYTHON
    python -m benchmarks.report

Takes the parts one after the other, an hour or so for all of them on a machine that does nothing
else, and writes what it found after each. Without --tiles some parts make their own tiles, and
without --python (an interpreter with torch, timm and onnxscript) they leave out what needs it. A
part that is taken again replaces what was found before.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import machine
from benchmarks.measure import Bench
from benchmarks.parts import PARTS, part_of, read_results, write_results

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

RESULTS = Path(__file__).with_name("results.json")
DISK = "/var/tmp"  # noqa: S108 - where /tmp may be memory; below it a folder of our own
ENDED = (signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status: 1 where a part failed."""
    given = _parser().parse_args(arguments)
    results, failed = read_results(given.results), []
    for name in given.only or PARTS:
        try:
            part = part_of(name)
            if part is None:
                _say(f"{name}: there is no such part yet, so it is left out")
                continue
            results[name] = _take(part, given)
        except Exception:  # noqa: BLE001 - whatever it was, the other parts can still be measured
            traceback.print_exc()
            failed.append(name)
            continue
        write_results(given.results, results)
    if failed:
        _say(f"Failed, and nothing new was written of it: {', '.join(failed)}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--smoke", action="store_true", help="show that it runs, not what it costs")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--only", nargs="+", choices=[*PARTS], metavar="PART")
    parser.add_argument("--tiles", type=Path, metavar="TAR", help="class folders of JPEG tiles")
    parser.add_argument("--python", metavar="PYTHON", help="with torch, timm and onnxscript")
    parser.add_argument(
        "--runtimes", metavar="NAMES", help="with commas (default: runc and runsc, if there)"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--work", type=Path, default=DISK, metavar="DIR", help=f"default {DISK}")
    return parser


def _take(part: ModuleType, given: argparse.Namespace) -> dict[str, Any]:
    """Measure one part in a folder of its own, and say how, when and where."""
    _say(f"{part.__name__.rpartition('.')[2]} ...")
    runtimes, idle = _runtimes(given.runtimes), 0.1 if given.smoke else 3.0
    load, busy = [machine.load()], [machine.busy(idle)]
    began, begun = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), time.monotonic()
    with _folder(given.work) as folder:
        bench = Bench(
            work=folder,
            tiles=given.tiles and given.tiles.resolve(),
            python=given.python,
            smoke=given.smoke,
            rounds=given.rounds,
            runtimes=runtimes,
        )
        part.measure(bench)
    taken = time.monotonic() - begun
    load.append(machine.load())
    busy.append(machine.busy(idle))
    run = {
        "began": began,
        "seconds": round(taken),
        "commit": machine.commit(),
        "rounds": 1 if given.smoke else given.rounds,
        "smoke": given.smoke,
        "runtimes": [*runtimes],
        "tiles": given.tiles is not None,
        "load": load,
        "busy": busy,
    }
    return {"run": run, "machine": machine.describe(given.python), "found": bench.found}


def _runtimes(asked: str | None) -> tuple[str, ...]:
    if asked:
        return tuple(asked.split(","))
    there = machine.runtimes()
    return tuple(name for name in ("runc", "runsc") if name in there)


@contextmanager
def _folder(below: Path) -> Iterator[Path]:
    """A folder that is removed whatever happens, also where this process is asked to end."""

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = [signal.signal(number, end) for number in ENDED]
    try:
        with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=below) as folder:
            yield Path(folder)
    finally:
        for number, handler in zip(ENDED, before, strict=True):
            signal.signal(number, handler)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201 - a command line's progress


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        _say("Interrupted; what was measured before this part is kept")
        sys.exit(130)

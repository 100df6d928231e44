"""How costs grow: with the log, with past submissions, and with tiles.

log            what benchmarks/log_curve.py measures, at 1,000 to 100,000 entries of 3,000 bytes.
submissions    a workspace with 1,000 to 100,000 submissions of the past (benchmarks/past.py): the
               accounts' share of one more (sweep, take in, log, start, settle, release) with a file
               of noise instead of a model and of a result, and the command `evaluator status`.
window         a thousand submissions one after the other in one workspace, by the same share: all
               of one day, so that their results wait for the end of the slot, which costs most.
tiles          what the harness does with the holdout in a run (hash, hold against the commitment,
               read predictions, score, round), in a process of its own that has all modules of a
               run, on 1,000 to 1,000,000 made tiles of 16x16 bytes: a million take 256 MB. The
               container is a stand-in: predictions are all of one class.

No container runs, so these are costs of the product alone.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import shutil
import statistics
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import log_curve
from benchmarks.measure import command, timed
from benchmarks.past import add_past, new_workspace, signers_of
from benchmarks.workspace import VENDOR, evaluator, python, settled
from evaluator.files import sync, write_new
from evaluator.journal import log_started
from evaluator.ledger import open_ledger
from evaluator.petaflops import MICRO
from evaluator.queue import Request, drop_ended, limits_of, submit, sweep
from evaluator.record import finish_records
from evaluator.submission import parse_submission
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.measure import Bench, Sample
    from evaluator.signers import Signers

LOG_SIZES = (1000, 10_000, 100_000)
PAST = (0, 1000, 10_000, 100_000)
WINDOW, BLOCK = 1000, 100
TILES = (1000, 10_000, 100_000, 1_000_000)
SIDE = 16
MOST = 120  # MB of the harness, at any number of tiles
NOISE = "x" * 3000  # as long as the rest of a result
ONE_MORE = 11  # submissions, whose median is taken


def measure(bench: Bench) -> None:
    """Draw the four curves."""
    _log(bench)
    fresh = new_workspace(bench, "fresh", 20, SIDE)
    _submissions(bench, Workspace(shutil.copytree(fresh, bench.work / "past")))
    _window(bench, Workspace(fresh))
    _tiles(bench)


def _log(bench: Bench) -> None:
    """Milliseconds of what is done with one log."""
    sizes = (20, 300) if bench.smoke else LOG_SIZES
    bench.say(f"a log of {sizes[-1]:,} entries")
    folder = bench.work / "log-curve"
    folder.mkdir()
    points = log_curve.measure(folder, sizes, 3000)
    names = ("append", "open", "proof", "monitor", "audit")
    bench.curve(
        "log",
        "The log: one append, opening, one proof, a look at what is new, a whole audit",
        "entries",
        "ms",
        {point.size: {name: getattr(point, name) for name in names} for point in points},
    )


def _submissions(bench: Bench, workspace: Workspace) -> None:
    """Milliseconds of one submission more, and of a look at the window, by what was before."""
    points: dict[float, dict[str, float]] = {}
    bookkeeper = Bookkeeper.of(workspace)
    done = 0
    for past in (0, 20) if bench.smoke else PAST:
        bench.say(f"a workspace of {past:,} submissions")
        add_past(workspace, past - done)
        done = past
        timed(bookkeeper.one_more)  # the ledger was written by us, and is looked through once
        rounds = [timed(bookkeeper.one_more) for _ in range(2 if bench.smoke else ONE_MORE)]
        look = command(evaluator("status", "--workspace", workspace.root), settled(bench))
        points[max(past, 1)] = {
            "one more": _milliseconds(rounds, "seconds"),
            "one more, CPU": _milliseconds(rounds, "cpu"),
            "evaluator status": 1000 * look.seconds,
        }
    shutil.rmtree(workspace.root)
    title = "The accounts of one submission more, by the submissions before it"
    bench.curve("submissions", title, "submissions before", "ms", points)


def _window(bench: Bench, workspace: Workspace) -> None:
    """Milliseconds of a submission while a window fills in one day."""
    bench.say("a thousand submissions, one after the other")
    bookkeeper = Bookkeeper.of(workspace)
    points: dict[float, dict[str, float]] = {}
    whole, block = (4, 2) if bench.smoke else (WINDOW, BLOCK)
    for done in range(block, whole + 1, block):
        samples = [timed(bookkeeper.one_more) for _ in range(block)]
        points[done] = {
            "wall": _milliseconds(samples, "seconds"),
            "CPU": _milliseconds(samples, "cpu"),
        }
    shutil.rmtree(workspace.root)
    title = "The accounts of each submission of one day, as the day goes on"
    bench.curve("window", title, "submissions so far", "ms", points)


def _milliseconds(samples: Sequence[Sample], key: str) -> float:
    return 1000 * float(statistics.median(getattr(sample, key) for sample in samples))


@dataclass(frozen=True, slots=True)
class Bookkeeper:
    """What a workspace does for a submission apart from its evaluation."""

    workspace: Workspace
    signers: Signers
    model: Path

    @classmethod
    def of(cls, workspace: Workspace) -> Bookkeeper:
        """Open the keys of a workspace."""
        return cls(workspace, signers_of(workspace), workspace.root / "model.onnx")

    def one_more(self) -> None:
        """Sweep, take a submission in, log it, start it, and write a result of it."""
        with open_ledger(self.workspace.ledger):
            finish_records(self.workspace, [])
            sweep(self.workspace)
        self.model.write_bytes(secrets.token_bytes(1000))
        request = Request(parse_submission(str(self.model)), VENDOR, "baseline")
        number = submit(self.workspace, request, self.signers, lambda _: None)
        run, limits = secrets.token_hex(8), limits_of(self.workspace.settings())
        with open_ledger(self.workspace.ledger) as ledger:
            log_started(self.workspace, self.signers, ledger.queued(number))
            ledger.start(
                run,
                number,
                VENDOR,
                1,
                bits=100,
                bit_budget=2**40,
                micro_petaflops=MICRO,
                limits=limits,
            )
        self._end(run)
        drop_ended(self.workspace, number)

    def _end(self, run: str) -> None:
        """Write both documents of a run, and their row."""
        tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        due = f"{tomorrow:%Y-%m-%dT%H:%M:%SZ}"
        said = {"predicate": {"release": {"at": due}, "": NOISE}}
        payload = b64encode(json.dumps(said).encode()).decode()
        bundle = json.dumps({"dsseEnvelope": {"payload": payload}}).encode()
        signed = self.workspace.result(VENDOR, run)
        with open_ledger(self.workspace.ledger) as ledger:
            ledger.released()
            ledger.settle(run, 50, ("OK", None), (0, 0), 100)
            for path in (signed, self.workspace.private(run)):
                write_new(path, bundle, 0o600)
                sync(path.parent)
            ledger.release(run, due)


def _tiles(bench: Bench) -> None:
    """Seconds and MB of the harness, by the tiles held out."""
    points: dict[float, dict[str, float]] = {}
    for count in (50,) if bench.smoke else TILES:
        bench.say(f"{count:,} tiles")
        farm = new_workspace(bench, f"tiles-{count}", count, SIDE)
        sample = command(python("-m", "benchmarks.harness_part", farm), settled(bench))
        shutil.rmtree(farm)
        points[count] = {"s": sample.seconds, "CPU s": sample.cpu, "MB": sample.peak / 1e6}
    title = "The harness's part of a run: seconds, and megabytes at most"
    bench.curve("tiles", title, "tiles held out", "s, MB", points)
    for held, values in points.items():
        bench.limit(f"Memory of the harness, {held:,.0f} tiles", round(values["MB"]), MOST, "MB")

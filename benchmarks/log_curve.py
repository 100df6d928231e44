"""How the log's cost grows with its size: append, proof and audit at 1,000 to 100,000 entries.

    python benchmarks/log_curve.py [--sizes 1000,10000,100000] [--bytes 3000] [--plot FILE.png] DIR

A log is grown in DIR, a folder on the disk to be measured, and removed again. Printed for each
size, in milliseconds, as the median of several rounds:

    append    one entry more, on the disk under a signed checkpoint when the call returns
    open      the checkpoint verified, and that the last tiles give its root
    proof     the .tlog-proof of some entry, from tiles on the disk
    monitor   a look from outside at everything new since the size before, from hashes alone
    audit     every entry read and compared with its hash, and every hash with the root (one round)

and how long the batch took that grew the log to that size. Needs about 350 MB for the largest.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import statistics
import sys
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluator.log.monitor import monitor
from evaluator.log.note import NoteSigner
from evaluator.log.store import Log, LogReader, create_log, open_log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BATCH = 10_000
ROUNDS = 11


@dataclass(frozen=True, slots=True)
class Point:
    """The costs at one size: entries, then milliseconds."""

    size: int
    batch: float
    append: float
    open: float
    proof: float
    monitor: float
    audit: float


def measure(folder: Path, sizes: Sequence[int], length: int) -> list[Point]:
    """Grow a log in `folder` to each of `sizes`, ascending, of entries of `length` bytes."""
    signer = NoteSigner("log.example/benchmark", Ed25519PrivateKey.generate())
    create_log(folder / "log", signer)
    points = []
    for size in sizes:
        with open_log(folder / "log", signer) as log:
            batch, append = _write(log, size, length)
        points.append(Point(size, batch, append, *_read(folder, signer, size)))
    return points


def _write(log: Log, size: int, length: int) -> tuple[float, float]:
    """What the owner waits for until the log has `size` entries: a batch, and one entry more."""
    batch = _timed(lambda: _grow(log, size - ROUNDS, length))
    return batch, _median(lambda: log.append([secrets.token_bytes(length)]))


def _read(folder: Path, signer: NoteSigner, size: int) -> tuple[float, float, float, float]:
    """What readers of the log wait for: open, proof, monitor, audit."""
    log, state = folder / "log", folder / "state"
    opened = _median(lambda: LogReader(log, signer.verifier))
    # A new reader each time, so that no tile is in memory yet.
    proof = _median(lambda: LogReader(log, signer.verifier).proof(secrets.randbelow(size)))
    watched = _timed(lambda: monitor(str(log), state, signer.verifier))
    audit = _timed(lambda: sum(1 for _ in LogReader(log, signer.verifier).entries(0, size)))
    return opened, proof, watched, audit


def _grow(log: Log, size: int, length: int) -> None:
    while (more := min(BATCH, size - log.checkpoint.size)) > 0:
        log.append([secrets.token_bytes(length) for _ in range(more)])


def _median(action: Callable[[], object]) -> float:
    return statistics.median(_timed(action) for _ in range(ROUNDS))


def _timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1000


def table(points: Sequence[Point]) -> str:
    """Return the points as lines of a table."""
    names = [field.name for field in fields(Point)]
    head = f"{names[0]:>8}" + "".join(f"{name + ' ms':>12}" for name in names[1:])
    rows = [astuple(point) for point in points]
    return "\n".join(
        [head, *(f"{row[0]:>8}" + "".join(f"{value:>12.2f}" for value in row[1:]) for row in rows)]
    )


def plot(points: Sequence[Point], path: Path) -> None:
    """Draw the points, both axes logarithmic, as a PNG."""
    import matplotlib as mpl  # noqa: PLC0415  # only where a plot is asked for

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name in (field.name for field in fields(Point)[2:]):
        values = [getattr(point, name) for point in points]
        axes.plot([point.size for point in points], values, marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="entries in the log", ylabel="milliseconds")
    for axis in (axes.xaxis, axes.yaxis):  # plain numbers, which every font has
        axis.set_major_formatter("{x:,g}")
        axis.set_minor_formatter("")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="must not exist yet")
    parser.add_argument("--sizes", default="1000,10000,100000", help="of at least 12, ascending")
    parser.add_argument("--bytes", type=int, default=3000, help="length of an entry")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True)
    try:
        points = measure(given.folder, [int(size) for size in given.sizes.split(",")], given.bytes)
    finally:
        shutil.rmtree(given.folder)
    print(table(points))  # noqa: T201  # a command line
    if given.plot:
        plot(points, given.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())

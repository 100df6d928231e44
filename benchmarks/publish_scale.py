"""How long publication takes.

    PYTHONPATH=. python benchmarks/publish_scale.py [RESULTS] [VENDORS]

A synthetic window of so many results (100,000 by default, of 500 vendors) is signed, appended to a
log on the disk, read into a board with every signature and figure checked, and published. Prints
the seconds of each stage. Who reads a published log waits for the first reading, its owner at
publication for the second, since a workspace checks its own entries once, and for the site.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluator.board.documents import board_csv, board_json
from evaluator.board.reading import read_board
from evaluator.log.note import NoteSigner
from evaluator.log.store import LogReader, create_log, open_log
from evaluator.publish import write_site
from tests.helpers.synthetic import ORIGIN, make

if TYPE_CHECKING:
    from collections.abc import Iterator


def measure(results: int, vendors: int, folder: Path) -> dict[str, float]:
    """Return the seconds of each stage; what is made lies in `folder`."""
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - start

    signer = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
    with stage("make and sign the entries"):
        made = make(results, vendors)
    create_log(folder / "log", signer)
    with stage("append them"), open_log(folder / "log", signer) as log:
        for start in range(0, len(made.entries), 256):
            log.append(made.entries[start : start + 256])
    made.entries.clear()
    with stage("read the board, all checked"):
        board = read_board(LogReader(folder / "log", signer.verifier), made.keys)
    with stage("read it again, all known"):
        log_ = LogReader(folder / "log", signer.verifier)
        read_board(log_, made.keys, known=log_.checkpoint.size)
    with stage("write the site"):
        write_site(board, None, folder / "public")
    with stage("of that board.json and board.csv"):
        board_json(board)
        board_csv(board)
    return seconds


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s [RESULTS] [VENDORS]")
    parser.add_argument("results", type=int, nargs="?", default=100_000)
    parser.add_argument("vendors", type=int, nargs="?", default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(asked.results, asked.vendors, Path(folder))
        site = folder + "/public/board/"
        files = sum(len(names) for _, _, names in os.walk(site))
    out = sys.stdout.write
    out(f"{asked.results} results of {asked.vendors} vendors, {os.cpu_count()} CPUs\n")
    for name, took in seconds.items():
        out(f"{took:8.1f} s  {name}\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    out(f"{peak:8.1f} GiB at most in the first process; {files} files in the site\n")


if __name__ == "__main__":
    main()

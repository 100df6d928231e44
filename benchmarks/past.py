"""What submissions of the past leave in a workspace, without one of them having been evaluated.

Rows of the ledger, names of signed results, and as many entries of the log, all as a workspace has
them. Results and entries are noise: nothing that a run does looks into those of earlier runs.
"""

from __future__ import annotations

import secrets
import shutil
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.workspace import CLASSES, ROOM, make_workspace
from evaluator.ledger import Vendor, open_ledger
from evaluator.ledger_file import open_file
from evaluator.log.store import open_log
from evaluator.signers import Signers, load_signer
from evaluator.signing import load_log_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from benchmarks.measure import Bench
    from evaluator.workspace import Workspace

OF_ONE = 200  # submissions of each vendor
ENTRY = 1500  # bytes of an entry of the log
BATCH = 5000
TIME = "2026-01-01T00:00:00Z"
SUBMISSIONS = (
    "INSERT INTO submissions (id, vendor, phases, kind, digest_of, sha256, size, content, received,"
    " day, state, ended) VALUES (?, ?, 'baseline', 'onnx', 'file', ?, 1000, ?, ?, ?, 'done', ?)"
)
RUNS = (
    "INSERT INTO runs (run, submission, vendor, dataset_version, state, tenths, micro_baseline, "
    "fee_cents, baseline_status, day, started, ended) "
    "VALUES (?, ?, ?, 1, 'released', 500, 1000, 100, 'OK', ?, ?, ?)"
)


def new_workspace(bench: Bench, name: str, tiles: int, side: int) -> Path:
    """A workspace with so many made tiles held out, its vendor entered, and room for everything."""
    farm, source = bench.work / name, bench.work / f"{name}-tiles"
    source.mkdir()
    count = tiles + CLASSES  # as many for training
    random = np.random.default_rng(7)
    np.save(source / "tiles.npy", random.integers(0, 255, (count, side, side), np.uint8))
    np.save(source / "labels.npy", np.arange(count, dtype=np.int64) % CLASSES)
    make_workspace(bench, farm, source, tiles, {**ROOM, "tile": [side, side]})
    shutil.rmtree(source)
    return farm


def signers_of(workspace: Workspace) -> Signers:
    """The keys of a workspace, which have no passphrase."""
    origin = workspace.settings().log.origin
    result = load_signer(f"file:{workspace.key}", workspace.public_key, lambda _: "")
    return Signers(result, load_log_key(workspace.log_key, origin))


def add_past(workspace: Workspace, count: int) -> None:
    """Add so many submissions that were received, run, released and logged."""
    with open_ledger(workspace.ledger) as ledger:
        vendors = [f"past-{number}" for number in range(-(-count // OF_ONE))]
        known = {vendor.name for vendor in ledger.vendors()}
        for name in vendors:
            if name not in known:
                ledger.add_vendor(Vendor(name))
    runs = [(secrets.token_hex(8), vendors[number // OF_ONE]) for number in range(count)]
    with open_log(workspace.log, signers_of(workspace).log) as log:
        first = log.checkpoint.size
        for start in range(0, 2 * count, BATCH):
            entries = min(BATCH, 2 * count - start)
            log.append([secrets.token_bytes(ENTRY) for _ in range(entries)])
    with open_file(workspace.ledger) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        _rows(connection, runs, first)
    for vendor in vendors:
        workspace.result(vendor, "any").parent.mkdir(exist_ok=True)
    for run, vendor in runs:
        workspace.result(vendor, run).touch()


def _rows(connection: Connection, runs: Sequence[tuple[str, str]], first: int) -> None:
    """Every table, with received and ended in turn from position `first` of the log."""
    row = connection.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM submissions").fetchone()
    numbered = [*enumerate(runs, int(row[0]))]
    day, digest = TIME[:10], "0" * 64
    connection.executemany(
        SUBMISSIONS,
        ((number, vendor, digest, digest, TIME, day, TIME) for number, (_, vendor) in numbered),
    )
    connection.executemany(
        RUNS, ((run, number, vendor, day, TIME, TIME) for number, (run, vendor) in numbered)
    )

    def names() -> Iterator[tuple[str, int]]:
        for at, (number, _) in enumerate(numbered):
            yield f"received/{number}", first + 2 * at
            yield f"end/{first + 2 * at}", first + 2 * at + 1

    connection.executemany("INSERT INTO logged VALUES (?, ?)", names())

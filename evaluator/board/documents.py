"""A leaderboard for programs: one JSON document, one CSV.

Vendors' names begin with a letter or a digit, and the owner's words get an apostrophe where they
could begin a formula: no cell of the CSV is one.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evaluator.board.ranking import METRICS, PER_CLASS, Metric, metrics_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evaluator.board.values import Board, Row

SCHEMA_VERSION = 1


def board_document(board: Board) -> dict[str, Any]:
    """`evaluator leaderboard show --json`, and board.json of what is published.

    `rows` has a result of each vendor with all its figures, `results` every result with the figure
    that the board is ordered by.
    """
    metric = METRICS[board.metric]
    return {
        "schemaVersion": SCHEMA_VERSION,
        "checkpoint": {
            "origin": board.checkpoint.origin,
            "size": board.checkpoint.size,
            "root": board.checkpoint.root.hex(),
        },
        "dataset_version": board.dataset_version,
        "task": board.task,
        "unit": board.unit,
        "range": board.range,
        "classes": board.classes,
        "rare_classes": board.rare,
        "holdout_tiles": board.holdout_tiles,
        "class_sizes": board.class_sizes,
        "window": {"opens": board.window[0], "closes": board.window[1]},
        "published": board.published is not None,
        "early_reason": board.published or None,
        "view": board.vendor,
        "metric": board.metric,
        "majority": board.majority and asdict(board.majority),
        "rows": [_row_document(row) for row in board.rows],
        "results": [_result_document(row, metric) for row in board.all],
        "aborted": [asdict(each) for each in board.aborted],
        "open": board.open,
    }


def board_json(board: Board) -> bytes:
    """Return the document of `board_document` as it is published: one line for each result."""
    document = board_document(board)
    results = document.pop("results")
    text = json.dumps(document, indent=1, ensure_ascii=False)
    lines = ",\n  ".join(json.dumps(result, ensure_ascii=False) for result in results)
    return f'{text[:-2]},\n "results": [\n  {lines}\n ]\n}}\n'.encode()


def board_csv(board: Board) -> str:
    """RFC 4180: a header, every result in the order of the log, lines that end in CRLF."""
    metrics = metrics_of(board.task)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_columns(board, metrics))
    writer.writerows(_cells(row, board, metrics) for row in board.all)
    return text.getvalue()


def _row_document(row: Row) -> dict[str, Any]:
    document = asdict(row)
    document["phase_statuses"] = _statuses(row)
    document["offer"] = row.offer and {"currency": row.offer[0], "per_km2": row.offer[1]}
    return document


def _result_document(row: Row, metric: Metric) -> dict[str, Any]:
    return {
        "position": row.position,
        "received": row.received,
        "vendor": row.vendor,
        "run": row.run,
        "digest": row.digest,
        "released": row.released,
        "phase_statuses": _statuses(row),
        "figure": metric.value(row),
        "petaflops": row.petaflops,
        "adapted": row.adapted,
        "withdrawn": row.withdrawn,
        "rank": row.rank,
    }


def _statuses(row: Row) -> dict[str, str | None]:
    return {"baseline": row.phase_statuses[0], "tuned": row.phase_statuses[1]}


_FACTS = (
    "rank",
    "tied",
    "best_of",
    "vendor",
    "run",
    "position",
    "received",
    "sha256",
    "released",
    "baseline",
    "tuned",
    "adapted",
    "withdrawn",
    "petaflops",
    "currency",
    "price_per_km2",
)


def _columns(board: Board, metrics: Sequence[Metric]) -> list[str]:
    columns = list(_FACTS)
    for metric in metrics:
        for phase in ("baseline", "tuned"):
            columns.append(f"{phase}_{metric.name}")
            if metric.interval:
                columns += [f"{phase}_{metric.name}_low", f"{phase}_{metric.name}_high"]
        columns.append(f"gain_{metric.name}")
    name = PER_CLASS[board.task].name
    return columns + [
        f"{phase}_{name}:{each}" for phase in ("baseline", "tuned") for each in board.classes
    ]


def _cells(row: Row, board: Board, metrics: Sequence[Metric]) -> Iterator[object]:
    """One line; None is an empty cell."""
    yield from (row.rank, "yes" if row.tied else "no", row.submissions, row.vendor, row.run)
    yield from (row.position, row.received, row.digest, row.released, *row.phase_statuses)
    yield from (row.adapted, row.withdrawn and _no_formula(row.withdrawn), row.petaflops)
    yield from row.offer or (None, None)
    phases = (row.baseline, row.tuned)
    for metric in metrics:
        for phase in phases:
            yield None if phase is None else getattr(phase, metric.figure)
            if metric.interval:
                yield from (phase and getattr(phase, metric.interval)) or (None, None)
        yield metric.gain(row)
    figure = PER_CLASS[board.task].figure
    for phase in phases:
        values = getattr(phase, figure) if phase else {}
        yield from (values.get(name) for name in board.classes)


def _no_formula(text: str) -> str:
    """The owner's words with an apostrophe where a spreadsheet would compute them."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text

"""What a board is printed as: a table that fits, CSV that no spreadsheet computes, one document."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from evaluator.board.documents import board_csv, board_document, board_json
from evaluator.board.ranking import metrics_of
from evaluator.board.tables import print_board
from tests.helpers.synthetic import SIZES, Synthetic, make, new_key, template

if TYPE_CHECKING:
    from evaluator.board.values import Board


@pytest.fixture(scope="module")
def made() -> Synthetic:
    """Six vendors, some of whose results failed or were withdrawn."""
    return make(120, 6)


@pytest.fixture(scope="module")
def board(made: Synthetic) -> Board:
    """What is read from it."""
    return made.board()


def printed(board: Board, capsys: pytest.CaptureFixture[str]) -> str:
    """What the terminal gets."""
    print_board(board)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit_the_terminal(
    made: Synthetic,
    board: Board,
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No line of a table is longer; sentences wrap as the terminal does it."""
    monkeypatch.setenv("COLUMNS", str(width))
    text = printed(board, capsys)

    for metric in metrics_of(board.task):
        rules = [
            line
            for line in printed(made.board(metric=metric.name), capsys).splitlines()
            if "─" in line
        ]
        assert len(rules) == 3
        assert max(map(len, rules)) <= width
    for row in board.rows:
        assert row.vendor in text
        assert row.tuned
        assert f"{100 * row.tuned.accuracy:.1f} [" in text
    for words in ("best", "gain", "rare-class", "PF", "EUR/km2", "always", *SIZES):
        assert words in text


def test_a_shared_rank_shows_that_it_is(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    """N= for each row of it."""
    text = printed(board, capsys)
    tied = [row for row in board.rows if row.tied]

    assert tied
    for row in board.rows:
        mark = f"{row.rank}{'=' if row.tied else ''}"
        assert any(line.split()[:2] == [mark, row.vendor] for line in text.splitlines())


def test_what_has_no_rank_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """Withdrawn with the reason, the owner's run as that, submissions without an end."""
    log = Synthetic(new_key(1))
    log.begin()
    log.withdraw(log.end(log.receive("acme"), template()), "acme", "swapped labels")
    log.receive("zenith")
    text = printed(log.board(), capsys)

    assert "withdrawn: swapped labels" in text
    assert "Received, and without an end in this log yet: entries 6." in text
    assert "not published" in text


def test_the_owners_words_cannot_move_the_cursor(
    board: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    """C1 controls pass the schema of a class name, and a terminal obeys them."""
    evil = replace(board, published="early\x9b2J\u202e")

    assert "early?2J?" in printed(evil, capsys)


def test_the_csv_has_every_result_with_every_figure(board: Board) -> None:
    """RFC 4180: one header, CRLF, as many cells in each line."""
    text = board_csv(board)
    header, *lines = csv.reader(io.StringIO(text, newline=""))

    assert text.endswith("\r\n")
    assert text.count("\r\n") == text.count("\n") == len(board.all) + 1
    assert {len(line) for line in lines} == {len(header)}
    best, row = dict(zip(header, _line(lines, board), strict=True)), board.rows[0]
    assert row.tuned
    assert row.gain
    assert (best["rank"], best["tied"], best["vendor"]) == ("1", "no", row.vendor)
    assert float(best["tuned_accuracy"]) == row.tuned.accuracy
    assert float(best["tuned_accuracy_low"]) == row.tuned.accuracy_interval[0]
    assert float(best["gain_rare_recall"]) == row.gain.rare_recall
    assert float(best["tuned_recall:pea"]) == row.tuned.recall["pea"]
    assert float(best["best_of"]) == row.submissions
    assert {line[header.index("withdrawn")] for line in lines} == {"", "a label was wrong"}


def _line(lines: list[list[str]], board: Board) -> list[str]:
    (found,) = [line for line in lines if board.rows[0].run in line]
    return found


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(start: str) -> None:
    """Words of the owner's, and classes with hostile names."""
    log = Synthetic(new_key(1))
    log.begin()
    reason = f"{start}cmd|' /C calc'!A0"
    log.withdraw(log.end(log.receive("acme"), template()), "acme", reason)
    board = log.board()
    hostile = replace(board, classes=(f"{start}SUM(A1)", *board.classes[1:]), all=())

    cells = [cell for line in csv.reader(io.StringIO(board_csv(board))) for cell in line]
    cells += [cell for line in csv.reader(io.StringIO(board_csv(hostile))) for cell in line]
    assert f"'{reason}" in cells
    words = [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
    assert not words
    assert all(float(cell) < 0 for cell in cells if cell.startswith("-"))


def test_the_document_is_what_is_written(board: Board) -> None:
    """board.json has a line for each result and says the same as the document."""
    raw = board_json(board)

    assert json.loads(raw) == json.loads(json.dumps(board_document(board)))
    assert raw.count(b'\n  {"position": ') == len(board.all)
    document = json.loads(raw)
    assert document["schemaVersion"] == 1
    assert [row["rank"] for row in document["rows"]] == [row.rank for row in board.rows]
    assert document["majority"]["accuracy"] == 0.248


def test_an_empty_board_is_a_document_too() -> None:
    """No results yet."""
    log = Synthetic(new_key(1))
    log.begin()

    document = json.loads(board_json(log.board()))
    assert (document["rows"], document["results"]) == ([], [])

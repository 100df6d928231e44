"""Yields to the end: signed errors on the leaderboard, on its site, and in what a choice costs."""

from __future__ import annotations

import csv
import io
import json
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from evaluator.board.check import require_same
from evaluator.board.documents import board_csv, board_document, board_json
from evaluator.board.ranking import METRICS, metrics_of
from evaluator.board.tables import print_board
from evaluator.decision.assumptions import load_assumptions
from evaluator.decision.candidates import Chosen, decision_of, from_board, from_results
from evaluator.decision.decide import INTERNAL
from evaluator.decision.tables import decision_document, print_decision
from evaluator.errors import OwnerError, VerificationError
from evaluator.site.decide_page import decide_page
from evaluator.site.render import render_site
from evaluator.verify import verify
from tests.helpers.logged import PUBLIC, signed
from tests.helpers.synthetic import Synthetic, make, new_key, template

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.board.reading import Board
    from evaluator.decision.assumptions import Assumptions
    from evaluator.decision.decide import Decision

MINE = """
version = 1
currency = "EUR"
area_km2 = 1000
cost_per_unit_error = 60
[internal]
mae = 1.5
annual_cost = 1000
[licence]
acme = 0.25
zenith = 1.5
loam = 0
"""
SKILLS = {"acme": 0.8, "zenith": 0.797, "loam": 0.6}
"""RMSEs of 1.00, 1.02 and 2.00 t/ha: the first two are a tie on 5,000 tiles."""
BEYOND = -4.0
"""A skill with which every error is beyond the range of the targets."""


def log_of(skills: dict[str, float], **changes: Any) -> Synthetic:  # noqa: ANN401  # of the predicate
    """A published window with a result of each of these vendors, on yields."""
    log = Synthetic(new_key(1))
    log.begin(task="regression")
    for vendor, skill in skills.items():
        log.end(log.receive(vendor), template(vendor, skill, task="regression"), **changes)
    log.publish()
    return log


def result(vendor: str, skill: float, run: str) -> bytes:
    """A signed result on yields."""
    statement = template(vendor, skill, task="regression")
    statement["predicate"]["run"] = run * 16
    return signed(statement)


@pytest.fixture(scope="module")
def window() -> Synthetic:
    """A window of four vendors, whose rules rank by what a board of yields does not have."""
    return make(40, 4, task="regression", rank_by="rare_accuracy")


@pytest.fixture(scope="module")
def board(window: Synthetic) -> Board:
    """What is read from it."""
    return window.board()


@pytest.fixture
def assumed(tmp_path: Path) -> Callable[..., Assumptions]:
    """Give a function from the text of an assumptions file to what it says."""

    def load(text: str = MINE) -> Assumptions:
        path = tmp_path / "assumptions.toml"
        path.write_text(text)
        return load_assumptions(path)

    return load


# The leaderboard


def test_a_board_of_yields_is_ranked_by_rmse_whatever_metric_of_classes_the_rules_name(
    board: Board,
) -> None:
    """The lowest first, and every error in the unit that the results state."""
    errors = [row.tuned.rmse for row in board.rows if row.rank is not None and row.tuned]

    assert (board.metric, board.unit, board.range) == ("rmse", "t/ha", (0.0, 12.0))
    assert len(errors) == 4
    assert errors == sorted(errors)
    assert board.majority is None


def test_errors_whose_intervals_overlap_share_a_rank() -> None:
    """By RMSE; MAE has no interval, so unequal ones are no tie; the highest R2 leads."""
    log = log_of(SKILLS)
    shown = {
        name: [(row.vendor, row.rank, row.tied) for row in log.board(metric=name).rows]
        for name in ("rmse", "mae", "r2")
    }
    first, second, third = (row.tuned for row in log.board().rows if row.tuned)

    assert first.rmse < second.rmse <= first.rmse_interval[1] < third.rmse_interval[0]
    assert shown["rmse"] == [("acme", 1, True), ("zenith", 1, True), ("loam", 3, False)]
    assert shown["mae"] == [("acme", 1, False), ("zenith", 2, False), ("loam", 3, False)]
    assert [vendor for vendor, _, _ in shown["r2"]] == ["acme", "zenith", "loam"]
    assert first.r2 >= second.r2 > third.r2


def test_results_that_contradict_each_other_about_the_unit_are_no_board() -> None:
    """Unit and range were sealed with the holdout; the control is one result of that unit alone."""
    other = template("zenith", task="regression")["predicate"]["dataset"] | {"unit": "kg/ha"}
    log = log_of({"acme": 0.8})
    log.end(log.receive("zenith"), template("zenith", task="regression"), dataset=other)

    assert log_of({"zenith": 0.9}, dataset=other).board().unit == "kg/ha"
    with pytest.raises(VerificationError, match="another unit or range"):
        log.board()


@pytest.mark.parametrize("width", [80, 120])
def test_errors_fit_the_terminal(
    window: Synthetic,
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: Any,  # noqa: ANN401
) -> None:
    """By each metric, with the unit, RMSE of each crop, and no per cent but that of intervals."""
    monkeypatch.setenv("COLUMNS", str(width))
    for metric in metrics_of("regression"):
        print_board(window.board(metric=metric.name))
        text = capsys.readouterr().out
        rules = [line for line in text.splitlines() if "─" in line]
        assert len(rules) == 3
        assert max(map(len, rules)) <= width
        assert "Errors are in t/ha, of targets between 0 and 12" in text
        assert "RMSE by class" in text
        assert "sugar beet (rare)" in text
        assert "%" not in text.replace("95 %", "")


def test_large_units_are_written_out() -> None:
    """Of kg/ha there are thousands: no power of ten."""
    rmse = METRICS["rmse"]

    assert rmse.text(1234.56) == "1234.56"
    assert rmse.text(12000.0) == "12000"
    assert rmse.rough(1234.5678) == "1235"
    assert rmse.rough(0.87654) == "0.877"


def test_documents_have_errors_as_they_were_signed(window: Synthetic, board: Board) -> None:
    """In JSON the unit and the range, in CSV a column for each figure, interval end and crop."""
    document = json.loads(board_json(board))
    rows = {row["position"]: row for row in csv.DictReader(io.StringIO(board_csv(board)))}

    assert document == json.loads(json.dumps(board_document(board)))
    assert (document["unit"], document["range"]) == ("t/ha", [0.0, 12.0])
    assert window.board(version=1) == board
    for best in document["rows"]:
        line, tuned = rows[str(best["position"])], best["tuned"]
        assert float(line["tuned_rmse"]) == tuned["rmse"]
        ends = [float(line[f"tuned_rmse_{end}"]) for end in ("low", "high")]
        assert ends == tuned["rmse_interval"]
        assert float(line["tuned_r2"]) == tuned["r2"]
        assert float(line["gain_mae"]) == best["gain"]["mae"]
        assert float(line["tuned_crop_rmse:pea"]) == tuned["crop_rmse"]["pea"]


def test_a_board_of_yields_is_held_against_its_log(window: Synthetic, board: Board) -> None:
    """As it was written it follows from the log; in another unit it does not."""
    raw, log = board_json(board), window.reader()

    assert require_same(raw, log, window.keys) == board
    with pytest.raises(VerificationError, match="They differ in: unit"):
        require_same(raw.replace(b"t/ha", b"kg/ha"), log, window.keys)


def test_the_site_of_a_board_of_yields_names_the_unit(board: Board, tmp_path: Path) -> None:
    """In headings, plots and scales; R2 has none; no per cent but that of intervals."""
    render_site(board, None, tmp_path / "site")
    run = board.rows[0].run
    pages = {
        name: text_of(tmp_path / "site" / name)
        for name in (
            "index.html",
            "history.html",
            f"vendors/{board.rows[0].vendor}.html",
            f"submissions/{run[:2]}/{run}.html",
        )
    }

    for text in pages.values():
        assert "RMSE, t/ha" in text
        assert "%" not in re.sub(r"95 %|printf '[^']*'", "", text)
    assert "targets in t/ha, 0 to 12" in pages["index.html"]
    assert "R² " in pages["index.html"]
    assert "R², t/ha" not in pages["index.html"]


def text_of(path: Path) -> str:
    """The text of a page, without style and tags."""
    text = re.sub(r"<(style|script)>.*?</\1>", "", path.read_text(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", "", text).split())


# What a choice costs


def total(mae: float, price: str) -> Fraction:
    """docs/decide.md by hand: e A k + A p."""
    return Fraction(str(mae)) * 1000 * 60 + 1000 * Fraction(price)


def totals(decision: Decision) -> dict[str, Fraction]:
    """What each model costs."""
    return {line.candidate.name: line.total for line in decision.lines}


def test_signed_errors_cost_what_the_formula_says_from_files_and_from_the_board_alike(
    assumed: Callable[..., Assumptions], capsys: pytest.CaptureFixture[str]
) -> None:
    """The mean absolute error of the fine-tuned phase, exact: it has no interval."""
    prices = {"acme": "0.25", "zenith": "1.5", "loam": "0"}
    bundles = [
        result(name, skill, run) for (name, skill), run in zip(SKILLS.items(), "abc", strict=True)
    ]
    given, made = assumed(), log_of(SKILLS).board()
    decision = decision_of(
        given, from_results([verify(each, PUBLIC) for each in bundles], given, None)
    )
    print_decision(decision)
    printed = capsys.readouterr().out

    wanted = {
        row.vendor: total(row.tuned.mae, prices[row.vendor]) for row in made.rows if row.tuned
    }
    assert totals(decision) == wanted | {INTERNAL: Fraction(91_000)}
    assert totals(decision_of(given, from_board(made, given, None))) == wanted | {
        INTERNAL: Fraction(91_000)
    }
    assert all(line.ends == (line.total, line.total) for line in decision.lines)
    assert "MAE t/ha" in printed
    assert "which models could change places is not known" in printed
    assert "taken as exact: " in printed
    assert "%" not in printed.replace("95 %", "")
    assert "Cost of 1 t/ha of error" in decide_page(decision)


def test_an_error_that_was_held_to_the_range_is_left_out_and_named(
    assumed: Callable[..., Assumptions],
) -> None:
    """It means that or more, so its cost would be too low; one within the range is the control."""
    given, made = assumed(), log_of({"acme": 0.8, "loam": BEYOND}).board()
    bundles = [result("acme", 0.8, "a"), result("loam", BEYOND, "b")]
    files = from_results([verify(each, PUBLIC) for each in bundles], given, None)

    assert [row.tuned.mae for row in made.rows if row.tuned][1] == 12
    for chosen in (files, from_board(made, given, None)):
        assert [each.name for each in chosen.candidates] == ["acme"]
        ((name, why),) = decision_of(given, chosen).left_out
        assert name == "loam"
        assert "whole range of the targets or more" in why
    with pytest.raises(OwnerError, match="Left out: loam: its MAE"):
        decision_of(given, Chosen((), files.left_out))


def test_a_cost_for_another_unit_is_refused(assumed: Callable[..., Assumptions]) -> None:
    """60 for each t/ha is not 60 for each kg/ha; with the right unit it is what the page says."""
    unit = template("acme", task="regression")["predicate"]["dataset"] | {"unit": "kg/ha"}
    made, wrong = log_of({"acme": 0.8}, dataset=unit).board(), assumed()
    with pytest.raises(OwnerError, match="in 'kg/ha', the assumptions in 't/ha'"):
        from_board(made, wrong, None)

    right = assumed(MINE.replace("[internal]", 'unit = "kg/ha"\n[internal]'))
    decision = decision_of(right, from_board(made, right, None))

    assert decision_document(decision)["unit"] == "kg/ha"
    assert "Cost of 1 kg/ha of error" in decide_page(decision)
    with pytest.raises(OwnerError, match="in 't/ha', the assumptions in 'kg/ha'"):
        from_results([verify(result("acme", 0.8, "a"), PUBLIC)], right, None)

"""The corpus as data: every row is one that the tries and the page can be made of."""

from __future__ import annotations

import re
import typing
from collections import Counter

import pytest

from evaluator.attacks.controls import CONTROLS
from evaluator.attacks.corpus import Attack, Expected, Outcome, corpus
from evaluator.attacks.document import tried_in_three_ways
from evaluator.attacks.forged_images import EXPECTED, FORGED
from evaluator.attacks.forged_models import FORGED_MODELS
from evaluator.attacks.tries import TRIES

ROWS = corpus()
OUTCOMES = typing.get_args(Outcome)
RUNTIMES = ("runc", "runsc")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_has_the_types_of_its_fields(row: Attack) -> None:
    """TOML says anything; the tries rely on the types."""
    hints = typing.get_type_hints(Attack)
    for name, hint in hints.items():
        value = getattr(row, name)
        if typing.get_origin(hint) is tuple:
            assert isinstance(value, tuple)
            assert all(isinstance(element, str) for element in value)
        else:
            assert isinstance(value, hint), name


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_is_one_sentence_with_known_controls(row: Attack) -> None:
    """Its id fits the signed result, its sentence ends once, and each control has a title."""
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{2,63}", row.id)
    assert row.sentence.endswith(".")
    assert "|" not in row.sentence + row.note
    assert set(row.controls) | set(row.runsc_controls) <= CONTROLS.keys()
    for expected in (row.runc, row.runsc):
        assert isinstance(expected, Expected)
        assert {expected.wall, expected.alone, expected.open} <= set(OUTCOMES)


def test_no_two_rows_have_the_same_id() -> None:
    """An id stands for one technique, in results too."""
    assert [name for name, times in Counter(row.id for row in ROWS).items() if times > 1] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_what_is_claimed_is_stopped_and_what_is_not_says_why(row: Attack) -> None:
    """The wall claims no row that gets through it, or that was never tried."""
    for runtime in RUNTIMES:
        wall = row.expected(runtime).wall
        if row.must and wall != "-":
            assert wall in {"blocked", "contained", "unknown"}
    if row.runc.wall == "-" or row.runc.open in {"absent", "-"}:
        assert row.note


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_each_control_of_a_claim_is_tried_alone_where_the_technique_works(
    row: Attack, runtime: str
) -> None:
    """A control whose lack nothing would notice is not named."""
    expected = row.expected(runtime)
    if runtime == "runc" and expected.open == "succeeds" and row.must:
        assert row.controls
        assert expected.alone in {"blocked", "contained"}
    if expected.alone != "-":
        assert row.stopped_by(runtime)


def test_at_least_110_techniques_are_tried_in_all_three_ways() -> None:
    """And work in the open, so that the two others have shown something."""
    assert sum(map(tried_in_three_ways, ROWS)) >= 110


def test_every_row_can_be_tried_and_every_try_has_a_row() -> None:
    """Nothing is listed that is never run, and nothing lies unused."""
    special = {row.id for row in ROWS if row.how not in {"probe", "none"}}
    assert special == TRIES.keys()


def test_every_forgery_has_its_row() -> None:
    """And an outcome that it is held to."""
    ids = {row.id for row in ROWS}
    assert FORGED.keys() | FORGED_MODELS.keys() <= ids
    assert FORGED.keys() == EXPECTED.keys()

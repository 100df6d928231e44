"""The leaderboard, read from logs that are right, forged, or short of something."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from evaluator.board.reading import read_board
from evaluator.errors import OwnerError, VerificationError
from evaluator.log.checkpoint import Checkpoint
from evaluator.scoring import wilson
from tests.helpers.synthetic import (
    OPENS,
    SIZES,
    Synthetic,
    compact,
    digest,
    key_change,
    make,
    new_key,
    run_name,
    template,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.board.values import Board


def window() -> Synthetic:
    """A log in which acme has one result, at position 4, of what was received at 3."""
    log = Synthetic(new_key(1))
    log.begin()
    log.end(log.receive("acme", price="0.25"), template())
    return log


@pytest.fixture(scope="module")
def many() -> Board:
    """The board of a published window."""
    return make(150, 5).board()


def test_a_genuine_log_has_a_board() -> None:
    """The control of every forgery below."""
    board = window().board()

    (row,) = board.rows
    assert (row.rank, row.tied, row.vendor, row.submissions) == (1, False, "acme", 1)
    assert (row.position, row.received, row.offer) == (4, 3, ("EUR", "0.25"))
    assert row.tuned is not None
    assert row.gain is not None
    assert row.tuned.accuracy == pytest.approx(row.gain.accuracy + row.baseline.accuracy)  # type: ignore[union-attr]  # it was scored
    assert row.petaflops == 23
    assert (board.published, board.open, board.window) == (None, (), ("2026-03-01", "2026-03-31"))


def test_every_vendor_has_a_row_and_every_result_is_there(many: Board) -> None:
    """Ranked from the best down; what is not ranked is in the list of all."""
    ranks = [row.rank for row in many.rows]

    assert len(many.all) == 151
    assert len({row.vendor for row in many.rows}) == len(many.rows) == 5
    assert ranks == sorted(rank for rank in ranks if rank)
    assert [row.position for row in many.all] == sorted(row.position for row in many.all)
    assert {row.withdrawn for row in many.all} == {None, "a label was wrong"}
    assert len(many.open) == 1
    assert many.aborted


def test_the_owners_run_of_a_trained_model_is_on_nobodys_rank(many: Board) -> None:
    """Though it scored best."""
    (own,) = [row for row in many.all if row.adapted]

    best = max(row.tuned.accuracy for row in many.all if row.tuned)
    assert own.tuned
    assert own.tuned.accuracy == best
    assert own.rank is None
    assert own not in many.rows


def test_always_naming_the_largest_class_is_there_for_comparison(many: Board) -> None:
    """By the published sizes, rounded to the grid as every other figure."""
    largest = max(SIZES.values())

    assert many.majority is not None
    assert many.majority.accuracy == round(largest / sum(SIZES.values()), 3)
    assert many.majority.accuracy_interval == wilson(248, 1000, sum(SIZES.values()))
    assert many.majority.macro_recall == 1 / len(SIZES)
    assert many.majority.rare_recall == 0


def test_without_class_sizes_there_is_no_such_row() -> None:
    """And only equal figures tie by the rare classes."""
    log = Synthetic(new_key(1))
    log.begin(size=False)
    log.end(log.receive("acme"), template(sizes=False))

    board = log.board(metric="rare_accuracy")
    assert (board.class_sizes, board.majority) == (None, None)
    assert board.rows[0].tuned is not None
    assert board.rows[0].tuned.rare_accuracy_interval is None


def test_the_rules_say_what_the_board_is_ordered_by() -> None:
    """Unless somebody asks for another metric."""
    log = Synthetic(new_key(1))
    log.begin(rank_by="rare_recall")

    log.end(log.receive("acme"), template())
    assert log.board().metric == "rare_recall"
    assert log.board(metric="macro_recall").metric == "macro_recall"
    with pytest.raises(OwnerError, match="Choose one of accuracy"):
        log.board(metric="loss")


def test_two_versions_of_the_data_are_never_on_one_board() -> None:
    """The newest that has results, or the one that is asked for."""
    log = window()
    log.commit(2)
    assert log.board().dataset_version == 1  # no result on the second yet

    log.end(log.receive("zenith"), template("zenith", 0.8, version=2))
    log.commit(3)
    newest, first, empty = log.board(), log.board(version=1), log.board(version=3)

    assert [row.vendor for row in newest.all] == ["zenith"]
    assert [row.vendor for row in first.all] == ["acme"]
    assert (empty.rows, empty.holdout_tiles) == ((), sum(SIZES.values()))
    with pytest.raises(OwnerError, match=r"no version 9 .* are: 1, 2, 3"):
        log.board(version=9)


def test_an_empty_log_has_no_board() -> None:
    """Nothing is ranked by nothing."""
    with pytest.raises(OwnerError, match="no board before"):
        Synthetic(new_key(1)).board()


def test_a_board_is_of_a_checkpoint() -> None:
    """Of an earlier one it is what the log gave then."""
    log = window()
    then, at = log.board(), log.reader().checkpoint
    log.end(log.receive("zenith"), template("zenith", 0.95))

    assert log.board(checkpoint=at).rows == then.rows
    assert log.board().rows[0].vendor == "zenith"


@pytest.mark.parametrize("change", ["origin", "size", "root", "newer"])
def test_a_checkpoint_of_another_log_is_refused(change: str) -> None:
    """Whatever of it is not this log's."""
    log = window()
    at = log.reader().checkpoint
    wrong = {
        "origin": Checkpoint("log.example/other", at.size, at.root),
        "size": Checkpoint(at.origin, at.size - 1, at.root),
        "root": Checkpoint(at.origin, at.size, bytes(32)),
        "newer": Checkpoint(at.origin, at.size + 1, at.root),
    }

    with pytest.raises(VerificationError, match="none of this log's"):
        log.board(checkpoint=wrong[change])


def test_what_has_no_end_is_reported() -> None:
    """A result that was dropped leaves its submission behind."""
    log = window()
    received = log.receive("zenith")

    assert log.board().open == (received,)
    log.abort(received, "zenith")
    board = log.board()
    assert board.open == ()
    assert [(each.received, each.reason) for each in board.aborted] == [(received, "host")]


def test_a_withdrawn_result_is_shown_with_its_reason() -> None:
    """And has no rank."""
    log = window()
    assert log.board().rows[0].rank == 1

    log.withdraw(4, "acme", "two labels were swapped")
    (row,) = log.board().rows
    assert (row.rank, row.withdrawn, row.submissions) == (None, "two labels were swapped", 1)


def test_a_changed_key_signs_from_there_on() -> None:
    """The two entries of a change, by the old key and by the new."""
    log, old = window(), new_key(1)
    log.rotate(new_key(2))
    log.end(log.receive("zenith"), template("zenith"))

    both = [*Synthetic(old).keys, *log.keys]
    assert len(read_board(log.reader(), both).rows) == 2
    with pytest.raises(VerificationError, match=r"Entry 6 .* not trusted"):
        read_board(log.reader(), Synthetic(old).keys)


# Forgeries. Each gets the log of `window`; its owner's key signs nearly all of them.


def _altered(log: Synthetic) -> None:
    envelope = json.loads(log.entries[-1])
    payload = base64.b64decode(envelope["payload"]).replace(b'"vendor":"acme"', b'"vendor":"ceme"')
    envelope["payload"] = base64.b64encode(payload).decode()
    log.entries[-1] = compact(envelope)


def _by_another(log: Synthetic) -> None:
    other = Synthetic(new_key(7))
    log.entries.append(other.sign(b"{}"))


def _spaced(log: Synthetic) -> None:
    log.entries[-1] += b" "


def _nonsense(log: Synthetic) -> None:
    result = template()
    result["predicate"]["phases"]["tuned"]["accuracy"] = 0.999
    log.end(log.receive("acme"), result)


def _no_statement(log: Synthetic) -> None:
    log.enter(compact({"_type": "https://in-toto.io/Statement/v1"}))


def _of_another_vendor(log: Synthetic) -> None:
    log.end(log.receive("zenith"), template("acme"))


def _of_other_bytes(log: Synthetic) -> None:
    log.receive("acme")
    log.end(log.receive("acme"), template(), number=2)


def _of_nothing(log: Synthetic) -> None:
    log.end(1, template())


def _of_what_comes_later(log: Synthetic) -> None:
    log.numbers += 1
    log.end(len(log.entries) + 1, template())
    log.numbers -= 1
    log.receive("acme")


def _twice(log: Synthetic) -> None:
    log.end(3, template())


def _aborted_after_all(log: Synthetic) -> None:
    log.abort(3, "acme")


def _run_twice(log: Synthetic) -> None:
    log.end(log.receive("acme"), template(), run=run_name(1))


def _of_another_log(log: Synthetic) -> None:
    received = log.receive("acme")
    log.end(received, template(), log={"origin": "log.example/other", "received": received})


def _on_another_holdout(log: Synthetic) -> None:
    log.end(log.receive("acme"), template(version=2))


def _other_sizes(log: Synthetic) -> None:
    made, sizes = template(), dict(SIZES, maize=SIZES["maize"] - 1, barley=SIZES["barley"] + 1)
    made["predicate"]["dataset"]["class_sizes"] = [*sizes.values()]
    made["predicate"]["phases"] = {
        "adapted": None,
        "baseline": {"rules": ["EVA301"], "status": "REFUSED"},
        "gain": None,
        "tuned": None,
    }
    bits = made["predicate"]["leakage_bits"]
    bits |= {"baseline": 0, "tuned": 0, "run": bits["release"]}
    log.end(log.receive("acme"), made)


def _adapted_in_secret(log: Synthetic) -> None:
    log.end(log.receive("acme", adapted=run_name(1)), template())


def _second_commitment(log: Synthetic) -> None:
    log.commit(1, digest("another root"))


def _withdrawn_of_another(log: Synthetic) -> None:
    log.withdraw(4, "zenith")


def _withdrawn_of_nothing(log: Synthetic) -> None:
    log.withdraw(3, "acme")


def _withdrawn_twice(log: Synthetic) -> None:
    log.withdraw(4, "acme")
    log.withdraw(4, "acme")


def _published_another(log: Synthetic) -> None:
    other = Synthetic(log.key, log.entries[:4])
    other.receive("zenith")
    other.publish()
    log.receive("acme")
    log.entries.append(other.entries[-1])


def _published_other_days(log: Synthetic) -> None:
    log.rules(opens=OPENS + timedelta(days=60))
    log.publish()


def _key_no_longer_in_force(log: Synthetic) -> None:
    old = log.key
    log.rotate(new_key(2))
    log.key = old
    log.receive("acme")


def _key_changed_by_half(log: Synthetic) -> None:
    change = key_change(new_key(2), log.keyid).payload()
    log.enter(change)
    log.receive("acme")


def _key_from_nowhere(log: Synthetic) -> None:
    log.key = new_key(2)
    log.say(key_change(log.key, None))


FORGERIES: list[tuple[Callable[[Synthetic], None], str]] = [
    (_altered, "Entry 4 .* Step 6, signature"),
    (_by_another, "Entry 5 .* Step 4, key"),
    (_spaced, "Entry 4 .* Step 5, encoding"),
    (_nonsense, "Entry 6 .* Step 9"),
    (_no_statement, "Entry 5 .* Step 8"),
    (_of_another_vendor, "Entry 6 .* no earlier submission of that vendor"),
    (_of_other_bytes, "Entry 7 .* no earlier submission of that vendor and those bytes"),
    (_of_nothing, "Entry 5 .* no earlier submission"),
    (_of_what_comes_later, "Entry 5 .* no earlier submission"),
    (_twice, "Entry 5 .* has ended already"),
    (_aborted_after_all, "Entry 5 .* has ended already"),
    (_run_twice, "Entry 6 .* second result of a run"),
    (_of_another_log, "Entry 6 .* result of another log"),
    (_on_another_holdout, "Entry 6 .* holdout that the log does not commit to"),
    (_other_sizes, "other class sizes"),
    (_adapted_in_secret, "Entry 6 .* another model than was received"),
    (_second_commitment, "Entry 5 .* second holdout of the same version"),
    (_withdrawn_of_another, "Entry 5 .* no earlier result"),
    (_withdrawn_of_nothing, "Entry 5 .* no earlier result"),
    (_withdrawn_twice, "Entry 6 .* withdraws a result again"),
    (_published_another, "Entry 6 .* publishes another log"),
    (_published_other_days, "Entry 6 .* window of other days"),
    (_key_no_longer_in_force, "Entry 7 .* not in force"),
    (_key_changed_by_half, "Entry 6 .* not in force"),
    (_key_from_nowhere, "Entry 5 .* key that the log does not know"),
]


@pytest.mark.parametrize(("forge", "complaint"), FORGERIES)
def test_no_board_is_made_of_a_forged_log(
    forge: Callable[[Synthetic], None], complaint: str
) -> None:
    """Whatever an owner signs, or somebody else: the entry is named, and nothing is shown."""
    log = window()
    keys = [*log.keys, *Synthetic(new_key(2)).keys]

    assert read_board(log.reader(), keys).rows
    forge(log)
    with pytest.raises(VerificationError, match=complaint):
        read_board(log.reader(), keys)


def test_the_control_of_a_publication(many: Board) -> None:
    """A genuine one is believed; an early one says why."""
    assert many.published == ""

    log = window()
    log.publish("the vendors agreed")
    assert log.board().published == "the vendors agreed"


def test_more_entries_than_one_process_reads_give_the_same_board(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In ranges, by several processes."""
    log = make(60, 3)
    alone = log.board()

    monkeypatch.setattr("evaluator.board.entries.CHUNK", 20)
    assert log.board() == alone


def test_a_forgery_is_found_in_whichever_process_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first position that does not hold is named."""
    log = make(60, 3)
    monkeypatch.setattr("evaluator.board.entries.CHUNK", 20)
    log.entries[50] += b" "

    with pytest.raises(VerificationError, match="Entry 50 of the log: Step 5"):
        log.board()

"""Who stands where: laws that hold of every board, and the cases that people argue about."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.board.ranking import METRICS, Metric, metric_of, rankable, ranked
from evaluator.board.values import Row
from evaluator.errors import OwnerError
from evaluator.scoring import Figures

ACCURACY, MACRO = METRICS["accuracy"], METRICS["macro_recall"]


def figures(accuracy: float, width: float = 0.0) -> Figures:
    """Figures of a phase that all say the same; the interval lies `width` to both sides."""
    ends = (accuracy - width, accuracy + width)
    return Figures(
        accuracy=accuracy,
        accuracy_interval=ends,
        macro_recall=accuracy,
        rare_accuracy=accuracy,
        rare_accuracy_interval=None,
        rare_recall=accuracy,
        recall={"pea": accuracy},
        recall_interval=None,
    )


def row(position: int, vendor: str, tuned: Figures | None, **changes: object) -> Row:
    """A result at a position of the log; without figures it failed."""
    made = Row(
        position=position,
        received=position - 1,
        vendor=vendor,
        run=f"{position:016x}",
        digest="5" * 64,
        released="2026-03-02T00:00:00Z",
        phase_statuses=("OK" if tuned else "TIMEOUT", "OK" if tuned else None),
        baseline=tuned,
        tuned=tuned,
        gain=None,
        petaflops=3.0,
        offer=None,
        adapted=None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of a row


def places(rows: list[Row], metric: Metric = ACCURACY) -> dict[str, tuple[int | None, bool]]:
    """Rank and tie of each vendor's ranked row."""
    found = ranked(rows, metric)
    return {row.vendor: (row.rank, row.tied) for row in found if row.rank is not None}


SHARES = st.integers(0, 1000).map(lambda step: step / 1000)
ROWS = st.lists(
    st.builds(
        lambda vendor, share, width, fate: (vendor, share, width, fate),
        st.sampled_from(["acme", "ceres", "loam", "norsat", "zenith"]),
        SHARES,
        st.sampled_from([0.0, 0.01, 0.05]),
        st.sampled_from(["fine", "fine", "fine", "failed", "withdrawn", "adapted"]),
    ),
    max_size=12,
).map(
    lambda drawn: [
        row(
            2 * number + 1,
            vendor,
            None if fate == "failed" else figures(share, width),
            withdrawn="wrong" if fate == "withdrawn" else None,
            adapted="f" * 16 if fate == "adapted" else None,
        )
        for number, (vendor, share, width, fate) in enumerate(drawn)
    ]
)


@given(rows=ROWS, seed=st.integers(0, 99), metric=st.sampled_from([ACCURACY, MACRO]))
def test_the_order_in_which_rows_come_changes_nothing(
    rows: list[Row], seed: int, metric: Metric
) -> None:
    """A rank is a function of the set of results."""
    shuffled = random.Random(seed).sample(rows, len(rows))  # noqa: S311  # nothing secret

    assert {*map(repr, ranked(rows, metric))} == {*map(repr, ranked(shuffled, metric))}


@given(rows=ROWS, metric=st.sampled_from([ACCURACY, MACRO]))
def test_ranks_count_those_above_and_ties_contain_their_leader(
    rows: list[Row], metric: Metric
) -> None:
    """A group's rank is 1 + all above it; each in it overlaps with its best."""
    found = [row for row in ranked(rows, metric) if row.rank is not None]
    groups = {rank: [row for row in found if row.rank == rank] for rank in {r.rank for r in found}}

    for rank, group in groups.items():
        above = [each for each in found if each.rank is not None and each.rank < (rank or 0)]
        assert rank == 1 + len(above)
        assert all(each.tied == (len(group) > 1) for each in group)
        leader = min(group, key=metric.order)
        for each in group:
            first, second = metric.ends(leader), metric.ends(each)
            overlaps = first and second and first[0] <= second[1] and second[0] <= first[1]
            assert overlaps or metric.value(leader) == metric.value(each)
        assert all(metric.order(one) < metric.order(leader) for one in above)


@given(rows=ROWS)
def test_each_vendor_has_one_rank_by_its_best_result(rows: list[Row]) -> None:
    """Whoever has a result that counts has one rank, of the best of these."""
    found = [row for row in ranked(rows, ACCURACY) if row.rank is not None]
    counting = [row for row in rows if rankable(row)]

    assert sorted(row.vendor for row in found) == sorted({row.vendor for row in counting})
    for best in found:
        own = [row for row in counting if row.vendor == best.vendor]
        assert best.position == min(own, key=ACCURACY.order).position


@given(rows=ROWS, share=SHARES)
def test_another_attempt_never_lowers_a_vendors_best(rows: list[Row], share: float) -> None:
    """Best of N grows with N, which is why N stands beside it."""

    def best(of: list[Row]) -> tuple[float, int]:
        found = ranked(of, ACCURACY)
        own = [row for row in found if row.vendor == "acme"]
        figure = max((row.tuned.accuracy for row in own if row.rank and row.tuned), default=-1.0)
        return figure, max((row.submissions for row in own), default=0)

    figure, attempts = best(rows)
    more, again = best([*rows, row(999, "acme", figures(share))])

    assert more >= figure
    assert again == attempts + 1


def test_a_chain_of_neighbours_does_not_tie_the_first_with_the_last() -> None:
    """A row is compared with the leader of its group alone."""
    chain = [row(1, "a", figures(0.9, 0.02)), row(3, "b", figures(0.87, 0.02))]
    chain += [row(5, "c", figures(0.84, 0.02)), row(7, "d", figures(0.7, 0.02))]

    assert places(chain) == {"a": (1, True), "b": (1, True), "c": (3, False), "d": (4, False)}


def test_ends_in_common_are_a_tie() -> None:
    """Intervals are closed."""
    rows = [row(1, "a", figures(0.75, 0.25)), row(3, "b", figures(0.25, 0.25))]

    assert places(rows) == {"a": (1, True), "b": (1, True)}


def test_without_intervals_only_equal_figures_tie() -> None:
    """A mean of recalls has no interval, nor has a rare class whose size is not published."""
    rows = [row(1, "a", figures(0.9, 0.1)), row(3, "b", figures(0.9, 0.1))]
    rows.append(row(5, "c", figures(0.899, 0.1)))

    assert places(rows, MACRO) == {"a": (1, True), "b": (1, True), "c": (3, False)}
    assert places(rows, METRICS["rare_accuracy"]) == places(rows, MACRO)
    assert places(rows, ACCURACY)["c"] == (1, True)


def test_the_baseline_counts_where_nothing_was_tuned() -> None:
    """A submission without training, or whose training failed."""
    plain = row(1, "a", None, baseline=figures(0.8), phase_statuses=("OK", "TIMEOUT"))

    assert places([plain, row(3, "b", figures(0.7))]) == {"a": (1, False), "b": (2, False)}


def test_of_equal_results_of_a_vendor_the_first_counts() -> None:
    """Handing the same thing in again gains nothing."""
    found = ranked([row(1, "a", figures(0.9)), row(3, "a", figures(0.9))], ACCURACY)

    assert [each.rank for each in found] == [1, None]
    assert [each.submissions for each in found] == [2, 2]


@pytest.mark.parametrize("fate", [{"withdrawn": "wrong labels"}, {"adapted": "f" * 16}])
def test_what_was_withdrawn_or_the_owners_has_no_rank(fate: dict[str, str]) -> None:
    """The control: without that it is first."""
    rows = [row(1, "a", figures(0.7)), row(3, "b", figures(0.8)), row(5, "a", figures(0.9))]
    assert places(rows) == {"a": (1, False), "b": (2, False)}

    assert places([*rows[:2], replace(rows[2], **fate)])  # type: ignore[arg-type]  # of a row == {"b": (1, False), "a": (2, False)}


def test_a_withdrawn_result_was_an_attempt_and_the_owners_run_was_none() -> None:
    """N says how often a vendor could have been lucky."""
    rows = [row(1, "a", figures(0.7)), row(3, "a", figures(0.8), withdrawn="x")]
    rows += [row(5, "a", figures(0.9), adapted="f" * 16), row(7, "a", None)]

    assert {each.submissions for each in ranked(rows, ACCURACY)} == {2}


def test_an_error_is_better_the_lower_it_is() -> None:
    """For the metrics of regression."""
    error = Metric("rmse", "RMSE", "regression", "accuracy", lower_is_better=True)
    rows = [row(1, "a", figures(0.9)), row(3, "b", figures(0.2))]

    assert places(rows, error) == {"b": (1, False), "a": (2, False)}


def test_a_metric_of_another_task_is_refused_by_the_names_there_are() -> None:
    """The message lists them."""
    assert metric_of("classification", "macro_recall") == MACRO

    with pytest.raises(OwnerError, match="accuracy, macro_recall, rare_accuracy, rare_recall"):
        metric_of("classification", "r2")

"""The bits stated are at least the logarithm of the records there are, found by enumeration."""

import re
import tomllib
from itertools import product
from math import log2
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.leakage import bits, phase_bits, release_bits, release_time, tile_bits, total
from evaluator.scoring import Counts, Grid, Holdout, publish
from evaluator.spending import longest_run
from evaluator.status import STATUSES
from evaluator.workspace import shipped
from sandbox import load_policy

DAY = 86_400
CHARGES = 101  # of a hundred steps, and none
CROPS = tuple(f"crop {number}" for number in range(9))


def every_record(sizes: tuple[int, ...], rare: tuple[str, ...], grid: Grid) -> int:
    """Count the different records of one phase by trying every number of right tiles."""
    names = CROPS[: len(sizes)]
    seen = set()
    for right in product(*(range(size + 1) for size in sizes)):
        table = [[0] * len(sizes) for _ in sizes]
        for index, (hits, size) in enumerate(zip(right, sizes, strict=True)):
            table[index][index] = hits
            table[index][(index + 1) % len(sizes)] += size - hits
        seen.add(publish(Counts(names, rare, tuple(map(tuple, table))), grid))
    return len(seen) + len(STATUSES) - 1


@given(
    sizes=st.lists(st.integers(1, 7), min_size=2, max_size=3).map(tuple),
    steps=st.tuples(*[st.sampled_from([1, 2, 4, 5, 10, 100])] * 3),
    charges=st.integers(1, 200),
    published=st.booleans(),
)
def test_no_more_records_than_the_bits_allow(
    sizes: tuple[int, ...], steps: tuple[int, int, int], charges: int, *, published: bool
) -> None:
    """On every small case, log2 of the records that can be is within the bits stated."""
    grid, rare = Grid(*steps), CROPS[:1]
    holdout = Holdout(sum(sizes), CROPS[: len(sizes)], rare, sizes if published else None)

    records = every_record(sizes, rare, grid) * charges
    assert log2(records) <= phase_bits(holdout, grid, charges)


def test_one_figure_alone_is_counted_exactly() -> None:
    """With every other figure on one step or a single value, the bits are those of accuracy."""
    sizes, grid = (1, 1), Grid(accuracy=10, recall=1, rare_accuracy=1)
    holdout = Holdout(2, CROPS[:2], CROPS[:1], sizes)

    # 3 accuracies x 2 x 2 recalls x 2 rare accuracies, and 8 ways to fail, at each charge.
    assert phase_bits(holdout, grid, 1) == bits(3 * 2 * 2 * 2 + 8)
    assert phase_bits(holdout, grid, 5) == bits((3 * 2 * 2 * 2 + 8) * 5)


def test_hidden_class_sizes_are_not_in_the_bits() -> None:
    """Two holdouts that differ in unpublished sizes alone state the same bits."""
    sizes = (None, (50, 50), (1, 99))
    hidden, even, skewed = (
        phase_bits(Holdout(100, CROPS[:2], CROPS[:1], each), Grid(), CHARGES) for each in sizes
    )

    assert even != skewed
    assert hidden >= max(even, skewed)


def test_sixteen_vendors_fit_the_default_budget() -> None:
    """5,000 tiles of nine crops, two phases and a slot: 80 runs within the default budget.

    A phase is charged in a hundred steps. As many refused submissions again fit as well.
    """
    text = (shipped("policies") / "sandbox.toml").read_text()
    policy = tomllib.loads(text)
    template = (Path(__file__).parents[2] / "evaluator" / "evaluator.toml.in").read_text()
    publish = template.partition("[publish]")[2]
    for line in ("leakage_budget_bits = 16384", "charge_steps = 100", "accuracy_steps = 1000"):
        assert f"\n{line}\n" in publish
    longest = 2 * (policy["check_seconds"] + policy["predict_seconds"]) + policy["train_seconds"]
    holdout = Holdout(5000, CROPS, CROPS[-4:], None)

    phase, slot = phase_bits(holdout, Grid(), CHARGES), release_bits(longest, DAY)
    run = total(phase, phase, slot)

    assert (longest, phase, slot, run) == (21_840, 86.6, 1.6, 174.8)
    assert total(*[run] * 80, *[slot] * 80) == 14_112  # below 16,384


def test_the_longest_run_is_every_deadline_of_its_containers() -> None:
    """Each of both phases' and a packing; those of a baseline, or of an adapted model unpacked."""
    policy = load_policy(shipped("policies") / "sandbox.toml")
    check, predict, pack = policy.check_seconds, policy.predict_seconds, policy.pack_seconds

    assert longest_run(policy, "baseline") == check + predict + pack
    assert longest_run(policy, "both") == 2 * (check + predict) + policy.train_seconds + pack


@pytest.mark.parametrize(
    ("shape", "itemsize", "expected"),
    [((64, 64), 1, 32_768), ((64, 64, 13), 2, 851_968), ((8, 8), 4, 2048)],
)
def test_bits_of_a_tile_are_those_of_its_values(
    shape: tuple[int, ...], itemsize: int, expected: int
) -> None:
    """Uncompressed: what the budget is compared with."""
    assert tile_bits(shape, itemsize) == expected


@given(st.integers(1, 2**90))
def test_bits_round_a_logarithm_up(values: int) -> None:
    """Never below log2, and above it by no more than a tenth."""
    assert log2(values) <= bits(values) + 1e-12
    assert bits(values) < log2(values) + 0.1 + 1e-12


@pytest.mark.parametrize(("values", "expected"), [(1, 0.0), (2, 1.0), (3, 1.6), (1024, 10.0)])
def test_bits_of_known_alphabets(values: int, expected: float) -> None:
    """A whole number of bits is not pushed to the next tenth."""
    assert bits(values) == expected


@given(st.lists(st.integers(0, 10**5)))
def test_sum_of_tenths_is_exact(tenths: list[int]) -> None:
    """Adding does not drift, however many runs are added."""
    assert total(*(part / 10 for part in tenths)) == sum(tenths) / 10


@given(
    before=st.integers(0, 10),
    ours=st.integers(0, 3 * DAY),
    longest=st.integers(1, 3 * DAY),
    slot=st.integers(1, DAY),
)
def test_no_more_release_slots_than_the_bits_allow(
    before: int, ours: int, longest: int, slot: int
) -> None:
    """After a run that ended at any moment of a slot, and any time of ours: no more are reached."""
    earliest, latest = before * slot + ours, (before + 1) * slot - 1 + ours + longest
    slots = latest // slot - earliest // slot + 1

    assert log2(slots) <= release_bits(longest, slot)


def test_refused_submissions_in_a_row_are_a_clock_and_are_counted() -> None:
    """Sixty of them, a minute each, tell when the run before ended: more than its slot does."""
    longest, start = 3600, DAY - 3600
    rows = {
        tuple((start + length + 60 * after) // DAY for after in range(61))
        for length in range(longest)
    }

    assert release_bits(longest, DAY) < log2(len(rows)) < total(*[release_bits(longest, DAY)] * 61)


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (0.0, "1970-01-02T00:00:00Z"),
        (1_795_391_999.9, "2026-11-23T00:00:00Z"),
        (1_795_392_000.0, "2026-11-24T00:00:00Z"),
    ],
)
def test_release_is_the_end_of_the_slot(ended: float, expected: str) -> None:
    """All runs of one day are released as it ends, so their order within it does not show."""
    assert release_time(ended, DAY) == expected


def test_the_page_about_leakage_has_the_formulas_figures() -> None:
    """Each row of the table in docs/leakage.md, computed again; class sizes are not published."""
    page = (Path(__file__).parents[2] / "docs" / "leakage.md").read_text()
    numbers = r"^\| (\d+) \| (\d) \| ([\d, ]+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$"
    rows = re.findall(numbers, page, re.MULTILINE)

    assert len(rows) == 5
    for tiles, classes, grids, steps, phase, slot, run in rows:
        holdout = Holdout(int(tiles), CROPS[: int(classes)], CROPS[:1], None)
        grid = Grid(*map(int, grids.split(", ")))
        one, release = phase_bits(holdout, grid, int(steps) + 1), release_bits(21_840, DAY)
        assert (one, release) == (float(phase), float(slot))
        assert total(one, one, release) == float(run)

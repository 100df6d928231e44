"""The laws of a split: sizes, proportion, whole groups, both sides."""

import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.dataset.splitting import apportion, check_holdout, holdout_size, split
from evaluator.errors import OwnerError

class_sizes = st.lists(st.integers(2, 60), min_size=1, max_size=9)


@st.composite
def sizes_and_seats(draw: st.DrawFn) -> tuple[list[int], int]:
    """Draw class sizes and a number of seats that leaves each class a tile on both sides."""
    sizes = draw(class_sizes)
    return sizes, draw(st.integers(len(sizes), sum(sizes) - len(sizes)))


def hamilton(sizes: list[int], seats: int) -> list[int]:
    """Divide seats by the textbook's largest remainder method, without bounds."""
    quotas = [Fraction(size * seats, sum(sizes)) for size in sizes]
    given_ = [int(quota) for quota in quotas]
    order = sorted(range(len(sizes)), key=lambda c: (given_[c] - quotas[c], c))
    for c in order[: seats - sum(given_)]:
        given_[c] += 1
    return given_


@given(sizes_and_seats())
def test_apportionment_is_exact_and_on_both_sides(case: tuple[list[int], int]) -> None:
    """Every seat is given, and every class has a tile on both sides."""
    sizes, seats = case
    given_ = apportion(sizes, seats, both_sides=True)

    assert sum(given_) == seats
    assert all(1 <= seat < size for seat, size in zip(given_, sizes, strict=True))


@given(sizes_and_seats())
def test_apportionment_is_the_largest_remainder_where_it_can_be(
    case: tuple[list[int], int],
) -> None:
    """Unless a class would miss a side, the result is the textbook's, so within 1 of the share."""
    sizes, seats = case
    textbook = hamilton(sizes, seats)

    assert textbook == apportion(sizes, seats, both_sides=False)
    if all(1 <= seat < size for seat, size in zip(textbook, sizes, strict=True)):
        assert textbook == apportion(sizes, seats, both_sides=True)


def test_tie_goes_to_the_earlier_class() -> None:
    """Equal remainders are decided by the order of classes, not by chance."""
    assert apportion([10, 10], 3, both_sides=True) == [2, 1]


@given(sizes_and_seats(), st.randoms(use_true_random=False))
def test_split_without_groups_is_stratified_exactly(
    case: tuple[list[int], int], shuffle: random.Random
) -> None:
    """Each class has exactly its apportioned number of tiles in the holdout."""
    sizes, seats = case
    labels = [f"{c}" for c, size in enumerate(sizes) for _ in range(size)]
    shuffle.shuffle(labels)

    sides = split(labels, [None] * len(labels), seats, shuffle)
    held = Counter(label for label, side in zip(labels, sides, strict=True) if side)

    assert len(sides) == len(labels)
    assert [held[f"{c}"] for c in range(len(sizes))] == apportion(sizes, seats, both_sides=True)


tiles_in_groups = st.lists(
    st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 12)), min_size=2, max_size=80
)


@given(tiles_in_groups, st.data(), st.randoms(use_true_random=False))
def test_split_never_divides_a_group(
    tiles: list[tuple[str, int | None]], data: st.DataObject, shuffle: random.Random
) -> None:
    """All tiles of a group are on one side, and each class is on both, or the split is refused."""
    labels = [label for label, _ in tiles]
    groups = [None if group is None else b"%d" % group for _, group in tiles]
    seats = data.draw(st.integers(1, len(tiles)))
    try:
        sides = split(labels, groups, seats, shuffle)
    except OwnerError:
        return
    placed = list(zip(labels, groups, sides, strict=True))

    assert len({(group, side) for _, group, side in placed if group}) == len(set(groups) - {None})
    if seats < len(tiles):
        assert {(label, side) for label, _, side in placed} == {
            (label, side) for label in labels for side in (True, False)
        }


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=12), min_size=1, max_size=4),
    st.floats(0.35, 0.65),
    st.randoms(use_true_random=False),
)
def test_groups_of_one_class_miss_their_share_by_less_than_a_group(
    classes: list[list[int]], share: float, shuffle: random.Random
) -> None:
    """Where each field grows one crop, every crop is within its largest field of its share."""
    labels, groups = [], []
    for c, fields in enumerate(classes):
        for number, size in enumerate(fields):
            labels += [f"{c}"] * size
            groups += [b"%d-%d" % (c, number)] * size
    seats = holdout_size(share, len(labels))
    sizes = Counter(labels)
    targets = apportion([sizes[f"{c}"] for c in range(len(classes))], seats, both_sides=True)

    sides = split(labels, groups, seats, shuffle)
    held = Counter(label for label, side in zip(labels, sides, strict=True) if side)

    for c, fields in enumerate(classes):
        assert abs(held[f"{c}"] - targets[c]) <= max(fields)


def test_single_tiles_even_out_what_groups_left() -> None:
    """With enough tiles of no group, the holdout has exactly the size asked for."""
    labels = ["a"] * 40 + ["b"] * 40
    groups = [b"north"] * 7 + [None] * 33 + [b"south"] * 5 + [None] * 35

    sides = split(labels, groups, 20, random.Random(1))  # noqa: S311 - a test's seed

    assert (sum(sides[:40]), sum(sides[40:])) == (10, 10)


def test_class_in_one_group_is_refused() -> None:
    """A class whose tiles may not be divided cannot be on both sides."""
    with pytest.raises(OwnerError, match="class b cannot be divided"):
        split(["a"] * 9 + ["b"] * 9, [None] * 9 + [b"x"] * 9, 4, random.Random(1))  # noqa: S311 - a test's seed


def test_known_groups_stay_on_their_side() -> None:
    """A field that was held out stays held out when its next season comes."""
    labels, groups = ["a"] * 30, [b"out"] * 10 + [b"in"] * 10 + [None] * 10

    known = {b"out": True, b"in": False}
    sides = split(labels, groups, 12, random.Random(1), known)  # noqa: S311 - a test's seed
    everything = split(labels, groups, 30, random.Random(1), known)  # noqa: S311 - a test's seed

    assert all(sides[:10])
    assert not any(sides[10:20])
    assert sum(sides) == 12
    assert not any(everything[10:20])


def test_two_splits_differ() -> None:
    """Which tiles are held out is up to the shuffle, not to their order."""
    labels: list[str] = ["a", "b"] * 100
    first, second = (
        split(labels, [None] * 200, 50, random.Random(seed))  # noqa: S311 - a test's seed
        for seed in (1, 2)
    )

    assert first != second


@pytest.mark.parametrize(
    ("holdout", "size"), [(5, 5), (0.5, 5), (0.25, 3), (0.249, 2), (10, 10), (1, 1)]
)
def test_holdout_is_a_number_or_a_share(holdout: float, size: int) -> None:
    """A whole number counts tiles, a share is rounded half up."""
    assert size == holdout_size(holdout, 10)


@pytest.mark.parametrize("holdout", [0, -1, 0.0, 1.0, 1.5, float("nan")])
def test_holdout_that_is_neither_is_refused(holdout: float) -> None:
    """Nothing else is a holdout."""
    with pytest.raises(OwnerError, match="neither"):
        check_holdout(holdout)


@pytest.mark.parametrize("holdout", [11, 0.01])
def test_holdout_that_the_tiles_do_not_give_is_refused(holdout: float) -> None:
    """A holdout has at least one tile and at most all of them."""
    with pytest.raises(OwnerError, match="cannot be taken"):
        holdout_size(holdout, 10)


def test_holdout_too_small_for_its_classes_is_refused() -> None:
    """The message says which sizes would do."""
    with pytest.raises(OwnerError, match="between 3 and 27"):
        apportion([10, 10, 10], 2, both_sides=True)

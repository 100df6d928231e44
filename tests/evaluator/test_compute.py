"""The charge: whole steps, never above what is left, and sums that are exact."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.compute import Compute
from evaluator.petaflops import MICRO, OPERATIONS, petaflops
from sandbox import Allowance, Usage

NEARLY = Fraction(1, 10**12)
"""Operations are floats; a charge may be off by what these cannot tell apart."""


@st.composite
def computes(draw: st.DrawFn) -> Compute:
    """What a run may use: some number of whole steps, up to a million petaflops."""
    step = draw(st.integers(1, 10**9))
    return Compute(left=step * draw(st.integers(0, 10**3)), step=step, cpu=1e11)


operations = st.just(0.0) | st.floats(1, 1e24)


def exactly(micro: int) -> Fraction:
    """The operations in so many micro-petaflops."""
    return Fraction(micro) * Fraction(OPERATIONS)


@given(computes(), operations)
def test_a_charge_is_a_whole_number_of_steps_and_no_more_than_is_left(
    compute: Compute, used: float
) -> None:
    """Whatever was used."""
    charge = compute.charge(used)

    assert isinstance(charge, int)
    assert charge % compute.step == 0
    assert 0 <= charge <= compute.left


@given(computes(), operations)
def test_a_charge_is_never_below_what_was_used_unless_nothing_more_is_left(
    compute: Compute, used: float
) -> None:
    """And above it by less than one step."""
    charge = compute.charge(used)

    if charge < compute.left:
        assert exactly(charge) >= Fraction(used) * (1 - NEARLY)
    assert exactly(charge - compute.step) < Fraction(used) * (1 + NEARLY) or charge == 0


@given(computes(), st.tuples(operations, operations))
def test_what_was_used_more_is_never_charged_less(
    compute: Compute, used: tuple[float, float]
) -> None:
    """A program cannot lower its charge by working."""
    less, more = sorted(used)

    assert compute.charge(less) <= compute.charge(more)


@given(computes(), st.lists(operations, max_size=5))
def test_the_charges_of_phases_never_add_up_to_more_than_there_was(
    compute: Compute, phases: list[float]
) -> None:
    """Each gets what the one before it left; what is left and what was charged are exact."""
    left, charges = compute, []
    for used in phases:
        charges.append(left.charge(used))
        left = left.after(charges[-1])

    assert left.left == compute.left - sum(charges) >= 0
    assert left.left % compute.step == 0


@given(computes(), operations)
def test_an_allowance_is_what_is_left_after_what_is_spent(compute: Compute, spent: float) -> None:
    """Never less than nothing; the prices are the peaks."""
    allowance = compute.allowance(spent)

    assert allowance.operations == max(0.0, compute.left * OPERATIONS - spent)
    assert (allowance.per_cpu_second, allowance.gpu_memory) == (compute.cpu, 0)


@given(computes(), operations)
def test_what_fits_is_charged_what_it_is(compute: Compute, used: float) -> None:
    """What does not fit is charged all that is left: there is nothing between."""
    if compute.fits(used):
        assert exactly(compute.charge(used)) >= Fraction(used) * (1 - NEARLY)
    else:
        assert compute.charge(used) == compute.left


def usage(cpu: float, gpu: float) -> Usage:
    """What a container used."""
    return Usage(cpu, cpu, 0, 0, 0, gpu, 0, 0.0, "cgroup")


@given(computes(), st.floats(0, 1e9), st.floats(0, 1e9), operations)
def test_a_container_is_never_charged_more_than_it_was_allowed(
    compute: Compute, cpu: float, gpu: float, spent: float
) -> None:
    """The meter stops it a little late; that is ours to bear."""
    allowance = compute.allowance(spent)

    assert 0 <= usage(cpu, gpu).operations(allowance) <= allowance.operations


def test_the_formula_is_busy_seconds_times_peaks() -> None:
    """2 CPU seconds at 1e12 and 3 GPU seconds at 1e14 are 0.302 PF: 31 steps of 0.01."""
    compute = Compute(left=100 * MICRO, step=MICRO // 100, cpu=1e12, gpu=1e14, gpu_memory=7)
    used = usage(2.0, 3.0).operations(compute.allowance())

    assert compute.allowance() == Allowance(100e15, 1e12, 1e14, 7)
    assert used == 0.302e15
    assert petaflops(compute.charge(used)) == 0.31


@pytest.mark.parametrize(
    ("used", "charge"),
    [(0.0, 0), (1.0, 1), (1e15, 1), (1e15 + 1, 2), (2.5e15, 3), (99e15 + 16, 100), (1e18, 100)],
)
def test_a_charge_is_rounded_up(used: float, charge: int) -> None:
    """In steps of 1 PF of 100; an operation more is a step more."""
    compute = Compute(left=100 * MICRO, step=MICRO, cpu=1e11)

    assert compute.charge(used) == charge * MICRO


def test_of_nothing_left_nothing_is_charged() -> None:
    """And nothing fits but nothing."""
    spent = Compute(left=0, step=MICRO, cpu=1e11)

    assert spent.charge(1e15) == 0
    assert (spent.fits(0.0), spent.fits(1.0)) == (True, False)
    assert spent.allowance().operations == 0.0


@given(st.lists(st.integers(0, 10**15), max_size=20))
def test_petaflops_are_whole_millionths(parts: list[int]) -> None:
    """What is published can be read back without a rest, and summed."""
    assert sum(round(petaflops(part) * MICRO) for part in parts) == sum(parts)

"""What the engine's figures say of a container."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.attacks.metering import Meter, Sample, busiest, sample


def reading(at: float, cpu: float = 0.0, memory: int = 0, processes: int = 1) -> Sample:
    """A sample with what a test cares about."""
    return Sample(at, cpu, memory, processes)


def metered(*samples: Sample) -> frozenset[str]:
    """What an idle meter that was handed these samples has seen; 100 processes are too many."""
    meter = Meter("0" * 16, "marker", 100, idle=True)
    meter.samples.extend(samples)
    return meter.seen()


@given(
    st.floats(0.0, 64.0),
    st.lists(st.floats(0.0, 60.0), max_size=8),
)
def test_a_steady_load_is_that_load(rate: float, moments: list[float]) -> None:
    """Whenever it is read; and nothing where no two readings are far enough apart."""
    found = busiest([reading(at, cpu=at * rate) for at in sorted(moments)])

    apart = bool(moments) and max(moments) - min(moments) >= 1.5
    assert found == pytest.approx(rate if apart else 0.0, abs=1e-6)


def test_a_burst_between_close_readings_does_not_count() -> None:
    """A quota lets a container run ahead for a tenth of a second; the mean is what it limits."""
    assert busiest([reading(0.0), reading(0.1, cpu=0.2), reading(2.0, cpu=1.0)]) < 0.6


@pytest.mark.parametrize(
    ("samples", "seen"),
    [
        ([reading(0, processes=99)], set()),
        ([reading(0, processes=100)], {"processes"}),
        ([reading(0, memory=249 * 2**20), reading(1, memory=0)], set()),
        ([reading(0, memory=250 * 2**20), reading(1, memory=0)], {"memory"}),
        ([reading(0), reading(2, cpu=1.5)], set()),
        ([reading(0), reading(2, cpu=1.7)], {"cpu"}),
        ([], set()),
    ],
)
def test_what_is_beyond_its_limit_is_named(samples: list[Sample], seen: set[str]) -> None:
    """One reading beyond it is enough, and none is within."""
    assert metered(*samples) == seen


def test_a_reading_is_taken_from_the_engines_document() -> None:
    """Nanoseconds become seconds; where no processes are counted, none are."""
    found = sample(
        {
            "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
            "memory_stats": {"usage": 7},
            "pids_stats": {},
        }
    )

    assert (found.cpu, found.memory, found.processes) == (2.5, 7, 0)

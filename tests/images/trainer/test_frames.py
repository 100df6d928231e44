"""Progress frames: one width, at most two a second, and never a reason to stop."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.images.trainer.conftest import load

if TYPE_CHECKING:
    from collections.abc import Iterator

frames = load("frames")


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_a_frame_is_eight_numbers(pipe: tuple[int, int]) -> None:
    """64 bytes, little-endian, the loss in millionths and the accuracy in ten-thousandths."""
    clock = Clock()
    progress = frames.Progress(pipe[1], clock)
    progress.accuracy = 0.8437
    clock.now += 1.25
    progress.report(1, 6, 20, 120, 0.5)
    raw = os.read(pipe[0], 1000)
    assert struct.unpack("<8q", raw) == (0, 1, 6, 20, 120, 500_000, 8437, 1250)


def test_frames_come_twice_a_second_at_most(pipe: tuple[int, int]) -> None:
    """A hundred reports within ten seconds are twenty frames, and the final one is always there."""
    clock = Clock()
    progress = frames.Progress(pipe[1], clock)
    for step in range(100):
        clock.now += 0.1
        progress.report(0, 1, step, 100, 1.0)
    progress.report(1, 1, 100, 100, 1.0, final=True)
    raw = os.read(pipe[0], 100_000)
    assert 17 * 64 <= len(raw) <= 22 * 64
    assert struct.unpack("<8q", raw[-64:])[3] == 100


def test_a_reader_that_is_gone_stops_nothing(pipe: tuple[int, int]) -> None:
    """The training goes on in silence."""
    os.close(pipe[0])
    progress = frames.Progress(pipe[1])
    progress.report(0, 1, 1, 1, 0.0)


@given(st.floats())
def test_every_loss_fits(loss: float) -> None:
    """NaN is -1; infinity is the largest number that is used."""
    assert -1 <= frames.scaled(loss) <= 2**62

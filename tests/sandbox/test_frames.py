"""The one stream we listen to: numbers of our own trainer, near which a vendor's model runs."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox import Allowance, Spec, Status
from sandbox.frames import FRAME, MOST, _read

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Frame

SECCOMP = (Path(__file__).parents[2] / "policies" / "seccomp.json").read_text()
STDOUT, STDERR = 1, 2


def chunk(stream: int, content: bytes) -> bytes:
    """What the engine makes of a write."""
    return struct.pack(">BxxxL", stream, len(content)) + content


def read(*written: bytes) -> list[Frame]:
    """The frames of a stream that ends after this."""
    ours, engines = socket.socketpair()
    frames: list[Frame] = []
    engines.sendall(b"".join(written))
    engines.close()
    _read(ours, frames.append)
    ours.close()
    return frames


def test_frames_are_put_together_from_whatever_pieces_come() -> None:
    """And what is on the standard output is none of them."""
    one, other = FRAME.pack(*range(8)), FRAME.pack(*range(8, 16))
    pieces = (chunk(STDERR, one[:5]), chunk(STDOUT, b"text"), chunk(STDERR, one[5:] + other))
    assert read(*pieces) == [tuple(range(8)), tuple(range(8, 16))]


def test_half_a_frame_is_none() -> None:
    """Nor is half a header of the engine's."""
    assert read(chunk(STDERR, bytes(63))) == []
    assert read(chunk(STDERR, bytes(64)), b"\2\0\0") == [(0,) * 8]


def test_after_its_limit_nobody_listens_and_nobody_waits() -> None:
    """The connection is closed, so that the engine does not wait with its next chunk."""
    ours, engines = socket.socketpair()
    frames: list[Frame] = []
    reader = threading.Thread(target=_read, args=(ours, frames.append))
    reader.start()
    piece = chunk(STDERR, bytes(2**16))
    with pytest.raises(BrokenPipeError):
        engines.sendall(piece * (2 * MOST // len(piece)))
    reader.join(10)
    assert len(frames) <= MOST // FRAME.size
    for each in (ours, engines):
        each.close()


def test_who_cannot_show_a_frame_listens_no_more() -> None:
    """A terminal that has gone is no reason for the engine to wait."""
    ours, engines = socket.socketpair()

    def gone(_: Frame) -> None:
        raise BrokenPipeError

    engines.sendall(chunk(STDERR, bytes(64)))
    _read(ours, gone)
    with suppress(ConnectionResetError):
        assert engines.recv(1) == b""
    for each in (ours, engines):
        each.close()


@pytest.mark.docker
@pytest.mark.parametrize("limit", ["budget", "deadline"])
def test_a_flood_of_frames_is_ended_in_time(
    make_image: Callable[..., str], make_spec: Callable[..., Spec], scratch: Path, limit: str
) -> None:
    """By its budget or at its deadline, long after more has come than anybody reads."""
    budget = Allowance(0.7e9, 1e9) if limit == "budget" else Allowance()
    spec = make_spec(
        make_image("yes 1>&2"),
        frames=True,
        allowance=budget,
        seconds=20.0 if limit == "budget" else 5.0,
    )
    frames: list[Frame] = []
    began = time.monotonic()
    outcome = sandbox.run(spec, scratch, SECCOMP, frames.append)

    assert outcome.status is (Status.BUDGET_SPENT if limit == "budget" else Status.TIMEOUT)
    assert time.monotonic() - began < 18
    assert 2**10 < len(frames) <= MOST // FRAME.size

"""What a rehearsal hears of a container, and what nobody waits for."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox import LOG_BYTES, Status
from sandbox.logs import _read

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Spec

SECCOMP = (Path(__file__).parents[2] / "policies" / "seccomp.json").read_text()
RUNTIMES = ["runc", pytest.param("runsc", marks=pytest.mark.gvisor)]


def chunk(stream: int, content: bytes) -> bytes:
    """What the engine makes of a write."""
    return struct.pack(">BxxxL", stream, len(content)) + content


def read(*written: bytes) -> bytes:
    """What is heard of a stream that ends after this."""
    ours, engines = socket.socketpair()
    printed = bytearray()
    engines.sendall(b"".join(written))
    engines.close()
    _read(ours, printed)
    ours.close()
    return bytes(printed)


def test_both_streams_are_heard_in_the_order_in_which_they_came() -> None:
    """As a terminal would show them."""
    assert read(chunk(1, b"one "), chunk(2, b"two "), chunk(1, b"three")) == b"one two three"


def test_half_a_chunk_and_half_a_header_end_a_log() -> None:
    """With what came whole before."""
    assert read(chunk(1, b"whole"), chunk(1, b"half")[:10]) == b"whole"
    assert read(chunk(1, b"whole"), b"\1\0\0") == b"whole"


def test_after_its_limit_nobody_listens_and_nobody_waits() -> None:
    """The connection is closed, so that the engine does not wait with its next chunk."""
    ours, engines = socket.socketpair()
    printed = bytearray()
    reader = threading.Thread(target=_read, args=(ours, printed))
    reader.start()
    piece = chunk(1, bytes(2**16))
    with pytest.raises(BrokenPipeError):
        engines.sendall(piece * (4 * LOG_BYTES // len(piece)))
    reader.join(10)
    assert len(printed) == LOG_BYTES + 1
    for each in (ours, engines):
        each.close()


@pytest.mark.docker
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_container_is_heard_to_its_last_word(
    make_image: Callable[..., str], make_spec: Callable[..., Spec], scratch: Path, runtime: str
) -> None:
    """Both streams, whatever its end; and the same container prints to nobody without a log."""
    heard: list[tuple[str, bytes]] = []
    spec = make_spec(make_image("echo out; echo err 1>&2; exit 3"), runtime=runtime)

    outcome = sandbox.run(spec, scratch, SECCOMP, log=lambda *said: heard.append(said))
    unheard = sandbox.run(spec, scratch, SECCOMP)

    assert (outcome.status, outcome.exit_code) == (unheard.status, unheard.exit_code)
    assert outcome.status is Status.NONZERO_EXIT
    assert [(verb, sorted(said.split())) for verb, said in heard] == [("predict", [b"err", b"out"])]
    assert 0 < outcome.start < outcome.seconds


@pytest.mark.docker
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_flood_is_ended_at_the_deadline(
    make_image: Callable[..., str], make_spec: Callable[..., Spec], scratch: Path, runtime: str
) -> None:
    """Long after more has come than anybody reads."""
    heard: list[bytes] = []
    spec = make_spec(make_image("yes"), seconds=3.0, runtime=runtime)
    began = time.monotonic()
    outcome = sandbox.run(spec, scratch, SECCOMP, log=lambda _, said: heard.append(said))

    assert outcome.status is Status.TIMEOUT
    assert time.monotonic() - began < 12
    assert [len(said) for said in heard] == [LOG_BYTES + 1]


@pytest.mark.docker
def test_whoever_runs_on_is_not_waited_for(
    make_image: Callable[..., str], make_spec: Callable[..., Spec], scratch: Path
) -> None:
    """At the deadline the container still holds its end of the stream."""
    heard: list[bytes] = []
    spec = make_spec(make_image("echo here; sleep 60"), seconds=2.0)
    began = time.monotonic()
    sandbox.run(spec, scratch, SECCOMP, log=lambda _, said: heard.append(said))

    assert heard == [b"here\n"]
    assert time.monotonic() - began < 8

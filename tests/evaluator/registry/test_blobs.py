"""A blob is what its descriptor says, or an error; a connection that breaks costs no byte."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.registry import Descriptor, Gone, Lied, Registry, Unreachable
from tests.helpers.liar import (
    Response,
    altered,
    content,
    cut,
    endless,
    header,
    lying,
    only,
    status,
    times,
)
from tests.helpers.pusher import digest_of
from tests.helpers.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.evaluator.registry.conftest import Stall
    from tests.helpers.liar import Lie

SAID = random.Random(1).randbytes(3_000_000)  # noqa: S311 - the same in every run


def fetched(
    stall: Stall, said: bytes = SAID, beginning: bytes = b"", size: int | None = None
) -> bytes:
    """What the file holds in the end."""
    digest = digest_of(said)
    file = io.BytesIO(beginning)
    blob = Descriptor("x", digest, len(said) if size is None else size)
    stall.client.blob("acme/model", blob, file)
    return file.getvalue()


@pytest.mark.parametrize("said", [b"", b"x", SAID])
def test_a_blob_is_fetched_and_hashed(stall: Stall, said: bytes) -> None:
    """Of any size."""
    stall.put_blob(said)
    assert fetched(stall, said) == said


def test_a_broken_connection_is_gone_on_with(stall: Stall) -> None:
    """The rest is asked for, not the whole."""
    stall.put_blob(SAID)
    stall.liar.asked.clear()
    stall.liar.lies.append(times(4, cut(100_000)))
    assert fetched(stall) == SAID
    ranges = [request.headers.get("range") for request in stall.liar.asked]
    assert ranges == [None, *(f"bytes={number}00000-" for number in range(1, 5))]


def test_progress_makes_patience(stall: Stall) -> None:
    """A line that breaks every megabyte gets there; each break costs the first pause."""
    said = SAID * 4
    stall.put_blob(said)
    stall.liar.lies.append(cut(2**20 + 1))
    assert fetched(stall, said) == said
    assert set(stall.waited) == {0.5}
    assert len(stall.waited) > 5


def test_a_line_that_breaks_at_once_every_time_is_unreachable(stall: Stall) -> None:
    """What came stays in the file, for another attempt."""
    stall.put_blob(SAID)
    stall.liar.lies.append(cut(10))
    file = io.BytesIO()
    with pytest.raises(Unreachable):
        stall.client.blob("acme/model", Descriptor("x", digest_of(SAID), len(SAID)), file)
    assert file.getvalue() == SAID[:50]
    stall.liar.lies.clear()
    stall.liar.asked.clear()
    stall.client.blob("acme/model", Descriptor("x", digest_of(SAID), len(SAID)), file)
    assert file.getvalue() == SAID
    assert stall.liar.asked[0].headers["range"] == "bytes=50-"


def test_a_file_that_holds_the_whole_is_asked_for_nothing(stall: Stall) -> None:
    """It is hashed."""
    assert fetched(stall, beginning=SAID) == SAID
    assert stall.liar.asked == []


@pytest.mark.parametrize(
    "beginning", [b"other" * 100, SAID[:-1] + b"x", SAID + b"x", b"x" * len(SAID)]
)
def test_a_beginning_of_something_else_is_thrown_away(stall: Stall, beginning: bytes) -> None:
    """Only the whole can tell; then it is fetched once more."""
    stall.put_blob(SAID)
    assert fetched(stall, beginning=beginning) == SAID


def test_a_registry_that_knows_no_range_is_read_from_its_start(stall: Stall) -> None:
    """It answers 200 with everything; what is here is skipped."""
    stall.put_blob(SAID)
    stall.liar.lies += [only("GET", lambda *_: Response(200, {}, SAID)), times(1, cut(1_500_000))]
    assert fetched(stall) == SAID


def test_an_altered_blob_is_a_lie(stall: Stall) -> None:
    """One bit is enough; asked for once, for it came whole."""
    stall.put_blob(SAID)
    stall.liar.asked.clear()
    stall.liar.lies.append(altered())
    with pytest.raises(Lied, match="digest"):
        fetched(stall)
    assert len(stall.liar.asked) == 1


@pytest.mark.parametrize("size", [0, 1, len(SAID) - 1, len(SAID) + 1, 2**40])
def test_a_blob_of_another_size_is_a_lie(stall: Stall, size: int) -> None:
    """Smaller or larger than its descriptor says: no more than that is ever written."""
    stall.put_blob(SAID)
    with pytest.raises(Lied):
        fetched(stall, size=size)


def test_a_blob_without_a_length_is_counted(stall: Stall) -> None:
    """An endless one ends with the first byte too many."""
    stall.put_blob(SAID)
    stall.liar.lies.append(endless())
    with pytest.raises(Lied, match="larger"):
        fetched(stall)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "bytes 0-9/10",
        "bytes 5-2999999/3000000",
        "bytes 5-9/10",
        "bytes x",
        "bytes 100000-2999999/5",
        "9" * 100,
    ],
)
def test_a_part_that_was_not_asked_for_is_a_lie(stall: Stall, said: str) -> None:
    """Content-Range says which part came."""
    stall.put_blob(SAID)
    stall.liar.lies += [times(1, cut(100_000)), header("Content-Range", said)]
    with pytest.raises(Lied, match="part"):
        fetched(stall)


@pytest.mark.parametrize(("code", "error"), [(404, Gone), (416, Unreachable), (500, Unreachable)])
def test_a_blob_that_is_not_there(stall: Stall, code: int, error: type[Exception]) -> None:
    """Missing, or never to be had."""
    stall.liar.lies.append(status(code))
    with pytest.raises(error):
        fetched(stall)


def test_a_blob_of_20_gb_is_read_in_pieces(stall: Stall) -> None:
    """20 GB of zeros that no file and no memory holds: a sink counts, a generator sends."""
    size = 20 * 10**9
    stall.liar.lies += [status(200, Content_Length=str(size)), endless()]
    largest = []

    class Sink(io.BytesIO):
        def write(self, chunk: bytes) -> int:  # type: ignore[override]  # chunks are bytes here
            largest.append(len(chunk))
            if len(largest) == 100:
                raise InterruptedError  # seen enough
            return len(chunk)

    with pytest.raises(InterruptedError):
        stall.client.blob("acme/model", Descriptor("x", "sha256:" + "1" * 64, size), Sink())
    assert max(largest) <= 2**20


@given(data=st.data())
@settings(max_examples=60)
def test_whatever_breaks_it_is_the_blob_or_an_error(data: st.DataObject) -> None:
    """The law: no error means exactly these bytes, however often and wherever the line broke."""
    said = data.draw(st.binary(min_size=1, max_size=200))
    beginning = data.draw(st.binary(max_size=220) | st.just(said[: len(said) // 2]))
    acts: list[Callable[[], Lie]] = [
        lambda: cut(data.draw(st.integers(0, 200))),
        lambda: status(data.draw(st.sampled_from([500, 404, 416, 206, 200]))),
        lambda: content(data.draw(st.binary(max_size=220))),
        altered,
        lambda: header("Content-Range", data.draw(st.sampled_from(["bytes 0-9/10", ""]))),
    ]
    lies = [times(1, act()) for act in data.draw(st.lists(st.sampled_from(acts), max_size=4))]
    shelf = Shelf()
    shelf.blobs["a"][digest_of(said)] = said
    with lying(shelf.answer) as liar:
        liar.lies += lies
        file = io.BytesIO(beginning)
        client = Registry(liar.url, sleep=lambda _: None)
        try:
            client.blob("a", Descriptor("x", digest_of(said), len(said)), file)
        except (Lied, Gone, Unreachable):
            return
        assert file.getvalue() == said

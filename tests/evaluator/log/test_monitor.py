"""A monitor: sees from hashes alone that a log was altered, cut, forked or rolled back."""

from __future__ import annotations

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from evaluator.errors import OwnerError, VerificationError
from evaluator.log.monitor import main, monitor
from evaluator.log.note import NoteSigner, open_note
from evaluator.log.store import create_log, open_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Quiet(SimpleHTTPRequestHandler):
    """A web server for files, without a log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(params=["folder", "http"])
def source(folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the log is served: its folder without the entries, and over HTTP."""
    shutil.rmtree(folder / "tile/entries")
    if request.param == "folder":
        yield str(folder)
        return
    handler = partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The monitor's memory."""
    return tmp_path / "state"


def serve_log(folder: Path, signer: NoteSigner, entries: list[bytes]) -> None:
    """Serve another log, by the same key, at the place of the first; never its entries."""
    shutil.rmtree(folder)
    create_log(folder, signer)
    with open_log(folder, signer) as log:
        log.append(entries)
    shutil.rmtree(folder / "tile/entries")


def test_a_log_that_grows_is_followed(
    source: str, folder: Path, state: Path, signer: NoteSigner, entries: list[bytes]
) -> None:
    """By one entry, over the border of a tile, and not at all."""
    assert monitor(source, state, signer.verifier).size == 300
    for size in (301, 513, 513):
        serve_log(folder, signer, [*entries, *[b"more"] * (size - 300)])
        assert monitor(source, state, signer.verifier).size == size
    assert open_note(state.read_bytes(), [signer.verifier]).text.split("\n")[1] == "513"


def altered(entries: list[bytes]) -> list[bytes]:
    """An old entry says something else."""
    return [*entries[:7], b"altered", *entries[8:], b"more"]


def dropped(entries: list[bytes]) -> list[bytes]:
    """An old entry never was."""
    return [*entries[:7], *entries[8:], b"more", b"more"]


def forked(entries: list[bytes]) -> list[bytes]:
    """As many entries, and another last one."""
    return [*entries[:-1], b"another"]


def rolled_back(entries: list[bytes]) -> list[bytes]:
    """An old backup."""
    return entries[:299]


@pytest.mark.parametrize(
    ("forge", "word"),
    [
        (altered, "rewritten"),
        (dropped, "rewritten"),
        (forked, "rewritten"),
        (rolled_back, "rolled back"),
    ],
)
def test_another_past_is_an_alarm_with_evidence(
    source: str,
    folder: Path,
    state: Path,
    signer: NoteSigner,
    entries: list[bytes],
    forge: Callable[[list[bytes]], list[bytes]],
    word: str,
) -> None:
    """Though the log's own key signed it, and the tiles are right for it."""
    monitor(source, state, signer.verifier)
    seen = state.read_bytes()
    serve_log(folder, signer, forge(entries))

    with pytest.raises(VerificationError, match=word):
        monitor(source, state, signer.verifier)
    assert state.read_bytes() == seen
    other = state.with_name("state.refused").read_bytes()
    assert open_note(other, [signer.verifier]).text != open_note(seen, [signer.verifier]).text
    assert monitor(source, state.with_name("fresh"), signer.verifier)  # the control: alone, it fits


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "checkpoint"])
@pytest.mark.parametrize("damage", ["flip", "cut", "lengthen", "remove"])
def test_a_damaged_file_is_an_alarm(
    source: str, folder: Path, state: Path, signer: NoteSigner, path: str, damage: str
) -> None:
    """Whichever, at the first look, and the state stays as it was."""
    raw = (folder / path).read_bytes()
    changed = {
        "flip": bytes([raw[0] ^ 1]) + raw[1:],
        "cut": raw[:-1],
        "lengthen": raw + raw,
        "remove": None,
    }[damage]
    if changed is None:
        (folder / path).unlink()
    else:
        (folder / path).write_bytes(changed)

    with pytest.raises(VerificationError):
        monitor(source, state, signer.verifier)
    assert not state.exists()
    (folder / path).write_bytes(raw)
    assert monitor(source, state, signer.verifier)


def test_an_old_tile_altered_later_is_seen_by_a_full_look(
    source: str, folder: Path, state: Path, signer: NoteSigner, entries: list[bytes]
) -> None:
    """A look at what is new does not read it, unless a proof needs it."""
    serve_log(folder, signer, [*entries, *[b"more"] * 300])
    monitor(source, state, signer.verifier)
    tile = folder / "tile/0/000"
    tile.write_bytes(bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:])

    assert monitor(source, state, signer.verifier)
    with pytest.raises(VerificationError, match="tile/0/000 was altered"):
        monitor(source, state, signer.verifier, full=True)


def test_only_new_tiles_are_read(
    folder: Path, state: Path, signer: NoteSigner, entries: list[bytes]
) -> None:
    """A tile that was seen may be gone, as long as no proof needs it."""
    serve_log(folder, signer, [*entries, *[b"more"] * 300])
    monitor(str(folder), state, signer.verifier)
    (folder / "tile/0/000").unlink()

    assert monitor(str(folder), state, signer.verifier)


def test_a_partial_tile_that_is_whole_by_now_is_read_as_that(
    source: str, folder: Path, state: Path, signer: NoteSigner, entries: list[bytes]
) -> None:
    """The log grew between its checkpoint and its tiles."""
    note = (folder / "checkpoint").read_bytes()
    serve_log(folder, signer, [*entries, *[b"more"] * 212])
    (folder / "checkpoint").write_bytes(note)
    (folder / "tile/1/000.p/1").write_bytes((folder / "tile/1/000.p/2").read_bytes()[:32])

    assert monitor(source, state, signer.verifier).size == 300


def test_a_state_of_another_log_is_refused(
    folder: Path, state: Path, signer: NoteSigner, witness: NoteSigner
) -> None:
    """It would compare nothing."""
    other = NoteSigner(signer.name, witness.private)
    monitor(str(folder), state, signer.verifier)
    with pytest.raises(OwnerError, match="no checkpoint of this log"):
        monitor(str(folder), state, other.verifier)


def test_the_command_line_says_it_by_its_status(
    folder: Path,
    state: Path,
    signer: NoteSigner,
    entries: list[bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 and the size; 4 for an alarm; 2 for a state that is none."""
    command = [str(folder), "--log", str(signer.verifier), "--state", str(state)]

    assert main(command) == 0
    assert "300 entries" in capsys.readouterr().out
    serve_log(folder, signer, altered(entries))
    assert main(command) == 4
    state.write_bytes(b"junk")
    assert main(command) == 2

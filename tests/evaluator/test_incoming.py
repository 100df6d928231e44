"""An interrupted copy goes on where it was, and never from bytes that are not the file's."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import incoming
from evaluator.errors import OwnerError
from evaluator.incoming import Incoming, copied, sweep_incoming
from sandbox import SandboxError

CHUNK, CHUNKS = 1000, 10
CONTENT = bytes(range(250)) * (CHUNK * CHUNKS // 250)
MOST = 10**6


@pytest.fixture(autouse=True, scope="module")
def small() -> object:
    """Copies in small: ten chunks, and a note after each."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"KEPT_FROM": CHUNK, "SECONDS": 0, "_CHUNK": CHUNK}.items():
            patch.setattr(incoming, name, value)
        yield


@dataclass
class Place:
    """A vendor's file, where it is copied to, and what was told and read on the way."""

    folder: Path
    told: list[tuple[int, int]] = field(default_factory=list)
    read: int = 0

    @property
    def source(self) -> Path:
        """The vendor's file."""
        return self.folder / "model.onnx"

    @property
    def target(self) -> Path:
        """The whole copy."""
        return self.folder / "submission"

    @property
    def kept(self) -> Incoming:
        """What an interruption leaves."""
        return Incoming(self.folder / "incoming" / "acme", lambda *told: self.told.append(told))

    def copy(
        self, *, fail_at: int = 10**9, error: BaseException | None = None
    ) -> tuple[str, int] | None:
        """Copy the file, with this error once so many bytes were read."""
        send = os.sendfile

        def watched(copy: int, file: int, offset: int, most: int) -> int:
            if offset >= fail_at and error:
                raise error
            sent = send(copy, file, offset, most)
            self.read += sent
            return sent

        self.read = 0
        with pytest.MonkeyPatch.context() as patch, self.source.open("rb") as file:
            patch.setattr(os, "sendfile", watched)
            return copied(file, self.target, MOST, self.kept)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A file of ten chunks."""
    place = Place(tmp_path)
    place.source.write_bytes(CONTENT)
    return place


def require_whole(place: Place, content: bytes = CONTENT) -> None:
    """The next copy is the file, by content and by digest, and nothing is kept of it."""
    assert place.copy() == (hashlib.sha256(content).hexdigest(), len(content))
    assert place.target.read_bytes() == content
    assert place.target.stat().st_mode & 0o777 == 0o444  # a container's uid reads it
    assert [*place.kept.folder.iterdir()] == []


def test_an_interrupted_copy_goes_on_where_it_was(place: Place) -> None:
    """Of seven chunks none is read from the vendor's file a second time."""
    with pytest.raises(KeyboardInterrupt) as interrupted:
        place.copy(fail_at=7 * CHUNK, error=KeyboardInterrupt())
    assert "submit the same file again" in interrupted.value.__notes__[0]
    assert not place.target.exists()

    require_whole(place)
    assert place.read == 3 * CHUNK
    assert place.told[-1] == (len(CONTENT), len(CONTENT))


def test_a_copy_that_is_not_interrupted_keeps_nothing(place: Place) -> None:
    """The control: everything is read once."""
    require_whole(place)
    assert place.read == len(CONTENT)
    assert place.told == [(CHUNK * n, len(CONTENT)) for n in range(1, CHUNKS + 1)]


def test_a_kill_at_any_step_costs_one_chunk_at_most(place: Place) -> None:
    """Killed before any call that changes the disk, or a lock: the next copy is whole."""
    saved = set[int]()
    for wanted in range(1, 200):
        child = os.fork()
        if not child:
            with suppress(BaseException):
                _kill_at(wanted)
                place.copy()
                os._exit(0)
            os._exit(1)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        if not killed:
            break
        place.target.unlink(missing_ok=True)  # with its submission, as a sweep does
        require_whole(place)
        saved.add(len(CONTENT) - place.read)
        place.target.unlink()
    else:
        pytest.fail("it never came to its end")

    assert saved == {CHUNK * n for n in range(CHUNKS + 1)}


def _kill_at(wanted: int) -> None:
    steps = iter(range(1, 1000))

    def step(real: object) -> object:
        def stepped(*arguments: object, **more: object) -> object:
            if next(steps) == wanted:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **more)  # type: ignore[operator]  # each is a function

        return stepped

    for owner, names in (
        (os, ("open", "mkdir", "sendfile", "truncate", "fsync", "fchmod", "close")),
        (fcntl, ("flock",)),
        (Path, ("rename", "unlink", "chmod", "mkdir")),
    ):
        for name in names:
            setattr(owner, name, step(getattr(owner, name)))


DAMAGE = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 7 * CHUNK - 1)),
    st.tuples(st.just("cut"), st.integers(0, 7 * CHUNK - 1)),
    st.tuples(st.just("add"), st.integers(1, 5 * CHUNK)),
    st.tuples(st.just("note"), st.binary(max_size=40)),
    st.tuples(st.just("json"), st.sampled_from(["{}", "[]", "null", '{"source": 1, "size": "x"}'])),
    st.tuples(st.just("size"), st.integers(-5, 10**7)),
    st.tuples(st.just("change"), st.binary(min_size=2 * CHUNK, max_size=3 * CHUNK)),
)


@given(damages=st.lists(DAMAGE, max_size=3))
def test_what_is_not_the_files_is_never_in_a_copy(damages: list[tuple[str, object]]) -> None:
    """Whatever became of the copy, of its note or of the vendor's file in between."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.source.write_bytes(CONTENT)
        with pytest.raises(KeyboardInterrupt):
            place.copy(fail_at=7 * CHUNK, error=KeyboardInterrupt())
        for kind, what in damages:
            _damage(place, kind, what)
        require_whole(place, place.source.read_bytes())


def _damage(place: Place, kind: str, what: object) -> None:
    copy, note = place.kept.copy, place.kept.note
    content = bytearray(copy.read_bytes())
    if isinstance(what, int):
        if kind == "flip" and what < len(content):
            content[what] ^= 1
        elif kind == "cut":
            del content[what:]
        elif kind == "add":
            content += bytes(what)
        elif kind == "size":
            note.write_bytes(note.read_bytes().replace(b"%d" % (7 * CHUNK), b"%d" % what))
        copy.write_bytes(content)
    elif kind == "change" and isinstance(what, bytes):
        place.source.write_bytes(what)
    else:
        note.write_bytes(what if isinstance(what, bytes) else str(what).encode())


def test_a_file_that_was_written_again_starts_anew(place: Place) -> None:
    """Of the same size, and with its old time of change: the kernel keeps another."""
    with pytest.raises(KeyboardInterrupt):
        place.copy(fail_at=7 * CHUNK, error=KeyboardInterrupt())
    before = place.source.stat()
    time.sleep(0.02)  # a tick of the kernel's clock
    place.source.write_bytes(CONTENT[::-1])
    os.utime(place.source, ns=(before.st_atime_ns, before.st_mtime_ns))

    require_whole(place, CONTENT[::-1])
    assert place.read == len(CONTENT)


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) // 2])
def test_a_file_that_changes_while_it_is_copied_is_not_taken(
    place: Place, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Half of the one and half of the other is nobody's submission, nor is a half alone."""
    send = os.sendfile

    def changing(*arguments: int) -> int:
        os.truncate(place.source, size)
        os.utime(place.source)
        return send(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "sendfile", changing)
        with pytest.raises(OwnerError, match="changed while"):
            place.copy()

    assert not place.target.exists()
    assert not place.kept.note.exists()


@pytest.mark.parametrize("other", [CONTENT, CONTENT[::-1]])
def test_a_digest_is_of_the_bytes_that_are_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch, other: bytes
) -> None:
    """Whatever the vendor's file held a moment before or after; the control copies it as it is."""

    def send(copy: int, _: int, offset: int, most: int) -> int:
        return os.write(copy, other[offset : offset + most])

    with monkeypatch.context() as patch:
        patch.setattr(os, "sendfile", send)
        digest, _ = place.copy() or ("nothing", 0)

    assert digest == hashlib.sha256(place.target.read_bytes()).hexdigest()
    assert (digest == hashlib.sha256(CONTENT).hexdigest()) is (other == CONTENT)


def test_a_copy_is_no_more_than_so_many_chunks_ahead_of_its_hash(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a large one would have left the memory by the time it is read back."""
    read, behind = os.preadv, list[int]()

    def slow(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        for _ in range(2000 if not behind else 0):
            if place.read == 4 * CHUNK:  # three wait for their hash, and one more is there
                break
            time.sleep(0.001)
        behind.append(place.read - offset)
        return read(descriptor, buffers, offset)

    with monkeypatch.context() as patch:
        patch.setattr(incoming, "SECONDS", 1000)  # a note waits for the hash
        patch.setattr(incoming, "_AHEAD", 3)
        patch.setattr(os, "preadv", slow)
        require_whole(place)

    assert max(behind) == 4 * CHUNK


@pytest.mark.parametrize("size", [CHUNK - 1, MOST + 1])
def test_a_file_of_another_size_is_left_to_a_plain_copy(place: Place, size: int) -> None:
    """A small one is copied anew in a second, and one that is too large will be refused."""
    place.source.write_bytes(bytes(size))

    assert place.copy() is None
    assert (place.read, place.kept.folder.exists()) == (0, False)


def test_of_two_at_once_the_second_is_left_to_a_plain_copy(place: Place) -> None:
    """One unfinished copy is kept for a vendor, and its process alone adds to it."""
    place.kept.folder.mkdir(parents=True)
    descriptor = os.open(place.kept.folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert place.copy() is None
    finally:
        os.close(descriptor)
    require_whole(place)


def test_a_copy_that_cannot_end_is_not_begun(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is here already stays for a disk with more room."""
    with pytest.raises(KeyboardInterrupt):
        place.copy(fail_at=7 * CHUNK, error=KeyboardInterrupt())
    with monkeypatch.context() as patch:
        patch.setattr(incoming, "_HEADROOM", 2**60)
        with pytest.raises(SandboxError, match=r"No space left on device; \d+ MiB more") as full:
            place.copy()
    assert "submit the same file again" in full.value.__notes__[0]

    require_whole(place)
    assert place.read == 3 * CHUNK


def test_a_disk_that_fills_all_the_same_keeps_what_was_noted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half of a chunk that was written does not count."""
    send = os.sendfile

    def filling(copy: int, file: int, offset: int, most: int) -> int:
        if offset == 5 * CHUNK:
            send(copy, file, offset, CHUNK // 2)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return send(copy, file, offset, most)

    with monkeypatch.context() as patch:
        patch.setattr(os, "sendfile", filling)
        with pytest.raises(SandboxError, match="No space left on device"):
            place.copy()

    require_whole(place)
    assert place.read == 5 * CHUNK


@pytest.mark.parametrize("whole", [5, CHUNKS - 1])
@pytest.mark.parametrize("trouble", [errno.EIO, None])
def test_a_disk_that_does_not_give_back_what_it_took_ends_a_copy(
    place: Place, monkeypatch: pytest.MonkeyPatch, trouble: int | None, whole: int
) -> None:
    """By an error, or by an end that comes too early; what was hashed before that is kept."""
    read = os.preadv

    def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if offset < whole * CHUNK:
            return read(descriptor, buffers, offset)
        if trouble is not None:
            raise OSError(trouble, os.strerror(trouble))
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", failing)
        with pytest.raises(SandboxError, match="Input/output error") as broken:
            place.copy()
    assert "submit the same file again" in broken.value.__notes__[0]

    require_whole(place)
    assert place.read == len(CONTENT) - whole * CHUNK


def test_a_sweep_removes_what_nobody_came_back_for(place: Place) -> None:
    """After a week; the control is a day younger, and one that is being added to stays."""
    with pytest.raises(KeyboardInterrupt):
        place.copy(fail_at=7 * CHUNK, error=KeyboardInterrupt())
    root, week = place.kept.folder.parent, 7 * 86_400
    (root / "stray").touch()
    for age, lock, left in ((week - 86_400, False, 2), (week + 60, True, 2), (week + 60, False, 0)):
        os.utime(place.kept.copy, (time.time() - age,) * 2)
        descriptor = os.open(place.kept.folder, os.O_RDONLY)
        if lock:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        sweep_incoming(root)
        os.close(descriptor)
        assert len([*place.kept.folder.iterdir()]) == left
    sweep_incoming(root / "nowhere")  # a workspace older than this folder
    require_whole(place)

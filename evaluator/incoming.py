"""Unfinished copies: a large file that is handed in again goes on where its copy was interrupted.

    copied(file, target, most, incoming)    SHA-256 and size; None where nothing is to be kept
    sweep_incoming(root)                    what nobody came back for

    incoming/VENDOR/copy        what is here of the last such file of that vendor
    incoming/VENDOR/note.json   which file that is, how many bytes are on the disk, their SHA-256

A file is the same where its size and the kernel's two times of its last change are. What is here is
hashed anew before anything is added to it, and only a whole copy leaves. The kernel copies, and
what is hashed is read back from the copy: whatever a vendor's file becomes meanwhile, a digest is
of the bytes that are kept. A submission has a slot of the quotas while it is received; what is kept
here has none.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from evaluator.errors import OwnerError
from evaluator.files import replace
from sandbox import SandboxError

if TYPE_CHECKING:
    from _hashlib import HASH
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path

KEPT_FROM = 2**26  # bytes; a smaller file is copied anew in a second
SECONDS = 10  # between two notes: what a kill costs at most
DAYS = 7
_HEADROOM = 2**26  # bytes of the disk that a copy leaves to the ledger, the log and a run
_CHUNK = 2**20
_AHEAD = 256  # chunks that are copied and not yet hashed: the disk may pause, the hash goes on
_BUFFER = 2**18  # of the thread that hashes: it stays in a processor's own cache

Source = tuple[int, int, int]
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Incoming:
    """Where a vendor's unfinished copy lies, and who is told (bytes that are here, of how many)."""

    folder: Path
    advance: Advance

    @property
    def copy(self) -> Path:
        """What is here."""
        return self.folder / "copy"

    @property
    def note(self) -> Path:
        """What is said of it."""
        return self.folder / "note.json"


@dataclass(frozen=True, slots=True)
class _Here:
    """So many bytes of a copy, and their hash: one value, for an interruption to find whole."""

    size: int
    digest: HASH

    def and_also(self, chunk: bytes | memoryview) -> _Here:
        longer = self.digest.copy()
        longer.update(chunk)
        return _Here(self.size + len(chunk), longer)


class _Hashed:
    """What is in a copy, read back and hashed in a second thread: a whole value always."""

    def __init__(self, copy: FileIO, here: _Here, thread: ThreadPoolExecutor) -> None:
        self._copy, self._here, self._thread = copy, here, thread
        self._buffer = memoryview(bytearray(_BUFFER))
        self._asked = deque[Future[None]]()

    def up_to(self, size: int) -> None:
        """Go on to this byte of the copy, and wait where too much of it is not hashed yet."""
        self._asked.append(self._thread.submit(self._add, size))
        while self._asked and (self._asked[0].done() or len(self._asked) > _AHEAD):
            self._asked.popleft().result()

    def here(self) -> _Here:
        """With all that was asked for."""
        for asked in self._asked:
            asked.result()
        return self._here

    def _add(self, size: int) -> None:
        while left := size - self._here.size:
            count = os.preadv(self._copy.fileno(), [self._buffer[:left]], self._here.size)
            if not count:
                raise OSError(errno.EIO, os.strerror(errno.EIO))  # nobody else writes to it
            self._here = self._here.and_also(self._buffer[:count])


def copied(file: BinaryIO, target: Path, most: int, incoming: Incoming) -> tuple[str, int] | None:
    """Copy a file of 64 MiB to `most` bytes to `target`, going on where an earlier copy ended.

    None, and nothing has been read, where the file is of another size, or another process copies
    one of this vendor. What an error or an interruption leaves is kept, as a note of it says.
    """
    source = _source(file)
    if not KEPT_FROM <= source[0] <= most or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return None
    with _told(incoming), _locked(incoming.folder) as ours:
        if not ours:
            return None
        here = _completed(file, source, incoming)
        incoming.copy.rename(target)
        incoming.note.unlink(missing_ok=True)
        target.chmod(0o444)
        return here.digest.hexdigest(), here.size


def _completed(file: BinaryIO, source: Source, incoming: Incoming) -> _Here:
    """Bring the copy to its full length; only a note waits until its bytes are on the disk."""
    here = _kept(incoming, source)
    if here.size:
        os.truncate(incoming.copy, here.size)
    else:  # not cut to nothing: ext4 writes a file that was to the disk as soon as it is closed
        incoming.copy.unlink(missing_ok=True)
        incoming.copy.touch()
    with incoming.copy.open("r+b", buffering=0) as copy, ThreadPoolExecutor(1) as thread:
        _require_room(incoming.folder, source[0] - here.size)
        hashed = _Hashed(copy, here, thread)
        try:
            _append(file, source, copy, hashed, incoming, here.size)
        except BaseException:
            with suppress(OSError):  # a full or broken disk: the note before this one stands
                _write_note(incoming, source, copy, hashed.here())
            raise
        here = hashed.here()
    if _source(file) != source or here.size != source[0]:
        incoming.note.unlink(missing_ok=True)
        raise OwnerError("The submission's file changed while it was copied. Submit it again.")
    return here


def _append(  # noqa: PLR0913, PLR0917 - both ends of a copy, and who hears of it
    file: BinaryIO, source: Source, copy: FileIO, hashed: _Hashed, incoming: Incoming, size: int
) -> None:
    """Add what is not here yet, from byte `size` of the file on."""
    copy.seek(size)
    noted = time.monotonic()
    ends = copy.fileno(), file.fileno()
    while sent := os.sendfile(*ends, size, min(_CHUNK, source[0] - size)):
        size += sent
        hashed.up_to(size)
        incoming.advance(size, source[0])
        if time.monotonic() - noted >= SECONDS:
            _write_note(incoming, source, copy, hashed.here())
            noted = time.monotonic()


def _source(file: BinaryIO) -> Source:
    """What tells one file from another, and from itself once it was changed."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _write_note(incoming: Incoming, source: Source, copy: FileIO, here: _Here) -> None:
    """Note what is here, once it is on the disk."""
    os.fsync(copy.fileno())
    said = {"source": source, "size": here.size, "sha256": here.digest.hexdigest()}
    replace(incoming.note, json.dumps(said).encode())


def _kept(incoming: Incoming, source: Source) -> _Here:
    """What is here of this file, hashed anew: nothing where it is not what was noted."""
    here = nothing = _Here(0, hashlib.sha256())
    try:
        noted = json.loads(incoming.note.read_bytes())
        if tuple(noted["source"]) != source:
            return nothing
        with incoming.copy.open("rb") as copy:
            while chunk := copy.read(min(_CHUNK, noted["size"] - here.size)):
                here = here.and_also(chunk)
                incoming.advance(here.size, source[0])
        return here if here.digest.hexdigest() == noted["sha256"] else nothing
    except (OSError, ValueError, LookupError, TypeError):
        return nothing


def _require_room(folder: Path, more: int) -> None:
    """A copy that cannot end is not begun: a full disk would stop everything else as well."""
    missing = more + _HEADROOM - shutil.disk_usage(folder).free
    if more and missing > 0:
        raise OSError(
            errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}; {(missing >> 20) + 1} MiB more are needed"
        )


@contextmanager
def _told(incoming: Incoming) -> Iterator[None]:
    """Whatever ends the copy says what is kept of it; the disk's trouble is the host's."""
    try:
        yield
    except OSError as error:
        trouble = SandboxError(
            f"The submission cannot be copied into the workspace: {error.strerror}."
        )
        _note_what_is_kept(trouble, incoming)
        raise trouble from error
    except BaseException as error:
        _note_what_is_kept(error, incoming)
        raise


def _note_what_is_kept(error: BaseException, incoming: Incoming) -> None:
    with suppress(OSError, ValueError, LookupError):
        size = json.loads(incoming.note.read_bytes())["size"]
        error.add_note(
            f"{size >> 20} MiB are kept for {DAYS} days: submit the same file again, and the copy "
            "goes on from there."
        )


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether this process alone has the folder, while the block lasts."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as held:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        held.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def sweep_incoming(root: Path) -> None:
    """Remove what is kept below `root` for longer than its days, unless somebody adds to it now."""
    for folder in root.glob("*/"):
        kept = Incoming(folder, lambda *_: None)
        with suppress(OSError), _locked(folder) as ours:
            if ours and kept.copy.stat().st_mtime < time.time() - DAYS * 86_400:
                kept.note.unlink(missing_ok=True)
                kept.copy.unlink()

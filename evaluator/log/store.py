"""The log on the owner's disk: read, and appended to so that a crash leaves the old or the new.

An append writes files under names that the checkpoint does not cover yet, has them on the disk,
and then renames the new checkpoint over the old: that is the moment. What lies beyond a checkpoint
was left by an append that never got there; it means nothing, and the next append overwrites it.
A partial tile goes once a wider one is committed: whoever serves a log serves a copy of the files
that `tiles.paths` names, and keeps there what older checkpoints need.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from pathlib import PurePath
from typing import TYPE_CHECKING

from evaluator import merkle
from evaluator.errors import OwnerError, VerificationError
from evaluator.log import tiles
from evaluator.log.checkpoint import Checkpoint, open_checkpoint
from evaluator.log.folder import CHECKPOINT, Directories, locked, write, write_checkpoint
from evaluator.log.note import add_line, open_note, sign_note
from evaluator.log.proof import format_proof
from evaluator.log.tiles import ENTRY_CAP, HEIGHT, WIDTH, TileTree, tile_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from evaluator.log.note import NoteSigner, VerifierKey


class LogReader:
    """A log in a folder as its signed checkpoint has it; what grows later is not seen.

    Everything read is verified up to that checkpoint. Raises OwnerError where the folder has no
    checkpoint by this key, and where a file of the log was altered or is missing.
    """

    def __init__(self, folder: Path, verifier: VerifierKey, checkpoint: str = CHECKPOINT) -> None:
        self.folder = folder
        self.verifier = verifier
        self.note: bytes = b""
        self._name = checkpoint
        self._load()

    def entry(self, index: int) -> bytes:
        """Return entry `index`; IndexError if there is none."""
        self.leaf(index)
        return next(self.entries(index, index + 1))

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the entries from `start` to `stop`, not including it."""
        for number in range(start // WIDTH, -(-min(stop, self.checkpoint.size) // WIDTH)):
            bundle = self._bundle(number)
            first = number * WIDTH
            yield from bundle[max(0, start - first) : stop - first]

    def leaf(self, index: int) -> bytes:
        """Return the leaf hash of entry `index`; IndexError if there is none."""
        with self._damage():
            return self._tree.leaf(index)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the audit path of entry `index`, in the log as it is or was at `size`."""
        with self._damage():
            return self._tree.inclusion(index, self.checkpoint.size if size is None else size)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the log, as it is or was at `new`, began as it was at `old`."""
        with self._damage():
            return self._tree.consistency(old, self.checkpoint.size if new is None else new)

    def root(self, size: int) -> bytes:
        """Return the root that the log had at `size`."""
        with self._damage():
            return self._tree.root(size)

    def proof(self, index: int) -> bytes:
        """Return the .tlog-proof of entry `index`, with the signatures that are there now."""
        return format_proof(index, self.inclusion(index), self.note)

    def _load(self) -> None:
        with self._damage():
            self.note = self._read_file(self._name)
            self.checkpoint: Checkpoint = open_checkpoint(self.note, self.verifier)
            self._tree = TileTree(self._read, self.checkpoint.size, self.checkpoint.root)
            self._last: tuple[int, list[bytes]] | None = None

    def _bundle(self, number: int) -> list[bytes]:
        """Return up to 256 entries, each of them the one whose hash the tree has."""
        if self._last is None or self._last[0] != number:  # kept: they are asked for one by one
            self._last = number, self._read_bundle(number)
        return self._last[1]

    def _read_bundle(self, number: int) -> list[bytes]:
        width = tiles.width_at(0, number, self.checkpoint.size)
        with self._damage():
            entries = tiles.unpack_entries(self._read(tile_path("entries", number, width)))[:width]
            found = [merkle.leaf_hash(entry) for entry in entries]
            if b"".join(found) != self._tree.tile(0, number):
                raise VerificationError(
                    f"An entry from {number * WIDTH} to {number * WIDTH + width - 1} is not the "
                    "one whose hash the log has."
                )
        return entries

    def _read(self, path: str) -> bytes:
        """Return a tile; one that an append has replaced meanwhile, from its successor.

        A partial tile is the beginning of every wider one of its number.
        """
        for _ in range(3):  # each time an append may be faster than this
            try:
                return self._open(path)
            except FileNotFoundError:
                wider = self._wider(path)
                if wider is None:
                    break
                with suppress(FileNotFoundError):
                    return self._shorten(path, self._open(wider))
        raise VerificationError(f"The file {path} is missing.")

    def _wider(self, path: str) -> str | None:
        whole, partial, width = path.partition(".p/")
        if not partial:
            return None
        with suppress(FileNotFoundError):
            names = [found.name for found in (self.folder / f"{whole}.p").iterdir()]
            wider = [int(name) for name in names if name.isdecimal() and int(name) > int(width)]
            if wider:
                return f"{whole}.p/{min(wider)}"
        return whole if (self.folder / whole).exists() else None

    @staticmethod
    def _shorten(path: str, raw: bytes) -> bytes:
        if path.startswith("tile/entries/"):
            return raw  # cut after unpacking
        return raw[: int(path.rpartition("/")[2]) * tiles.HASH]

    def _read_file(self, path: str) -> bytes:
        try:
            return self._open(path)
        except FileNotFoundError as error:
            raise OwnerError(
                f"There is no log in {self.folder}. `evaluator init` makes one; a log that was "
                "there must be restored from its backup."
            ) from error

    def _open(self, path: str) -> bytes:
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(path) from error
        except OSError as error:
            raise OwnerError(
                f"The log's file {self.folder / path} cannot be read ({error.strerror})."
            ) from error

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except VerificationError as error:
            raise OwnerError(
                f"The log in {self.folder} is damaged. {error} "
                "Restore the folder from its backup; never let a damaged log go on."
            ) from error


class Log(LogReader):
    """The log of whoever holds its key; made by `open_log`, which also holds its lock."""

    def __init__(self, folder: Path, signer: NoteSigner) -> None:
        super().__init__(folder, signer.verifier)
        self._signer = signer

    def append(self, entries: Sequence[bytes]) -> int:
        """Append these entries, all or none, and return the position of the first.

        They are on the disk, under a signed checkpoint, when the call returns. Raises OwnerError
        where an entry is larger than 65,535 bytes or the disk fails; then the log is as it was,
        or, where only the last step could not be confirmed, has all of them: `checkpoint` says.
        """
        if any(len(entry) > ENTRY_CAP for entry in entries):
            raise OwnerError(
                f"An entry of the log has at most {ENTRY_CAP} bytes, and this one has more. "
                "Nothing was appended. What makes a result long is its list of classes."
            )
        self._load()  # whatever an interrupted append left: no entry may be written over another
        first = self.checkpoint.size
        if not entries:
            return first
        with self._writing():
            edge = self._write_tiles(entries)
            size = first + len(entries)
            root = tiles.root_of(size, edge.__getitem__)
            grown = Checkpoint(self.checkpoint.origin, size, root)
            write_checkpoint(self.folder, sign_note(grown.text(), self._signer))
        self._remove_superseded(first)
        return first

    def add_cosignatures(self, lines: Iterable[str], witnesses: Sequence[VerifierKey] = ()) -> None:
        """Put witnesses' signature lines, of the checkpoint as it is, under it.

        Where the witnesses are given, each line must be a genuine one of theirs; one that is not,
        as after an append in between, raises VerificationError and changes nothing.
        """
        note = self.note
        for line in lines:
            note = add_line(note, line)
            if witnesses:
                open_note(add_line(self.note, line), witnesses)
        with self._writing():
            write_checkpoint(self.folder, note)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Have `checkpoint` say what is on the disk afterwards, whether or not that went well."""
        try:
            yield
        except OSError as error:
            raise OwnerError(
                f"The log in {self.folder} could not be written ({error.strerror}). "
                "Free or repair the disk, then run this again."
            ) from error
        finally:
            self._load()

    def _write_tiles(self, entries: Sequence[bytes]) -> dict[int, bytes]:
        """Write what the log gets new at every level; return the partial tile of each, if any."""
        size = self.checkpoint.size
        directories = Directories(self._durable())
        number, kept = divmod(size, WIDTH)
        self._write_bundles([*(self._bundle(number) if kept else []), *entries], directories)
        fresh = [merkle.leaf_hash(entry) for entry in entries]
        edge = {}
        for level in range(tiles.levels(size + len(entries))):
            number, kept = divmod(size >> HEIGHT * level, WIDTH)
            together = (self._tree.tile(level, number) if kept else b"") + b"".join(fresh)
            fresh = []
            edge[level] = together[len(together) // tiles.TILE * tiles.TILE :]
            if len(together) == kept * tiles.HASH:  # nothing new up here
                continue
            for at in range(0, len(together), tiles.TILE):
                tile = together[at : at + tiles.TILE]
                path = tile_path(level, number + at // tiles.TILE, len(tile) // tiles.HASH)
                write(self.folder, path, tile, directories)
                if len(tile) == tiles.TILE:
                    fresh.append(merkle.root(tiles.hashes(tile)))
        directories.sync()
        return edge

    def _durable(self) -> set[Path]:
        """The directories of the last tiles: the checkpoint is on the disk, and so are they."""
        size, found = self.checkpoint.size, {self.folder}
        for level in range(tiles.levels(size)):
            number = ((size >> HEIGHT * level) - 1) // WIDTH
            for kind in (level, "entries") if level == 0 else (level,):
                path = tile_path(kind, number, tiles.width_at(level, number, size))
                found.update(self.folder / parent for parent in PurePath(path).parents)
        return found

    def _write_bundles(self, entries: Sequence[bytes], directories: Directories) -> None:
        number = self.checkpoint.size // WIDTH
        for at in range(0, len(entries), WIDTH):
            bundle = entries[at : at + WIDTH]
            path = tile_path("entries", number + at // WIDTH, len(bundle))
            write(self.folder, path, b"".join(map(tiles.pack_entry, bundle)), directories)

    def _remove_superseded(self, before: int) -> None:
        """Remove the partial tiles that the log's end at `before` entries had, where it moved on.

        Whatever stays because of a crash or an error is only space: an append that comes to the
        same tile removes it.
        """
        size = self.checkpoint.size
        for level in range(tiles.levels(before)):
            number = (before >> HEIGHT * level) // WIDTH
            width = tiles.width_at(level, number, size)
            for kind in (level, "entries") if level == 0 else (level,):
                partial = self.folder / f"{tile_path(kind, number)}.p"
                with suppress(OSError):
                    if width == WIDTH:
                        shutil.rmtree(partial)
                    else:
                        for file in partial.iterdir():
                            if file.name != str(width):
                                file.unlink()


def create_log(folder: Path, signer: NoteSigner) -> None:
    """Make an empty log in `folder`, named as `signer` is; OwnerError if one is there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        with locked(folder):
            if (folder / CHECKPOINT).exists():
                raise OwnerError(
                    f"There is a log in {folder} already, and a log is never begun anew. "
                    "Keep it, or choose another folder and another name for a new one."
                )
            empty = Checkpoint(signer.name, 0, merkle.EMPTY_ROOT)
            write_checkpoint(folder, sign_note(empty.text(), signer))
    except OSError as error:
        raise OwnerError(f"No log can be made in {folder} ({error.strerror}).") from error


@contextmanager
def open_log(folder: Path, signer: NoteSigner) -> Iterator[Log]:
    """Hold the log in `folder` alone, waiting for whoever has it; OwnerError if it is damaged."""
    if not (folder / CHECKPOINT).exists():  # say so, and leave no lock in a folder that is none
        LogReader(folder, signer.verifier)
    with locked(folder):
        yield Log(folder, signer)

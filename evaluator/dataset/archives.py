"""Tiles from a tar archive of class folders, read once from front to back."""

import lzma
import tarfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Self

from evaluator.dataset.decoders import Decoders
from evaluator.dataset.pixels import MAX_BYTES
from evaluator.dataset.problems import Problem, shown
from evaluator.dataset.tiles import PROGRESS_EVERY, File, Kept, Progress, is_litter
from evaluator.errors import OwnerError

_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError)


class _StrictHeader(tarfile.TarInfo):
    """A member's header; a damaged one is an error, where tarfile takes it for the end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed lacks it
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("damaged header") from error


def read_archive(source: Path, decoders: Decoders, progress: Progress) -> Iterator[Kept | Problem]:
    """Yield the tiles of `source`, whose parent folders are the classes.

    The class folders may lie in a folder of their own, as `tar -c DIR` packs them. Links,
    devices and sparse surprises are problems, never followed. Raises OwnerError if `source`
    is no tar archive; one that ends early is a problem that --skip-bad does not mend.
    """
    with source.open("rb") as raw:
        try:
            archive = tarfile.open(fileobj=raw, mode="r|*", tarinfo=_StrictHeader)  # noqa: SIM115 - closed below
        except _DAMAGE as error:
            raise OwnerError(
                f"{source} is neither a folder nor a tar archive (plain, gz, bz2 or xz). "
                "Pack the class folders with tar, or name their folder."
            ) from error
        size = source.stat().st_size
        with archive:
            members = _Members(archive, lambda: progress("reading", raw.tell(), size))
            yield from members.tiles(decoders)
        progress("reading", size, size)


class _Members:
    """The members of an archive, read once. They are decoded some time after they were read."""

    def __init__(self, archive: tarfile.TarFile, tick: Callable[[], None]) -> None:
        self._archive = archive
        self._tick = tick
        self._read: deque[tuple[str, PurePosixPath] | None] = deque()
        self._folders: set[PurePosixPath] = set()

    def tiles(self, decoders: Decoders) -> Iterator[Kept | Problem]:
        """Yield the tiles, and problems for what lies elsewhere or is no tile."""
        root: PurePosixPath | None = None  # the folder of class folders: known with the first tile
        seen: set[PurePosixPath] = set()
        for found in decoders.decode(self._files()):
            file = self._read.popleft()
            if file is None:
                yield found
                continue
            name, path = file
            if root not in {None, path.parent.parent}:
                yield Problem("outside a class folder", name)
            elif path in seen:
                yield Problem("listed twice", name)
            else:
                yield found
                if isinstance(found, Kept):
                    root = path.parent.parent
                    seen.add(path)
        for folder in self._folders - {path.parent for path in seen}:
            if folder.name and folder.parent == root:
                yield Problem("empty class", f"{shown(folder.name)} holds no tile", tiles=None)

    def _files(self) -> Iterator[File | Problem]:
        """Read the files, and note of each what it is: None for what is a problem already."""
        try:
            for count, member in enumerate(self._archive):
                if count % PROGRESS_EVERY == 0:
                    self._tick()
                path = PurePosixPath(member.name)
                if ".." not in path.parts and any(map(is_litter, path.parts)):
                    continue
                if member.isdir():
                    self._folders.add(path)
                    continue
                item = self._file(member, path)
                self._read.append((item.where, path) if isinstance(item, File) else None)
                yield item
        except _DAMAGE:
            self._folders.clear()  # what would have been in them is not known
            self._read.append(None)
            text = "it ends early or is damaged inside; copy or pack it again"
            yield Problem("damaged archive", text, tiles=None)

    def _file(self, member: tarfile.TarInfo, path: PurePosixPath) -> File | Problem:
        name = shown(member.name)
        if not member.isreg():
            return Problem("not a plain file", name)
        if ".." in path.parts or not path.parent.name:
            return Problem("outside a class folder", name)
        file = self._archive.extractfile(member)
        if file is None:  # what extractfile returns for anything that is not a plain file
            return Problem("not a plain file", name)
        return File(name, path.parent.name, None, file.read(min(member.size, MAX_BYTES) + 1))

"""Tiles from a tar archive of class folders, read once from front to back."""

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Self

from evaluator.dataset.decoding import MAX_BYTES
from evaluator.dataset.problems import Problem, shown
from evaluator.dataset.tiles import PROGRESS_EVERY, Progress, Tile, decode_tile, is_litter
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


def read_archive(source: Path, progress: Progress) -> Iterator[Tile | Problem]:
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
        try:
            with archive:
                yield from _read_members(archive, lambda: progress("reading", raw.tell(), size))
        except _DAMAGE:
            text = "it ends early or is damaged inside; copy or pack it again"
            yield Problem("damaged archive", text, tiles=None)
        progress("reading", size, size)


def _read_members(archive: tarfile.TarFile, tick: Callable[[], None]) -> Iterator[Tile | Problem]:
    root: PurePosixPath | None = None  # the folder of class folders: known with the first tile
    seen: set[PurePosixPath] = set()
    folders: list[PurePosixPath] = []
    for count, member in enumerate(archive):
        if count % PROGRESS_EVERY == 0:
            tick()
        path = PurePosixPath(member.name)
        if ".." not in path.parts and any(map(is_litter, path.parts)):
            continue
        if member.isdir():
            folders.append(path)
            continue
        wrong = _misplaced(member, path, root, seen)
        found = Problem(wrong, shown(member.name)) if wrong else _read(archive, member, path)
        if isinstance(found, Tile):
            root = path.parent.parent
            seen.add(path)
        yield found
    for folder in set(folders) - {path.parent for path in seen}:
        if folder.name and folder.parent == root:
            yield Problem("empty class", f"{shown(folder.name)} holds no tile", tiles=None)


def _misplaced(
    member: tarfile.TarInfo,
    path: PurePosixPath,
    root: PurePosixPath | None,
    seen: set[PurePosixPath],
) -> str | None:
    """Say what kind of problem a member is before its bytes are looked at, if it is one."""
    if not member.isreg():
        return "not a plain file"
    if ".." in path.parts or not path.parent.name or root not in {None, path.parent.parent}:
        return "outside a class folder"
    return "listed twice" if path in seen else None


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, path: PurePosixPath) -> Tile | Problem:
    file = archive.extractfile(member)
    if file is None:  # what extractfile returns for anything that is not a plain file
        return Problem("not a plain file", shown(member.name))
    data = file.read(MAX_BYTES + 1)
    return decode_tile(shown(member.name), path.parent.name, None, data)

"""One layer written anew: owners, attributes and privileges dropped, the rest kept or refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from evaluator.intake.refusals import refused
from evaluator.intake.tarstream import Entry, Malformed, Reader, header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.intake.pieces import Writer
    from evaluator.intake.streams import Budget

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"

_BLOCK = 512
_MAX_PATH, _MAX_NAME = 4095, 255  # PATH_MAX and NAME_MAX of linux/limits.h
_LATEST = 2**33  # seconds since 1970; file systems keep no later date
_REFUSED = {"device": "EVA201", "fifo": "EVA201", "sparse": "EVA208"}
# Setuid, setgid and, but for directories such as /tmp, the sticky bit.
_MODES = {"file": 0o777, "hardlink": 0o777, "symlink": 0o777, "directory": 0o1777}


def rewritten(layer: Reader, out: Writer, budget: Budget) -> Iterator[Entry]:
    """Write the members of `layer` to `out` as a plain tar, yielding each once it is written.

    Raises Refused by the rules EVA201 to EVA209. Memory is one integer for each member of a
    layer: under 250 MB for 2,000,000 of them.
    """
    known = _Paths()
    try:
        for entry in layer:
            budget.take_entry()
            if entry.kind == "directory" and entry.name in {"", ".", "./"}:
                continue  # the root's own mode is the engine's
            kept = _sanitised(entry)
            known.add(kept)
            out.write(header(kept))
            if not out.leave(layer.offset, kept.size):
                for chunk in layer.content():
                    out.write(chunk)
            out.write(bytes(-kept.size % _BLOCK))
            yield kept
    except Malformed as error:
        raise refused("EVA209") from error
    out.write(bytes(2 * _BLOCK))
    out.end()


def _sanitised(entry: Entry) -> Entry:
    if entry.kind in _REFUSED:
        raise refused(_REFUSED[entry.kind])
    name = plain_path(entry.name)
    if name is None:
        raise refused("EVA202")
    _require_plain_whiteout(entry, name)
    link = ""
    if entry.kind == "hardlink":
        target = plain_path(entry.link)
        if target is None:
            raise refused("EVA207")
        link = target
    elif entry.kind == "symlink":
        link = entry.link  # followed in the container alone
        if not 0 < len(link) <= _MAX_PATH or "\0" in link:
            raise refused("EVA202")
    return replace(
        entry,
        name=name,
        link=link,
        mode=entry.mode & _MODES[entry.kind],
        mtime=min(entry.mtime, _LATEST),
    )


def plain_path(name: str) -> str | None:
    """`name` without a leading ./ and a trailing slash, or None where it is not plain."""
    name = name.removeprefix("./").removesuffix("/")
    if len(name) > _MAX_PATH or "\0" in name:
        return None
    parts = name.split("/")
    if any(part in {"", ".", ".."} or len(part) > _MAX_NAME for part in parts):
        return None
    return name


def _require_plain_whiteout(entry: Entry, name: str) -> None:
    """A whiteout removes one name beside it, or all of them; anything else of the kind is a trick.

    OCI image spec 1.1, layer.md, "Whiteouts".
    """
    if WHITEOUT not in name:
        return
    *folders, last = name.split("/")
    if any(folder.startswith(WHITEOUT) for folder in folders):
        raise refused("EVA202")
    if not last.startswith(WHITEOUT):
        return
    removed = last.removeprefix(WHITEOUT)
    plain = last == OPAQUE or not re.match(r"\.wh\.|\.{0,2}$", removed)
    if not plain or entry.kind != "file" or entry.size:
        raise refused("EVA202")


class _Paths:
    """What one layer holds at which path, by hash: the names would not fit in memory.

    A path that changes its kind in the middle of a layer is refused: whether what lower layers
    have there shows again is not the same in every engine.
    """

    def __init__(self) -> None:
        self._kinds: dict[int, str] = {}
        self._checked = ""  # the folder that the last member was in

    def add(self, entry: Entry) -> None:
        """Take a member, unless it or what it links to lies behind something of this layer."""
        folder, _, name = entry.name.rpartition("/")
        if folder != self._checked:
            if self._behind(folder):
                raise refused("EVA202")
            self._checked = folder
        if entry.kind == "hardlink":
            file = self._kinds.get(hash(entry.link)) == "file"
            if not file or self._behind(entry.link.rpartition("/")[0]):
                raise refused("EVA207")
        if name == OPAQUE:
            return
        path: str = entry.name
        kind: str = "file" if entry.kind == "hardlink" else entry.kind
        if name.startswith(WHITEOUT):
            path, kind = f"{folder}/{name.removeprefix(WHITEOUT)}".lstrip("/"), "whiteout"
        self._set(hash(path), kind)

    def _set(self, path: int, kind: str) -> None:
        before = self._kinds.get(path, kind)
        if before != kind and ("whiteout" in {before, kind} or kind == "directory"):
            raise refused("EVA202")
        self._kinds[path] = kind
        if kind != "directory":
            self._checked = ""  # it may stand in the way of what comes next

    def _behind(self, folder: str) -> bool:
        """Whether a directory on the way is none in this layer."""
        while folder:
            if self._kinds.get(hash(folder), "directory") != "directory":
                return True
            folder = folder.rpartition("/")[0]
        return False

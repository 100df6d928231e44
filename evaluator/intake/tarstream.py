"""The headers of a hostile tar, one at a time, and the plain headers that replace them.

tarfile keeps every member in memory, reads extended headers of any size, and takes a
damaged header for the end. Layouts: POSIX.1-2017, pax, "ustar Interchange Format" and "pax
Header Block", and the GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import struct
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["file", "directory", "symlink", "hardlink", "device", "fifo", "sparse"]

_BLOCK = 512
_CHUNK = 2**18
_MAX_EXTENDED = 2**20  # bytes; Linux keeps at most 64 KiB for each attribute of a file
_MAX_IN_A_ROW = 4  # extended headers for one member: path, link, and a global one
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_PLAIN = struct.Struct("100s48s8sc100s8s247x")  # the same, with its five numbers as one
_LONGEST, _BEYOND_OCTAL = 100, 8**11
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "device",
    b"4": "device",
    b"5": "directory",
    b"6": "fifo",
    b"S": "sparse",
}
_TYPES = {
    "file": tarfile.REGTYPE,
    "hardlink": tarfile.LNKTYPE,
    "symlink": tarfile.SYMTYPE,
    "directory": tarfile.DIRTYPE,
}


class Malformed(Exception):  # noqa: N818 - a finding about a file, not a fault of ours
    """The bytes are no tar."""


class Stream(Protocol):
    """What a tar is read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, and none only at the end."""

    def skip(self, size: int, /) -> bool:
        """Pass over bytes; False where they are not there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: `size` and `mtime` in bytes and seconds; owners and attributes are not read."""

    name: str
    kind: Kind
    mode: int = 0o755
    size: int = 0
    mtime: int = 0
    link: str = ""


class Reader:
    """The members of a tar in order; the content of the last one may be read before the next.

    Malformed is raised for whatever is no tar, a damaged header in the middle included. The stream
    is read ahead: `offset` is how much of it was used, a member's header included.
    """

    def __init__(self, stream: Stream) -> None:
        self.offset = 0
        self._stream, self._left, self._padding = stream, 0, 0
        self._ahead, self._used = b"", 0  # what was read, and how much of that is behind us

    def __iter__(self) -> Iterator[Entry]:
        """Each member once."""
        while (entry := self._next()) is not None:
            self._left, self._padding = entry.size, -entry.size % _BLOCK
            yield entry
            self._skip(self._left + self._padding)

    def content(self) -> Iterator[bytes]:
        """What is left of the last member's content."""
        while self._left:
            chunk = self._some(min(self._left, _CHUNK))
            if not chunk:
                raise Malformed
            self._left -= len(chunk)
            yield chunk

    def _next(self) -> Entry | None:
        """The next member, with what the extended headers before it say of it."""
        said: dict[str, str] = {}
        for _ in range(_MAX_IN_A_ROW + 1):
            block = self._exactly(_BLOCK)
            if not block.strip(b"\0"):  # the end, in a block of zeros or without one
                return None
            fields = _checked(block)
            kind, size = fields[7], _number(fields[4])
            if kind in {b"x", b"g", b"L", b"K"}:
                said |= _extended(kind, self._document(size))
            else:
                return _entry(fields, said)
        raise Malformed

    def _document(self, size: int) -> bytes:
        if size > _MAX_EXTENDED:
            raise Malformed
        content = self._exactly(size)
        if len(content) != size:
            raise Malformed
        self._skip(-size % _BLOCK)
        return content

    def _exactly(self, size: int) -> bytes:
        """`size` bytes, or none at the end."""
        parts, left = [], size
        while left and (chunk := self._some(left)):
            parts.append(chunk)
            left -= len(chunk)
        if left not in {0, size}:
            raise Malformed
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _some(self, size: int) -> bytes:
        """At most `size` bytes; none only at the end."""
        if self._used == len(self._ahead):
            self._ahead, self._used = self._stream.read(_CHUNK), 0
        chunk = self._ahead[self._used : self._used + size]
        self._used += len(chunk)
        self.offset += len(chunk)
        return chunk

    def _skip(self, size: int) -> None:
        ahead = min(size, len(self._ahead) - self._used)
        self._used += ahead
        self.offset += size
        if size > ahead and not self._stream.skip(size - ahead):
            raise Malformed


def _checked(block: bytes) -> tuple[bytes, ...]:
    """The fields of a header whose checksum is right."""
    fields = _HEADER.unpack(block)
    used = block.translate(None, b"\0")  # a third of the time, most of it being zeros
    if sum(used) - sum(fields[6]) + 8 * ord(" ") != _number(fields[6]):
        raise Malformed
    return fields


def _number(field: bytes) -> int:
    """Octal digits, or base 256 where the first bit is set; negative ones have no use here."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise Malformed
    return int(digits or b"0", 8)


def _time(field: bytes) -> int:
    """A date that says something: before 1970 is 1970."""
    return 0 if field[:1] == b"\xff" else _number(field)


def _extended(kind: bytes, content: bytes) -> dict[str, str]:
    """What an extended header says of the next member; of all members, nothing is heard."""
    if kind == b"x":
        return _pax(content)
    key = {b"L": "path", b"K": "linkpath"}.get(kind)
    return {key: _text(content.partition(b"\0")[0])} if key else {}


def _pax(content: bytes) -> dict[str, str]:
    """Records of "length key=value" and a newline; what names or measures the member is kept."""
    said = {}
    while content:
        length, space, _ = content.partition(b" ")
        if not space or not length.isdigit() or len(length) > 7:
            raise Malformed
        record, content = content[: int(length)], content[int(length) :]
        key, equals, value = record[len(length) + 1 : -1].partition(b"=")
        if not equals or record[-1:] != b"\n":
            raise Malformed
        if key in {b"path", b"linkpath", b"size", b"mtime"} or key.startswith(b"GNU.sparse"):
            said[_text(key)] = _text(value)
    return said


def _entry(fields: tuple[bytes, ...], said: dict[str, str]) -> Entry:
    kind = _KINDS.get(fields[7])
    if kind is None:
        raise Malformed
    name = said.get("path") or _name(fields)
    if fields[7] == b"\0" and name.endswith("/"):  # as before POSIX
        kind = "directory"
    if any(key.startswith("GNU.sparse") for key in said):
        kind = "sparse"
    return Entry(
        name,
        kind,
        mode=_number(fields[1]),
        size=_size(fields, said) if kind == "file" else 0,  # others have no content (pax, as Go)
        mtime=_seconds(said["mtime"]) if "mtime" in said else _time(fields[5]),
        link=said.get("linkpath") or _text(fields[8].partition(b"\0")[0]),
    )


def _name(fields: tuple[bytes, ...]) -> str:
    name = fields[0].partition(b"\0")[0]
    prefix = fields[14].partition(b"\0")[0] if fields[9][:6] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _size(fields: tuple[bytes, ...], said: dict[str, str]) -> int:
    if "size" not in said:
        return _number(fields[4])
    if not (said["size"].isascii() and said["size"].isdigit() and len(said["size"]) < 20):
        raise Malformed
    return int(said["size"])


def _seconds(text: str) -> int:
    whole = text.partition(".")[0]
    return int(whole) if whole.isascii() and whole.isdigit() and len(whole) < 12 else 0


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def header(entry: Entry) -> bytes:
    """The header of a member that belongs to root and has neither attributes nor an owner's name.

    In GNU's format, which has names and sizes of any length. The common case is written here:
    tarfile takes five times as long, for each of a hundred thousand files.
    """
    name, link = (text.encode("utf-8", "surrogateescape") for text in (entry.name, entry.link))
    if entry.kind == "directory" and not name.endswith(b"/"):
        name += b"/"
    if max(len(name), len(link)) > _LONGEST or max(entry.size, entry.mtime) >= _BEYOND_OCTAL:
        return _long_header(entry)
    fields = (entry.mode & 0o7777, 0, 0, entry.size, entry.mtime)
    numbers, kind = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % fields, _TYPES[entry.kind]
    checksum = sum(name + numbers + kind + link + tarfile.GNU_MAGIC) + 8 * ord(" ")
    return _PLAIN.pack(name, numbers, b"%06o\0 " % checksum, kind, link, tarfile.GNU_MAGIC)


def _long_header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.type, info.mode, info.mtime = _TYPES[entry.kind], entry.mode, entry.mtime
    info.size, info.linkname = entry.size, entry.link
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")

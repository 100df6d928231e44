"""The tar reader against Python's own, and against damage."""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.intake.streams import Region
from evaluator.intake.tarstream import Entry, Malformed, Reader, header

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "device",
    tarfile.FIFOTYPE: "fifo",
}
NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=1000, exclude_characters="/"),
    min_size=1,
    max_size=300,
)


def read(raw: bytes) -> list[tuple[Entry, bytes]]:
    """Every entry with its content."""
    descriptor = os.memfd_create("tar")
    try:
        os.write(descriptor, raw)
        reader = Reader(Region(descriptor, 0, len(raw)))
        return [(entry, b"".join(reader.content())) for entry in reader]
    finally:
        os.close(descriptor)


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    """Any member that Python's tarfile can write."""
    info = tarfile.TarInfo("/".join(draw(st.lists(NAMES, min_size=1, max_size=3))))
    info.type = draw(st.sampled_from(list(KINDS)))
    content = draw(st.binary(max_size=1100)) if info.type == tarfile.REGTYPE else b""
    info.size, info.mode = len(content), draw(st.integers(0, 0o7777))
    info.mtime = draw(st.integers(0, 2**33))
    linked = info.type in {tarfile.SYMTYPE, tarfile.LNKTYPE}
    info.linkname = draw(NAMES) if linked else ""
    return info, content


@given(
    st.lists(members(), max_size=5),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_what_tarfile_writes_is_read(
    written: list[tuple[tarfile.TarInfo, bytes]], layout: int
) -> None:
    """Names, links, kinds, modes, dates and contents, in both layouts with long names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
        for info, content in written:
            archive.addfile(info, io.BytesIO(content))
    found = read(buffer.getvalue())

    assert [(e.name.rstrip("/"), e.kind, e.mode, e.mtime, e.link, c) for e, c in found] == [
        (i.name, KINDS[i.type], i.mode, i.mtime, i.linkname, c) for i, c in written
    ]


@given(st.lists(members(), max_size=5))
def test_what_is_written_anew_tarfile_reads(
    written: list[tuple[tarfile.TarInfo, bytes]],
) -> None:
    """The other way round: an independent reader finds the same members."""
    kept = [(i, c) for i, c in written if i.type not in {tarfile.CHRTYPE, tarfile.FIFOTYPE}]
    raw = b""
    for info, content in kept:
        kind = KINDS[info.type]
        entry = Entry(info.name, kind, info.mode, info.size, int(info.mtime), info.linkname)  # type: ignore[arg-type]
        raw += header(entry) + content + bytes(-len(content) % 512)
    with tarfile.open(fileobj=io.BytesIO(raw + bytes(1024))) as archive:
        found = archive.getmembers()

    assert [(m.name, m.type, m.mode, m.size, m.mtime, m.linkname, m.uid) for m in found] == [
        (i.name, i.type, i.mode, i.size, i.mtime, i.linkname, 0) for i, _ in kept
    ]


@given(
    st.builds(
        Entry,
        st.text("aé/", max_size=103),
        st.sampled_from(["file", "directory", "symlink", "hardlink"]),
        st.integers(0, 0o7777),
        st.integers(0, 2**40),
        st.integers(0, 2**40),
        st.text("aé/", max_size=103),
    )
)
def test_a_header_is_the_one_that_tarfile_writes(entry: Entry) -> None:
    """Byte by byte, on both sides of what its fields can hold."""
    info = tarfile.TarInfo(entry.name)
    info.type = next(kind for kind, name in KINDS.items() if name == entry.kind)
    info.mode, info.size, info.mtime = entry.mode, entry.size, entry.mtime
    info.linkname = entry.link

    assert header(entry) == info.tobuf(tarfile.GNU_FORMAT)


def test_a_ustar_name_is_read_with_its_prefix() -> None:
    """POSIX's own way to a long name."""
    name = "p" * 100 + "/" + "n" * 90
    (found,) = read(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))

    assert found[0].name == name


ONE = tarfile.TarInfo("one").tobuf(tarfile.GNU_FORMAT)


def extended(kind: bytes, content: bytes) -> bytes:
    """An extended header of any content."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def resealed(block: bytes, offset: int, value: bytes) -> bytes:
    """A header with other bytes and a right checksum."""
    block = block[:offset] + value + block[offset + len(value) :]
    plain = block[:148] + b" " * 8 + block[156:]
    return plain[:148] + b"%06o\0 " % sum(plain) + plain[156:]


DAMAGED: dict[str, Callable[[], bytes]] = {
    "garbage": lambda: b"x" * 512,
    "garbage in the middle": lambda: ONE + b"x" * 512 + ONE,
    "half a header": lambda: ONE[:300],
    "a wrong checksum": lambda: ONE[:10] + b"x" + ONE[11:],
    "a size that is no number": lambda: resealed(ONE, 124, b"9" * 11),
    "a negative size": lambda: resealed(ONE, 124, b"\xff" * 12),
    "more content than bytes": lambda: resealed(ONE, 124, b"00000001000\0"),
    "content of 2**80": lambda: resealed(ONE, 124, b"\x80\1" + bytes(10)),
    "an unknown kind": lambda: resealed(ONE, 156, b"Q"),
    "a record without a length": lambda: extended(b"x", b"path=a\n") + ONE,
    "a record that is too short": lambda: extended(b"x", b"3 path=a\n") + ONE,
    "a record of no length": lambda: extended(b"x", b"0 path=a\n") + ONE,
    "a size in words": lambda: extended(b"x", b"12 size=-10\n") + ONE,
    "a long extended header": lambda: extended(b"x", b"x" * (2**20 + 1)) + ONE,
    "extended headers without end": lambda: extended(b"L", b"a\0") * 9 + ONE,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_tar_is_malformed(name: str) -> None:
    """Never a shorter list of members, as tarfile gives for damage in the middle."""
    with pytest.raises(Malformed):
        read(DAMAGED[name]())


def test_an_extended_header_of_the_archive_is_passed_over() -> None:
    """`git archive` writes one; it cannot rename what follows."""
    assert read(extended(b"g", b"11 path=xx\n") + ONE)[0][0].name == "one"
    assert read(extended(b"x", b"11 path=xx\n") + ONE)[0][0].name == "xx"
    assert len(read(ONE)) == len(read(ONE + bytes(1024))) == 1


@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_malformed(raw: bytes) -> None:
    """Nothing else comes out of hostile bytes."""
    with suppress(Malformed):
        read(raw)

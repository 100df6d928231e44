"""What is read without tifffile has the pixels that tifffile finds, and all else is left to it."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.dataset.decoding import decode
from evaluator.dataset.geotiff import read_tiff
from evaluator.dataset.pixels import Pixels, TileError, as_tile
from evaluator.dataset.plain_tiff import read_plain_tiff

RANDOM = np.random.default_rng(11)
DEEP = RANDOM.integers(0, 65536, (8, 6, 13), dtype=np.uint16)
GREY = RANDOM.integers(0, 256, (8, 6), dtype=np.uint8)

# As GDAL writes them: a pixel's size, a place on earth and its system, notes, and what is no value.
GEO = [
    (33550, "d", 3, (10.0, 10.0, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), True),
    (34735, "H", 8, (1, 1, 0, 1, 1024, 0, 1, 1), True),
    (34737, "s", 0, "WGS 84 / UTM zone 33N|", True),
    (42112, "s", 0, "<GDALMetadata></GDALMetadata>", True),
    (42113, "s", 0, "-9999", True),
]
BARE: dict[str, Any] = {"metadata": None, "software": False}


def tiff(pixels: Pixels, **options: Any) -> bytes:  # noqa: ANN401 - tifffile's own keywords
    """Return an array as a TIFF file."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **{"photometric": "minisblack", **options})
    return buffer.getvalue()


PLAIN = {
    "of tifffile": tiff(DEEP, planarconfig="contig"),
    "of GDAL": tiff(DEEP, planarconfig="contig", rowsperstrip=3, extratags=GEO, **BARE),
    "band by band": tiff(DEEP.transpose(2, 0, 1), planarconfig="separate", rowsperstrip=3, **BARE),
    "grey": tiff(GREY),
    "RGB": tiff(np.dstack([GREY] * 3), photometric="rgb"),
    "float": tiff(DEEP[:, :, 0].astype(np.float32), extratags=GEO),
    "with a resolution and a date": tiff(GREY, resolution=(300, 300), datetime=True),
}


def two_pages() -> bytes:
    """A second page beside the first."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(GREY, photometric="minisblack")
        writer.write(GREY, photometric="minisblack")
    return buffer.getvalue()


ODD = {
    "compressed": tiff(DEEP, planarconfig="contig", compression="zlib"),
    "big-endian": tiff(DEEP, planarconfig="contig", byteorder=">"),
    "BigTIFF": tiff(DEEP, planarconfig="contig", bigtiff=True),
    "in squares": tiff(DEEP, planarconfig="contig", tile=(16, 16)),
    "of two pages": two_pages(),
    "a reduced copy": tiff(GREY, subfiletype=1),
    "inverted": tiff(GREY, photometric="miniswhite"),
    "of wider numbers": tiff(DEEP.astype(np.int32), planarconfig="contig"),
    "with a tag of its own": tiff(GREY, extratags=[(65000, "H", 1, 1, True)]),
    "of a microscope": tiff(GREY, description="state.frames=2", **BARE),
    "of another program": tiff(GREY, software="SI.LSM", metadata=None),
    "no TIFF": b"\x89PNG\r\n\x1a\n",
    "empty": b"",
}


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_file_is_read_as_tifffile_reads_it(kind: str) -> None:
    """What common tools write is plain, and has the pixels that it had."""
    pixels = read_plain_tiff(PLAIN[kind])

    assert pixels is not None
    expected = as_tile(read_tiff(PLAIN[kind]))
    assert (pixels.dtype, pixels.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(pixels, expected)
    assert np.array_equal(decode(PLAIN[kind]), expected)


@pytest.mark.parametrize("kind", ODD)
def test_odd_file_is_left_to_tifffile(kind: str) -> None:
    """Whatever differs from the plain form is nothing to guess at."""
    assert read_plain_tiff(ODD[kind]) is None


def test_file_that_ends_too_early_is_never_plain() -> None:
    """No pixel is made up for what is missing, wherever tags and pixels lie in the file."""
    for data in PLAIN.values():
        assert all(read_plain_tiff(data[:length]) is None for length in range(_needed(data)))


def _needed(data: bytes) -> int:
    """The length of the part of a file that holds its tags and pixels."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        tags = [tag.valueoffset + tag.valuebytecount for tag in page.tags]
        ends = [at + size for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
    return max(tags + ends)


def agree(data: bytes) -> bool:
    """Say whether a file is plain; where it is, tifffile must read the same."""
    pixels = read_plain_tiff(data)
    if pixels is None:
        return False
    ours, theirs = result(lambda: pixels), result(lambda: read_tiff(data))
    assert ours == theirs
    return True


def result(read: Callable[[], Pixels]) -> tuple[object, ...]:
    """Return all of a tile, or its problem."""
    try:
        tile = as_tile(read())
    except TileError as error:
        return error.kind, error.reason
    return tile.dtype, tile.shape, tile.tobytes()


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([*PLAIN.values(), *ODD.values()]),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=4),
    st.integers(0, 3000),
)
def test_damaged_file_is_left_or_read_as_tifffile_reads_it(
    data: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    """No damage has the short way see other pixels, or none where there is a problem to tell."""
    damaged = bytearray(data[: len(data) - cut] if cut < 100 else data)
    for position, value in changes if damaged else []:
        damaged[position % len(damaged)] = value
    agree(bytes(damaged))


numbers = st.sampled_from([0, 1, 2, 3, 4, 6, 8, 13, 16, 32, 48, 624, 65535, 2**31, 2**32 - 1])


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from([*PLAIN]), st.data())
def test_tags_that_lie_are_left_or_read_as_tifffile_reads_them(
    kind: str, data: st.DataObject
) -> None:
    """A code, type, count or value that is another never leads to other pixels than tifffile's."""
    lying = bytearray(PLAIN[kind])
    at = struct.unpack_from("<I", lying, 4)[0]
    count = struct.unpack_from("<H", lying, at)[0]
    for _ in range(data.draw(st.integers(1, 3))):
        entry = at + 2 + 12 * data.draw(st.integers(0, count - 1))
        field, form = data.draw(st.sampled_from([(0, "<H"), (2, "<H"), (4, "<I"), (8, "<I")]))
        codes = st.sampled_from([254, 258, 266, 270, 274, 284, 317, 322, 330, 338, 339, 34735])
        kinds = st.integers(0, 18)
        value = data.draw({0: codes, 2: kinds}.get(field, numbers))
        struct.pack_into(form, lying, entry + field, value)
    agree(bytes(lying))


@pytest.mark.parametrize("kind", PLAIN)
def test_files_that_are_compared_are_plain(kind: str) -> None:
    """The control of the two above: what they change is read the short way before they do."""
    assert agree(PLAIN[kind])

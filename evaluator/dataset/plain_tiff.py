"""The plain TIFF, read at once: one page of whole bands, in one piece and not compressed.

It is what most tools write unless they are asked for more, and tifffile, made for every TIFF
there is, takes ten times as long over its tags. Nothing is guessed: a file with a tag that is not
listed here, or in anything not as expected, is left to tifffile, where problems are found and told.
What is read here has the same pixels there.
"""

import re
import struct
from math import ceil

import numpy as np

from evaluator.dataset.pixels import Pixels

_ASCII, _SHORT, _LONG, _RATIONAL, _DOUBLE = 2, 3, 4, 5, 12
_BYTES = {_ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, _DOUBLE: 8}

# Tags that say what the pixels are and where (TIFF 6.0, section 8).
_WIDTH, _HEIGHT, _BANDS, _BITS, _FORMAT = 256, 257, 277, 258, 339
_PLANAR, _ROWS, _OFFSETS, _SIZES = 284, 278, 273, 279
_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _PREDICTOR = 254, 259, 262, 266, 317
_NUMBERS = {
    _WIDTH: (_SHORT, _LONG),
    _HEIGHT: (_SHORT, _LONG),
    _BANDS: (_SHORT,),
    _BITS: (_SHORT,),
    _FORMAT: (_SHORT,),
    _PLANAR: (_SHORT,),
    _ROWS: (_SHORT, _LONG),
    _OFFSETS: (_SHORT, _LONG),
    _SIZES: (_SHORT, _LONG),
    _SUBFILE: (_LONG,),
    _COMPRESSION: (_SHORT,),
    _PHOTOMETRIC: (_SHORT,),
    _FILL_ORDER: (_SHORT,),
    _PREDICTOR: (_SHORT,),
}
# Tags that change no pixel: orientation, resolution and its unit, a date, what further bands are,
# where on earth this is, and GDAL's notes.
_IGNORED = {
    274: _SHORT,
    282: _RATIONAL,
    283: _RATIONAL,
    296: _SHORT,
    306: _ASCII,
    338: _SHORT,
    33550: _DOUBLE,
    33922: _DOUBLE,
    34264: _DOUBLE,
    34735: _SHORT,
    34736: _DOUBLE,
    34737: _ASCII,
    42112: _ASCII,
    42113: _ASCII,
}
# By a description or the name of a software tifffile may take a file for one of a microscope. Not
# by these, which are its own.
_TEXTS = {270: re.compile(rb'\{"shape": \[[0-9, ]+\]\}\0*'), 305: re.compile(rb"tifffile\.py\0*")}
_KINDS = {**_NUMBERS, **{code: (kind,) for code, kind in _IGNORED.items()}}
_KINDS |= dict.fromkeys(_TEXTS, (_ASCII,))

_DTYPES = {(8, 1): "u1", (16, 1): "<u2", (32, 3): "<f4"}
_MOST_TAGS, _MOST_STRIPS = 64, 4096

_Tags = dict[int, tuple[int, ...]]


class _OddError(Exception):
    """A file that is not plain."""


def read_plain_tiff(data: bytes) -> Pixels | None:
    """Return the pixels of a plain TIFF as a view of `data`, or None for any other bytes.

    (H, W) if it has one band, else (H, W, C).
    """
    try:
        return _pixels(data, _read_tags(data))
    except _OddError:
        return None


def _need(plain: bool) -> None:  # noqa: FBT001 - as an assert has no keyword
    if not plain:
        raise _OddError


def _read_tags(data: bytes) -> _Tags:
    """Return the numbers of each tag of the one page that there must be."""
    _need(data.startswith(b"II*\0"))
    at = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[at : at + 2], "little")
    end = at + 2 + 12 * count
    _need(at >= 8 and count <= _MOST_TAGS)
    _need(data[end : end + 4] == bytes(4))  # else another page follows, or the file ends
    found: _Tags = {}
    last = 0
    for code, kind, number, value in struct.iter_unpack("<HHI4s", data[at + 2 : end]):
        _need(code > last)  # they are in order, and none comes twice
        last = code
        _need(kind in _KINDS.get(code, ()))
        size, start = number * _BYTES[kind], int.from_bytes(value, "little")
        _need(size <= 4 or 8 <= start <= len(data) - size)
        if code in _IGNORED:
            continue
        content = data[start : start + size] if size > 4 else value[:size]
        if code in _NUMBERS:
            found[code] = struct.unpack(f"<{number}{'H' if kind == _SHORT else 'I'}", content)
        else:
            _need(_TEXTS[code].fullmatch(content) is not None)
    return found


def _pixels(data: bytes, tags: _Tags) -> Pixels:
    """Return the pixels where the tags are those of an array that this program takes."""
    height, width, bands = (_one(tags, code) for code in (_HEIGHT, _WIDTH, _BANDS))
    _need(height > 0 and width > 0 and bands > 0)
    _need(_one(tags, _COMPRESSION) == 1 and _one(tags, _PHOTOMETRIC) in {1, 2})
    _need(_one(tags, _SUBFILE, 0) == 0)
    _need(_one(tags, _FILL_ORDER, 1) == 1 and _one(tags, _PREDICTOR, 1) == 1)
    planar = _one(tags, _PLANAR, 1)
    _need(planar == 1 or (planar == 2 and bands > 1))
    bits, kinds = tags.get(_BITS, ()), tags.get(_FORMAT, (1,) * bands)
    _need(len(bits) == len(kinds) == bands and len({*bits}) == len({*kinds}) == 1)
    _need((bits[0], kinds[0]) in _DTYPES)
    dtype = np.dtype(_DTYPES[bits[0], kinds[0]])
    planes = bands if planar == 2 else 1
    row = width * bands // planes * dtype.itemsize
    start = _start(tags, height, row, planes)
    _need(8 <= start <= len(data) - height * row * planes)
    pixels: Pixels = np.frombuffer(data, dtype, height * width * bands, start)
    if planar == 2:
        return np.moveaxis(pixels.reshape(bands, height, width), 0, -1)
    return pixels.reshape((height, width, bands) if bands > 1 else (height, width))


def _start(tags: _Tags, height: int, row: int, planes: int) -> int:
    """Return where the strips begin, which are all there and follow on each other.

    Each plane has strips of `height` rows of `row` bytes together.
    """
    rows = min(_one(tags, _ROWS), height)
    offsets, sizes = tags.get(_OFFSETS, ()), tags.get(_SIZES, ())
    _need(rows > 0 and 0 < len(offsets) == len(sizes) <= _MOST_STRIPS)
    full = ceil(height / rows) - 1
    _need((full + 1) * planes == len(sizes))
    _need(sizes == (*((rows * row,) * full), (height - rows * full) * row) * planes)
    ends = (start + size for start, size in zip(offsets, sizes, strict=True))
    _need(all(end == start for end, start in zip(ends, offsets[1:], strict=False)))
    return offsets[0]


def _one(tags: _Tags, code: int, default: int | None = None) -> int:
    """Return a tag's only number, or `default` where there is no such tag."""
    values = tags.get(code, () if default is None else (default,))
    _need(len(values) == 1)
    return values[0]

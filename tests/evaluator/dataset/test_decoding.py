"""Image files become pixels, or one TileError; nothing else of a file survives."""

import io
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evaluator.dataset.decoding import decode, to_grey
from evaluator.dataset.pixels import MAX_BYTES, Pixels, TileError, as_tile

RANDOM = np.random.default_rng(7)
RGB = RANDOM.integers(0, 256, (8, 6, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (8, 6), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (8, 6), dtype=np.uint16)


def png(image: Image.Image, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own keywords
    """Return an image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def tiff(pixels: np.ndarray, **options: Any) -> bytes:  # noqa: ANN401 - tifffile's own keywords
    """Return an array as a TIFF file."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **{"photometric": "minisblack", **options})
    return buffer.getvalue()


@pytest.mark.parametrize("pixels", [GREY, RGB, np.dstack([RGB, GREY]), DEEP])
def test_png_keeps_every_pixel(pixels: np.ndarray) -> None:
    """Grey, RGB, RGBA and 16-bit grey PNGs decode to the array they were written from."""
    decoded = decode(png(Image.fromarray(pixels)))

    assert pixels.dtype == decoded.dtype
    assert np.array_equal(pixels, decoded)


def test_palette_png_becomes_rgb_and_bitmap_grey() -> None:
    """Indexes into a palette are no pixel values, and one bit is grey of two values."""
    palette = Image.fromarray(RGB).quantize(16)
    bitmap = Image.fromarray(GREY).convert("1")

    assert np.array_equal(np.asarray(palette.convert("RGB")), decode(png(palette)))
    assert np.array_equal(np.asarray(bitmap.convert("L")), decode(png(bitmap)))


def test_jpeg_decodes_as_pillow_does_without_its_orientation() -> None:
    """A JPEG's EXIF orientation does not turn it: pixels stay where the sensor had them."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG", exif=exif)

    assert decode(buffer.getvalue()).shape == RGB.shape


def jpeg(image: Image.Image, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own keywords
    """Return an image as a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def by_pillow(data: bytes) -> Pixels:
    """What Pillow makes of a JPEG."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@st.composite
def photos(draw: st.DrawFn) -> bytes:
    """JPEG files of every plain kind."""
    kinds: list[dict[str, Any]] = [{"subsampling": 0}, {"subsampling": 2}, {"keep_rgb": True}, {}]
    colours = draw(st.sampled_from(kinds))
    comment = draw(st.sampled_from([b"", b"\xff\xd9\xff\xc0 no header of a frame"]))
    options: dict[str, Any] = {name: draw(st.booleans()) for name in ("progressive", "optimize")}
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)))
    noise = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 256, size, np.uint8)
    grey = not colours and draw(st.booleans())
    return jpeg(
        Image.fromarray(noise).convert("L" if grey else "RGB"),
        quality=draw(st.integers(1, 100)),
        restart_marker_blocks=draw(st.integers(0, 3)),
        comment=comment,
        **colours,
        **options,
    )


@settings(max_examples=300, deadline=None)
@given(photos())
def test_jpeg_is_exactly_pillows(data: bytes) -> None:
    """The quicker way to the pixels leads to the same ones."""
    assert np.array_equal(by_pillow(data), decode(data))


@settings(max_examples=500, deadline=None)
@given(photos(), st.lists(st.tuples(st.integers(2, 4000), st.integers(0, 255)), max_size=3))
def test_damaged_jpeg_is_refused_or_what_pillow_makes_of_it(
    data: bytes, changes: list[tuple[int, int]]
) -> None:
    """No damage has the quicker way see other pixels than the one that everybody knows."""
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % (len(damaged) - 2) + 2] = value
    with suppress(TileError):
        decoded = decode(bytes(damaged))
        with suppress(OSError):  # Pillow finds fault with more of what stands around the pixels
            assert np.array_equal(by_pillow(bytes(damaged)), decoded)


@settings(max_examples=300, deadline=None)
@given(photos(), st.data())
def test_jpeg_that_ends_too_early_is_corrupt(data: bytes, draw: st.DataObject) -> None:
    """Grey in place of what is missing is never taken for pixels."""
    cut = data[: draw.draw(st.integers(3, len(data) - 1))]

    with pytest.raises(TileError) as error:
        decode(cut)
    assert error.value.kind == "corrupt"


def by_codec(data: bytes) -> Pixels | None:
    """What the codec alone makes of a JPEG, if anything."""
    try:
        return imagecodecs.jpeg8_decode(data)
    except imagecodecs.Jpeg8Error:
        return None


def test_codec_alone_fills_up_what_is_missing() -> None:
    """The control of the one before: without the look at the end marker a part would pass."""
    data = jpeg(Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)))

    assert by_codec(data[: len(data) // 2]) is not None


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("bands", [1, 3, 13])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits"])
def test_tiff_keeps_every_pixel(
    dtype: str, bands: int, planar: str, byteorder: str, compression: str | None
) -> None:
    """Bands come last, however the file orders them, its bytes and its compression."""
    pixels = RANDOM.integers(0, 256, (8, 6, bands)).astype(dtype)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    options = {"planarconfig": planar} if bands > 1 else {}
    stored = stored if bands > 1 else pixels[:, :, 0]
    data = tiff(stored, byteorder=byteorder, compression=compression, **options)

    decoded = decode(data)

    assert dtype == decoded.dtype.name
    assert np.array_equal(pixels if bands > 1 else pixels[:, :, 0], decoded)


def test_tiff_overview_is_not_a_second_tile() -> None:
    """A reduced copy beside the image, as GDAL adds them, is passed over."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(DEEP, photometric="minisblack")
        writer.write(DEEP[::2, ::2], photometric="minisblack", subfiletype=1)

    assert np.array_equal(DEEP, decode(buffer.getvalue()))


@settings(max_examples=500)
@given(st.integers(0, 8 * len(png(Image.fromarray(RGB))) - 1))
def test_flipped_bit_of_a_png_never_changes_a_pixel(bit: int) -> None:
    """A PNG carries checksums, and they are looked at: no damage passes for an image."""
    damaged = bytearray(png(Image.fromarray(RGB)))
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        pixels = decode(bytes(damaged))
    except TileError:
        return

    assert np.array_equal(RGB, pixels)


BAD = {
    "not an image": b"label,file\n",
    "corrupt": png(Image.fromarray(RGB))[:-40],
    "dtype": tiff(GREY.astype(np.int32)),
    "bands": tiff(np.zeros((8, 6, 14), np.uint8), planarconfig="contig"),
    "not finite": tiff(np.full((8, 6), np.nan, np.float32)),
    "pages": tiff(np.zeros((2, 8, 6), np.uint8)),
    "mode": tiff(GREY, photometric="miniswhite"),
    "compression": tiff(GREY, compression="jpeg"),
    "too large": png(Image.new("L", (8192, 8192))),
}


@pytest.mark.parametrize("kind", BAD)
def test_unusable_file_is_a_tile_error_of_its_kind(kind: str) -> None:
    """Each way of being unusable has its own name."""
    with pytest.raises(TileError) as error:
        decode(BAD[kind])

    assert kind == error.value.kind


def test_cmyk_and_deep_colour_are_refused_rather_than_degraded() -> None:
    """What Pillow would convert with a loss is refused."""
    buffer = io.BytesIO()
    Image.fromarray(RGB).convert("CMYK").save(buffer, "JPEG")
    rows = b"".join(b"\0" + bytes(6 * 2 * 3) for _ in range(8))
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 6, 8, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    deep = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )

    assert Image.open(io.BytesIO(deep)).mode == "RGB"  # the control: Pillow would take it
    for data in (buffer.getvalue(), deep):
        with pytest.raises(TileError) as error:
            decode(data)
        assert error.value.kind == "mode"


def test_jpeg_bomb_is_refused_by_its_header() -> None:
    """Neither its own frame header nor a second one gets memory for what they announce."""
    data = bytearray(jpeg(Image.fromarray(RGB)))
    at = data.index(b"\xff\xc0") + 5
    huge = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    second = data[: at - 5] + data[at - 5 : at + 14] + huge[at - 5 :]

    kinds = []
    for each in (huge, second):
        with pytest.raises(TileError) as error:
            decode(bytes(each))
        kinds.append(error.value.kind)
    assert kinds == ["too large", "corrupt"]


BOMB = """
import re, sys
from pathlib import Path
from evaluator.dataset.decoding import decode
from evaluator.dataset.pixels import TileError
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
data = sys.stdin.buffer.read()
before = peak()
try:
    decode(data)
except TileError as error:
    print(error.kind, peak() - before)
"""


def bomb_in_a_strip() -> bytes:
    """Return a small TIFF whose one strip inflates to 256 MiB instead of 48 bytes."""
    data = bytearray(tiff(GREY, compression="zlib", rowsperstrip=8))
    deflate = zlib.compressobj(9)
    strip = b"".join(deflate.compress(bytes(2**24)) for _ in range(16)) + deflate.flush()
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tags = file.pages[0].tags  # type: ignore[union-attr]  # a page, not a frame
        for name, value in (("StripOffsets", len(data)), ("StripByteCounts", len(strip))):
            struct.pack_into("<HII", data, tags[name].offset + 2, 4, 1, value)
    return bytes(data) + strip


@pytest.mark.parametrize("kind", ["too large", "corrupt"])
def test_bomb_takes_no_memory(kind: str) -> None:
    """Neither 64 million pixels in a header nor 256 MiB in a strip are ever unpacked."""
    data = BAD["too large"] if kind == "too large" else bomb_in_a_strip()
    assert len(data) < 3 * 2**20  # the control: the file itself is small

    child = subprocess.run(
        [sys.executable, "-c", BOMB], input=data, capture_output=True, check=True, timeout=60
    )
    found, grown = child.stdout.decode().rsplit(" ", 1)

    assert found == kind
    assert int(grown) < 64


def test_file_beyond_the_limit_is_not_looked_at() -> None:
    """The limit on a file holds before any decoder sees it."""
    with pytest.raises(TileError) as error:
        decode(b"\xff\xd8\xff" + bytes(MAX_BYTES))

    assert error.value.kind == "too large"


seeds = st.sampled_from([png(Image.fromarray(RGB)), tiff(RGB, photometric="rgb"), tiff(DEEP)])


@settings(max_examples=300, deadline=None)
@given(seeds, st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6), st.data())
def test_any_damage_gives_pixels_or_a_tile_error(
    seed: bytes, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Changed, cut or foreign bytes never raise anything but TileError."""
    damaged = bytearray(seed)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    cut = data.draw(st.integers(0, len(damaged)))
    try:
        pixels = decode(bytes(damaged[:cut]))
    except TileError:
        return

    assert pixels.dtype.name in {"uint8", "uint16", "float32"}
    assert pixels.ndim in {2, 3}


def test_grey_is_exactly_pillows() -> None:
    """RGB rounds as Pillow's convert("L"): (19595 R + 38470 G + 7471 B + 2^15) / 2^16."""
    rgb = RANDOM.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    red, green, blue = (rgb[..., band].astype(np.uint32) for band in range(3))
    expected = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16

    assert np.array_equal(expected, to_grey(rgb))
    assert np.array_equal(np.asarray(Image.fromarray(rgb).convert("L")), to_grey(rgb))


def test_grey_stays_grey_and_nothing_else_becomes_it() -> None:
    """Only 8-bit RGB has a defined grey; 8-bit grey is it already."""
    assert np.array_equal(GREY, to_grey(GREY))
    for other in (DEEP, np.dstack([RGB, GREY]), RGB.astype(np.uint16)):
        with pytest.raises(TileError):
            to_grey(other)


def test_single_band_loses_its_axis() -> None:
    """(H, W, 1) and (H, W) are one form of tile."""
    assert as_tile(GREY[:, :, None]).shape == GREY.shape

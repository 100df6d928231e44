"""Image bytes -> pixels, and nothing else of what the file says.

JPEG, PNG and (Geo)TIFF are told apart by their first bytes, never by name. Orientation
tags, colour profiles, geo tags, text and thumbnails are not looked at: what comes out is
a plain array, so none of them can travel on with the tile.
"""

import io
import warnings
from collections.abc import Callable
from math import prod

import numpy as np
from imagecodecs import jpeg8_decode
from PIL import Image

from evaluator.dataset.pixels import MAX_BYTES, Pixels, TileError, as_tile, check_size
from evaluator.dataset.plain_tiff import read_plain_tiff

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# Frames that libjpeg decodes: baseline, extended, progressive; and what may stand before one:
# APPn, a comment, tables (DHT, DQT, DRI).
_FRAMES = {0xC0, 0xC1, 0xC2}
_SEGMENTS = {*range(0xE0, 0xF0), 0xFE, 0xC4, 0xDB, 0xDD}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def decode(data: bytes) -> Pixels:
    """Return the pixels of one image file: (H, W) if it has one band, else (H, W, C).

    The dtype is uint8, uint16 or float32, in this machine's byte order. Raises TileError for
    anything else, and never another exception: `data` may be any bytes.
    """
    if len(data) > MAX_BYTES:
        raise TileError("too large", f"{len(data)} bytes; a tile has at most {MAX_BYTES}")
    read = _reader(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            pixels = read(data)
    except TileError:
        raise
    except Exception as error:  # on a damaged file a codec may raise anything
        raise TileError("corrupt", f"damaged or incomplete ({type(error).__name__})") from error
    return as_tile(pixels)


def to_grey(pixels: Pixels) -> Pixels:
    """Turn (H, W, 3) uint8 into (H, W) by ITU-R 601-2 luma, as Pillow's convert("L") rounds it.

    A tile that is grey already, (H, W) uint8, is returned as it is. Raises TileError for others.
    """
    if pixels.dtype == np.uint8 and pixels.ndim == 2:
        return pixels
    if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
        raise TileError("not RGB", "only 8-bit RGB can be made grey")
    return np.asarray(Image.fromarray(pixels).convert("L"))


def _reader(data: bytes) -> Callable[[bytes], Pixels]:
    if data.startswith(_TIFF):
        return _read_tiff
    if data.startswith(_JPEG):
        return _read_jpeg
    if data.startswith(_PNG):
        return _read_png_or_jpeg
    raise TileError("not an image", "is not a JPEG, PNG or TIFF")


def _read_tiff(data: bytes) -> Pixels:
    pixels = read_plain_tiff(data)
    if pixels is not None:
        return pixels
    from evaluator.dataset.geotiff import read_tiff  # noqa: PLC0415 - see there

    return read_tiff(data)


def _read_jpeg(data: bytes) -> Pixels:
    """Decode a plain JPEG in half of Pillow's time, and leave whatever is odd to Pillow.

    Both call libjpeg-turbo and give the same pixels, but this way a file that ends too early is
    filled up with grey, so it must have its end marker.
    """
    shape = _jpeg_shape(data)
    if shape is None or data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        return _read_png_or_jpeg(data)
    check_size(prod(shape))
    # Into an array of our making: a second header within the file cannot ask for a larger one.
    return jpeg8_decode(data, out=np.empty(shape, np.uint8))


def _jpeg_shape(data: bytes) -> tuple[int, ...] | None:
    """Return (H, W) or (H, W, 3) by the frame header (ITU-T T.81, B.2.2); None where it is odd."""
    at = 2
    while data[at : at + 1] == b"\xff" and len(data) >= at + 10:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[i : i + 2], "big") for i in (at + 5, at + 7))
            if data[at + 4] != 8 or not height or not width:  # bits of a value
                return None
            return {1: (height, width), 3: (height, width, 3)}.get(data[at + 9])
        if marker not in _SEGMENTS:
            return None
        at += 2 + length
    return None


def _read_png_or_jpeg(data: bytes) -> Pixels:
    # Bytes 24 and 25 of a PNG are bit depth and colour type; Pillow would quietly halve the depth.
    if data.startswith(_PNG) and data[24:25] == b"\x10" and data[25:26] != b"\x00":
        raise TileError("mode", "is a 16-bit colour PNG; use TIFF for 16-bit bands")
    if data.startswith(_PNG):
        Image.open(io.BytesIO(data), formats=("PNG",)).verify()  # loading checks no checksum
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        check_size(image.width * image.height * len(image.getbands()))
        if image.mode in {"L", "RGB", "RGBA"} or image.mode.startswith("I;16"):
            return np.asarray(image)
        if image.mode in {"P", "1"}:
            return np.asarray(image.convert("RGB" if image.mode == "P" else "L"))
        raise TileError("mode", f"is a {image.mode} image; use grey, RGB, RGBA or a palette")

"""Image bytes -> pixels, and nothing else of what the file says.

JPEG, PNG and (Geo)TIFF are told apart by their first bytes, never by name. Orientation
tags, colour profiles, geo tags, text and thumbnails are not looked at: what comes out is
a plain array, so none of them can travel on with the tile.
"""

import io
import logging
import warnings
from collections.abc import Callable
from typing import Final

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, TiffPage

Pixels = NDArray[np.generic]

MAX_BYTES: Final = 32 * 2**20
"""No tile is larger, as a file or decoded: 800x800 pixels of 13 bands of float32."""

MAX_BANDS: Final = 13
"""Sentinel-2 has thirteen bands."""

DTYPES: Final = ("uint8", "uint16", "float32")

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# What tifffile and GDAL write; fewer codecs meet bytes of unknown origin this way.
_COMPRESSIONS = {
    COMPRESSION.NONE,
    COMPRESSION.LZW,
    COMPRESSION.ADOBE_DEFLATE,
    COMPRESSION.DEFLATE,
    COMPRESSION.PACKBITS,
    COMPRESSION.ZSTD,
}
# NewSubfileType bits of a reduced copy and of a mask: GDAL's overviews, not tiles.
_NOT_THE_IMAGE = 1 | 4

# What tifffile has to say about a file becomes a problem of the import or does not matter;
# its own log lines would cut through the progress bar.
logging.getLogger("tifffile").addHandler(logging.NullHandler())
logging.getLogger("tifffile").propagate = False


class TileError(Exception):
    """One tile that cannot be used: `kind` groups such tiles, `reason` is for this one."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


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


def as_tile(pixels: Pixels) -> Pixels:
    """Check dtype, bands and values, and drop a band axis of length one.

    Raises TileError for a dtype other than uint8, uint16 and float32, for more than 13 bands,
    and for a float that is not finite.
    """
    if pixels.dtype.name not in DTYPES:
        raise TileError("dtype", f"its pixels are {pixels.dtype.name}, not {', '.join(DTYPES)}")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in {2, 3} or 0 in pixels.shape:
        raise TileError("shape", f"shape {pixels.shape} is not (height, width[, bands])")
    if pixels.ndim == 3 and pixels.shape[2] > MAX_BANDS:
        raise TileError("bands", f"{pixels.shape[2]} bands; at most {MAX_BANDS} can be used")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise TileError("not finite", "holds NaN or infinity")
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


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
    if data.startswith((_PNG, _JPEG)):
        return _read_png_or_jpeg
    raise TileError("not an image", "is not a JPEG, PNG or TIFF")


def _read_png_or_jpeg(data: bytes) -> Pixels:
    # Bytes 24 and 25 of a PNG are bit depth and colour type; Pillow would quietly halve the depth.
    if data.startswith(_PNG) and data[24:25] == b"\x10" and data[25:26] != b"\x00":
        raise TileError("mode", "is a 16-bit colour PNG; use TIFF for 16-bit bands")
    if data.startswith(_PNG):
        Image.open(io.BytesIO(data), formats=("PNG",)).verify()  # loading checks no checksum
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        _check_size(image.width * image.height * len(image.getbands()))
        if image.mode in {"L", "RGB", "RGBA"} or image.mode.startswith("I;16"):
            return np.asarray(image)
        if image.mode in {"P", "1"}:
            return np.asarray(image.convert("RGB" if image.mode == "P" else "L"))
        raise TileError("mode", f"is a {image.mode} image; use grey, RGB, RGBA or a palette")


def _read_tiff(data: bytes) -> Pixels:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page, *others = [
            page
            for page in file.pages
            if isinstance(page, TiffPage) and not page.subfiletype & _NOT_THE_IMAGE
        ]
        if others:
            raise TileError("pages", f"holds {1 + len(others)} pages; bands belong into one page")
        _check_page(page)
        pixels = page.asarray()
    # (bands, height, width) exactly if the file says that its bands are stored one by one.
    planar = page.samplesperpixel > 1 and page.planarconfig == PLANARCONFIG.SEPARATE
    return np.moveaxis(pixels, 0, -1) if planar else pixels


def _check_page(page: TiffPage) -> None:
    if page.compression not in _COMPRESSIONS:
        raise TileError(
            "compression", "is compressed; use none, LZW, deflate, PackBits or Zstandard"
        )
    if page.photometric not in {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB}:
        raise TileError("mode", "is a palette, inverted or YCbCr TIFF; convert it to plain bands")
    if page.dtype is None or page.dtype.name not in DTYPES:
        raise TileError("dtype", f"its pixels are {page.dtype}, not {', '.join(DTYPES)}")
    samples = page.imagewidth * page.imagelength * page.imagedepth * page.samplesperpixel
    _check_size(samples * page.dtype.itemsize)


def _check_size(size: int) -> None:
    """Refuse a decompression bomb by what its header says, before a pixel is decoded."""
    if size > MAX_BYTES:
        raise TileError("too large", f"{size} bytes decoded; a tile has at most {MAX_BYTES}")

"""(Geo)TIFF bytes -> pixels. Its library is slow to load, so it is where there is such a file."""

import io
import logging

import numpy as np
import tifffile
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, TiffPage

from evaluator.dataset.pixels import DTYPES, Pixels, TileError, check_size

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


def read_tiff(data: bytes) -> Pixels:
    """Return the pixels of its one page. Whatever a codec raises comes through."""
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
    check_size(samples * page.dtype.itemsize)

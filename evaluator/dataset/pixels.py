"""What a tile's pixels may be."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.generic]

MAX_BYTES: Final = 32 * 2**20
"""No tile is larger, as a file or decoded: 800x800 pixels of 13 bands of float32."""

MAX_BANDS: Final = 13
"""Sentinel-2 has thirteen bands."""

DTYPES: Final = ("uint8", "uint16", "float32")


class TileError(Exception):
    """One tile that cannot be used: `kind` groups such tiles, `reason` is for this one."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


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


def check_size(size: int) -> None:
    """Refuse a decompression bomb by what its header says, before a pixel is decoded."""
    if size > MAX_BYTES:
        raise TileError("too large", f"{size} bytes decoded; a tile has at most {MAX_BYTES}")

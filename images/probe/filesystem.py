"""Ways to write what must not be written, and to read what must not be read."""

import os

TILES = "/input/tiles.npy"


def tiles_write(_targets: dict) -> None:
    """Overwrite the first byte of the tiles."""
    descriptor = os.open(TILES, os.O_WRONLY)
    os.pwrite(descriptor, b"!", 0)


def root_write(_targets: dict) -> None:
    """Make a file in the root directory."""
    os.close(os.open("/written", os.O_WRONLY | os.O_CREAT))


PROBES = {
    "fs-tiles-write": tiles_write,
    "fs-root-write": root_write,
}

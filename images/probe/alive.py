"""What every submission may do; a probe that cannot do this has shown nothing by failing."""

import hashlib
from pathlib import Path

from .errors import Stopped


def alive(targets: dict) -> None:
    """Read the tiles whole, and write and read back a file in /tmp."""
    content = Path("/input/tiles.npy").read_bytes()
    if hashlib.sha256(content).hexdigest() != targets["tiles_sha256"]:
        raise Stopped
    scratch = Path("/tmp/alive")  # noqa: S108 - a path inside the container
    scratch.write_bytes(content)
    if scratch.read_bytes() != content:
        raise Stopped
    scratch.unlink()


PROBES = {"alive": alive}

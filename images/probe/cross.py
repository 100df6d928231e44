"""Ways to leave something for another run, or to be noticed outside."""

import ctypes
import fcntl
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

from .calls import call
from .errors import Stopped
from .limits import MIB, filled, name_ourselves

TILES = "/input/tiles.npy"
USER_KEYRING = -4
BLOCKS = 48


def keyring_leave(targets: dict) -> None:
    """Name a key in the keyring of our user; it ends by itself after a minute."""
    call(250, 8, USER_KEYRING, -3)  # KEYCTL_LINK to our session: the key is then ours to limit
    key = call(248, b"user", targets["marker"].encode(), b"!", 1, USER_KEYRING)
    call(250, 15, key, 60)  # KEYCTL_SET_TIMEOUT


def keyring_find(targets: dict) -> None:
    """Find the name among the keys that other containers of our user have left."""
    keys = (ctypes.c_int32 * 256)()
    size = call(250, 11, USER_KEYRING, keys, ctypes.sizeof(keys))  # KEYCTL_READ
    name = ctypes.create_string_buffer(256)
    for key in keys[: min(size // 4, 256)]:
        with suppress(OSError):  # another's, or ended meanwhile
            call(250, 6, key, name, len(name))  # KEYCTL_DESCRIBE
            if name.value.decode().endswith(targets["marker"]):
                return
    raise Stopped


def shared_memory(targets: dict) -> None:
    """Leave a file in memory that other containers share."""
    Path("/dev/shm", targets["marker"]).touch()  # noqa: S108 - the container's own, or the host's
    raise Stopped  # only the host can tell whether it is there


def shared_segment(targets: dict) -> None:
    """Leave a System V segment under a number that another run knows."""
    call(29, int(targets["marker"][:7], 16), 4096, 0o1666)
    raise Stopped  # as above


def lock(_targets: dict) -> None:
    """Lock the tiles for a second; others notice, though no byte of them changes."""
    with Path(TILES).open("rb") as tiles:
        fcntl.flock(tiles, fcntl.LOCK_EX)
        time.sleep(1)


def watch(_targets: dict) -> None:
    """Notice that somebody else opens the tiles."""
    watcher = call(294, os.O_NONBLOCK)
    call(254, watcher, TILES.encode(), 0x20)  # IN_OPEN
    time.sleep(1)
    os.read(watcher, 4096)


def message(targets: dict) -> set[int]:
    """What one run tells another: which half of the blocks it has read."""
    return set(random.Random(targets["marker"]).sample(range(BLOCKS), BLOCKS // 2))  # noqa: S311 - known to both


def cache_leave(targets: dict) -> None:
    """Read half of the blocks of the tiles, so that they stay in the host's memory."""
    with Path(TILES).open("rb") as tiles:
        os.posix_fadvise(tiles.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no reading ahead
        for block in message(targets):
            read_time(tiles.fileno(), block)


def cache_find(targets: dict) -> None:
    """Tell by the time that a block takes whether another run has read it."""
    with Path(TILES).open("rb") as tiles:
        os.posix_fadvise(tiles.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        times = [read_time(tiles.fileno(), block) for block in range(BLOCKS)]
    fastest = sorted(range(BLOCKS), key=times.__getitem__)[: BLOCKS // 2]
    # By chance 12 of 24 are right, and hardly ever 19.
    if len(message(targets).intersection(fastest)) < 20:
        raise Stopped


def read_time(descriptor: int, block: int) -> int:
    """Nanoseconds that a page of a block takes, the fastest of four."""
    times = []
    for page in range(4):
        before = time.perf_counter_ns()
        os.pread(descriptor, 4096, block * MIB + page * MIB // 4)
        times.append(time.perf_counter_ns() - before)
    return min(times)


def residue(targets: dict) -> None:
    """Write the marker wherever it may be written, for somebody to find after the end."""
    text = targets["marker"].encode() * 64
    for folder in ("/", "/tmp", "/dev/shm", "/var/tmp", "/etc"):  # noqa: S108 - the container's own
        try:
            Path(folder, "residue").write_bytes(text)
        except OSError as error:
            print(f"{folder}: {error}", file=sys.stderr)
    os.write(1, text)
    raise Stopped  # only the host can tell what stays


def kernel_log(targets: dict) -> None:
    """Crash under a name of our choice, at an address of our choice: both are text."""
    if os.fork() == 0:
        name_ourselves(targets["marker"])
        ctypes.string_at(0x414243444546)
    os.wait()
    raise Stopped  # only the host can tell what it wrote down


def oom_name(targets: dict) -> None:
    """Be killed for want of memory, under a name of our choice."""
    if os.fork() == 0:
        name_ourselves(targets["marker"])
        filled(1200)
        os._exit(0)
    os.wait()
    raise Stopped  # as above


PROBES = {
    "x-keyring": keyring_leave,
    "x-keyring-find": keyring_find,
    "x-shm": shared_memory,
    "x-sysv": shared_segment,
    "x-flock": lock,
    "x-inotify": watch,
    "x-page-cache": cache_leave,
    "x-page-cache-find": cache_find,
    "x-residue": residue,
    "side-kernel-log": kernel_log,
    "side-oom-comm": oom_name,
}

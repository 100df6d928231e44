"""Ways to make of the one output file something else, and to say more than was asked.

A technique of PROBES ends and leaves its record. An act of ACTS is the whole program, as a
submission is: how it ends and how long it takes is what it has to say.
"""

import json
import os
import socket
import stat
import sys
import time
from pathlib import Path

from . import training

OUTPUT = Path("/output/predictions")
TILES = Path("/input/tiles.npy")
MIB = 2**20


def symlink(_targets: dict) -> None:
    """Put a link in its place: on the host it leads to a file of the host's."""
    OUTPUT.unlink()
    OUTPUT.symlink_to("/etc/passwd")


def hardlink(_targets: dict) -> None:
    """Give it a second name, which outlives its removal."""
    OUTPUT.with_name("kept").hardlink_to(OUTPUT)


def fifo(_targets: dict) -> None:
    """Put a pipe in its place: whoever opens it waits for ever."""
    OUTPUT.unlink()
    os.mkfifo(OUTPUT)


def unix_socket(_targets: dict) -> None:
    """Put a socket in its place, which no reader expects."""
    OUTPUT.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(OUTPUT))


def device(_targets: dict) -> None:
    """Put /dev/zero in its place, which never ends."""
    OUTPUT.unlink()
    os.mknod(OUTPUT, 0o666 | stat.S_IFCHR, os.makedev(1, 5))


def directory(_targets: dict) -> None:
    """Put a directory in its place."""
    OUTPUT.unlink()
    OUTPUT.mkdir()


def locked_directory(_targets: dict) -> None:
    """Leave a directory with a file in it that nobody may enter, so that nobody can remove it."""
    locked = OUTPUT.with_name("locked")
    locked.mkdir()
    (locked / "file").touch()
    locked.chmod(0)


def other_file(_targets: dict) -> None:
    """Move another file over it, so that a descriptor of the host's keeps the old one."""
    other = OUTPUT.with_name("other")
    other.write_bytes(b"other")
    other.rename(OUTPUT)


def unreadable(_targets: dict) -> None:
    """Take everybody's right to read it away."""
    OUTPUT.chmod(0)


def sparse(_targets: dict) -> None:
    """Make it a tebibyte long without writing any of it."""
    os.truncate(OUTPUT, 2**40)


def overflow(_targets: dict) -> None:
    """Write more to the host's disk than was set aside."""
    descriptor = os.open(OUTPUT, os.O_WRONLY)
    for number in range(1, 100):
        os.pwrite(descriptor, bytes(MIB), number * MIB)


PROBES = {
    "out-symlink": symlink,
    "out-hardlink": hardlink,
    "out-fifo": fifo,
    "out-socket": unix_socket,
    "out-device": device,
    "out-dir": directory,
    "out-dir-000": locked_directory,
    "out-replace": other_file,
    "out-chmod": unreadable,
    "out-sparse": sparse,
    "out-overflow": overflow,
}


def slow_drip(_targets: dict) -> None:
    """One byte every fifth of a second, for ever."""
    with OUTPUT.open("r+b", buffering=0) as out:
        while True:
            out.write(b"\0")
            time.sleep(0.2)


def change_after_read(targets: dict) -> None:
    """Hand in an answer, then another one once the first may have been read; a child goes on."""
    with OUTPUT.open("r+b", buffering=0) as out:
        out.write(bytes(targets["tiles"]))
        if os.fork() == 0:
            os.setsid()
            for value in range(1, 60):
                time.sleep(0.1)
                os.pwrite(out.fileno(), bytes([value % 3]) * targets["tiles"], 0)
            os._exit(0)
        time.sleep(2)


def exit_code(_targets: dict) -> None:
    """Say a byte of the tiles by the exit status."""
    sys.exit(message())


def duration(targets: dict) -> None:
    """Say it by how long this takes: a tenth of a second for each bit that is set, and a second."""
    time.sleep(1 + message().bit_count() / 10)
    OUTPUT.write_bytes(bytes(targets["tiles"]))


def standard_error(_targets: dict) -> None:
    """Print it, and fail, so that somebody prints it again."""
    print(f"tile {message()}", file=sys.stderr)
    print(f"tile {message()}", flush=True)
    sys.exit(1)


def message() -> int:
    """What a submission might want to say: 1 to 100, from the last byte of the tiles."""
    return 1 + TILES.read_bytes()[-1] % 100


ACTS = {
    "out-slow-drip": slow_drip,
    "out-change-after-read": change_after_read,
    "side-exit-code": exit_code,
    "side-duration": duration,
    "side-stderr": standard_error,
    **training.ACTS,
}


def act(name: str) -> None:
    """Do nothing else than that."""
    ACTS[name](json.loads(Path("/input/manifest.json").read_bytes()))

"""What a submission can try while it trains, and with what it finds of that when it predicts.

A technique of `train` has its record in the model volume, since there is no output. One of the
`predict` that follows has up to three parts: ID-leave in `train`, ID, and ID-look in a container
that comes after, where the effect is to be seen.
"""

import os
import shutil
import signal
import stat
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from .errors import Stopped
from .filesystem import (
    FUSE,
    LIBC,
    MS_BIND,
    MS_REMOUNT,
    PYTHON,
    WORKSPACE,
    checked,
    ended_with_42,
)
from .limits import MIB, name_ourselves
from .network import tcp_host

MODEL = Path("/opt/ml/model")
WEIGHTS = MODEL / "weights"
LEARNT = b"learnt"
OUTPUT = Path("/output/predictions")
OWN = "/opt/ml/model", "/tmp", "/dev", "/proc", "/sys"  # noqa: S108 - the container's own
FILES = 70_000  # more than the volume may have
BLOCKS = 12  # of 2 MiB, more than the volume may hold


def overwrite(path: str) -> Callable[[dict], None]:
    """A technique that changes the first byte of a file."""

    def technique(_targets: dict) -> None:
        descriptor = os.open(path, os.O_WRONLY)
        os.pwrite(descriptor, b"!", 0)

    return technique


def reach(name: str) -> Callable[[dict], int]:
    """A technique that looks in every folder for a file that was not given to it."""

    def technique(_targets: dict) -> int:
        for folder, folders, files in os.walk("/"):
            if folder == "/":
                folders[:] = [each for each in folders if each not in {"proc", "sys", "input"}]
            if name in files:
                return zlib.crc32(Path(folder, name).read_bytes())
        raise Stopped

    return technique


def output(_targets: dict) -> None:
    """Write an output, as `predict` does."""
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_bytes(b"labels")
    raise Stopped  # only the host can tell whether it is one


def elsewhere(_targets: dict) -> None:
    """Make a file in any folder but the volume, /tmp and what is no file system of a disk."""
    for folder, folders, _ in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in OWN]  # noqa: PTH118 - as walked
        try:
            Path(folder, "elsewhere").touch()
        except OSError:
            continue
        return
    raise Stopped


def fill(_targets: dict) -> None:
    """24 MB in files of 2 MB; they stay where they fit."""
    files = [MODEL / f"fill{number}" for number in range(BLOCKS)]
    try:
        for file in files:
            file.write_bytes(bytes(2 * MIB))
    except OSError:
        for file in files:
            file.unlink(missing_ok=True)
        raise


def filled(_targets: dict) -> None:
    """They are there."""
    if sum(file.stat().st_size for file in MODEL.glob("fill*")) < 2 * MIB * BLOCKS:
        raise Stopped


def many(_targets: dict) -> None:
    """70,000 files that hold nothing; they stay."""
    for number in range(FILES):
        make(f"{MODEL}/many{number}")


def make(path: str) -> None:
    """An empty file: by one call, which takes gVisor half the time, or else by two."""
    try:
        os.mknod(path)
    except PermissionError:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT))


def are_many(_targets: dict) -> None:
    """They are there."""
    if sum(entry.name.startswith("many") for entry in os.scandir(MODEL)) < FILES:
        raise Stopped


def own_files(_targets: dict) -> None:
    """Find in the volume what the image has there."""
    if not (MODEL / "own").exists():
        raise Stopped


def leave_secret(targets: dict) -> None:
    """What another run has learnt."""
    (MODEL / "secret").write_text(targets["secret"])


def learn(_targets: dict) -> None:
    """What an honest training leaves."""
    WEIGHTS.write_bytes(LEARNT)


def find_model(_targets: dict) -> None:
    """Find no model where there should be one."""
    if WEIGHTS.exists():
        raise Stopped


def was_kept(_targets: dict) -> None:
    """It is there."""
    if not WEIGHTS.exists():
        raise Stopped


def append(_targets: dict) -> None:
    """Add to what was learnt."""
    descriptor = os.open(WEIGHTS, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"!")


def was_changed(_targets: dict) -> None:
    """It is no longer what was learnt."""
    if WEIGHTS.read_bytes() == LEARNT:
        raise Stopped


def create(_targets: dict) -> None:
    """Make another file."""
    (MODEL / "created").touch()


def was_created(_targets: dict) -> None:
    """It is there."""
    if not (MODEL / "created").exists():
        raise Stopped


def open_up(_targets: dict) -> None:
    """Let others into the volume."""
    MODEL.chmod(0o711)


def was_opened(_targets: dict) -> None:
    """They are let in."""
    if stat.S_IMODE(MODEL.stat().st_mode) != 0o711:
        raise Stopped


def remount(targets: dict) -> None:
    """Turn the read-only mount into a writable one, and write."""
    checked(LIBC.mount(None, bytes(MODEL), None, MS_REMOUNT | MS_BIND, None))
    append(targets)


def leave_setuid(_targets: dict) -> None:
    """Leave a program that root has marked setuid."""
    program = MODEL / "setuid"
    shutil.copyfile(PYTHON, program)
    os.chown(program, 0, 0)
    program.chmod(stat.S_ISUID | 0o755)


def run_setuid(_targets: dict) -> None:
    """Start it as an ordinary user."""
    os.setgid(1000)
    os.setuid(1000)
    code = "import os; raise SystemExit(42 if os.geteuid() == 0 else 0)"
    ended_with_42(str(MODEL / "setuid"), "-ISsc", code)


def leave_device(_targets: dict) -> None:
    """Leave a node for a device of the host."""
    os.mknod(MODEL / "device", 0o666 | stat.S_IFCHR, FUSE)


def open_device(_targets: dict) -> None:
    """Open it."""
    os.close(os.open(MODEL / "device", os.O_RDWR))


def leave_program(_targets: dict) -> None:
    """Leave a program."""
    program = MODEL / "program"
    program.write_text(f"#!{PYTHON} -ISs\nraise SystemExit(42)\n")
    program.chmod(0o755)


def run_program(_targets: dict) -> None:
    """Start it."""
    ended_with_42(str(MODEL / "program"))


def leave_links(targets: dict) -> None:
    """Leave links to where the host has its labels, and to where they might be mounted."""
    number, _ = targets["process"]
    (MODEL / "host").symlink_to(targets["labels_path"])
    (MODEL / "workspace").symlink_to(f"{WORKSPACE}/labels.npy")
    (MODEL / "first").symlink_to(f"/proc/1/root{targets['labels_path']}")
    (MODEL / "process").symlink_to(f"/proc/{number}/root{targets['labels_path']}")


def follow(*names: str) -> Callable[[dict], int]:
    """A technique that reads what a link leads to."""

    def technique(_targets: dict) -> int:
        failure: OSError | None = None
        for name in names:
            try:
                return zlib.crc32((MODEL / name).read_bytes())
            except OSError as error:
                failure = error
        raise failure or Stopped

    return technique


def read_secret(_targets: dict) -> int:
    """Read what another run has learnt."""
    return zlib.crc32((MODEL / "secret").read_bytes())


def uncounted() -> None:
    """Move to the first control group of every kind that we may enter, where nobody counts us."""
    entered = 0
    for kind in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]:
        try:
            (kind / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            continue
        entered += 1
    if not entered:
        raise Stopped


def charge_moved(_targets: dict) -> None:
    """Compute where nobody counts."""
    uncounted()


def charge_after_end(targets: dict) -> None:
    """Leave a child that computes where nobody counts, after the container's end."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            uncounted()
            name_ourselves(targets["marker"])
            time.sleep(20)  # for a computation
        os._exit(0)
    os.wait()
    time.sleep(0.5)
    raise Stopped  # only the host can tell whether it lives on


def other_cpus(_targets: dict) -> None:
    """Run on every CPU of the host's."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    if len(os.sched_getaffinity(0)) < 2:
        raise Stopped


PROBES = {
    "res-other-cpus": other_cpus,
    "ft-charge-moved": charge_moved,
    "ft-charge-after-end": charge_after_end,
    "ft-train-tiles-write": overwrite("/input/tiles.npy"),
    "ft-train-labels-write": overwrite("/input/labels.npy"),
    "ft-train-recipe-write": overwrite("/input/hyperparameters.json"),
    "ft-holdout-tiles": reach("holdout.npy"),
    "ft-holdout-labels": reach("labels.npy"),
    "ft-train-network": tcp_host,
    "ft-train-output": output,
    "ft-train-elsewhere": elsewhere,
    "ft-model-fill": fill,
    "ft-model-fill-look": filled,
    "ft-model-inodes": many,
    "ft-model-inodes-look": are_many,
    "ft-train-disk": fill,
    "ft-image-model": own_files,
    "ft-image-model-look": own_files,
    "ft-other-model-leave": leave_secret,
    "ft-other-model": read_secret,
    "ft-holder-killed-leave": learn,
    "ft-holder-killed": find_model,
    "ft-model-write-leave": learn,
    "ft-model-write": append,
    "ft-model-write-look": was_changed,
    "ft-model-create-leave": learn,
    "ft-model-create": create,
    "ft-model-create-look": was_created,
    "ft-model-chmod-leave": learn,
    "ft-model-chmod": open_up,
    "ft-model-chmod-look": was_opened,
    "ft-model-remount-leave": learn,
    "ft-model-remount": remount,
    "ft-model-remount-look": was_changed,
    "ft-model-suid-leave": leave_setuid,
    "ft-model-suid": run_setuid,
    "ft-model-dev-leave": leave_device,
    "ft-model-dev": open_device,
    "ft-model-exec-leave": leave_program,
    "ft-model-exec": run_program,
    "ft-link-predict-leave": leave_links,
    "ft-link-predict": follow("host", "workspace"),
    "ft-link-proc-root-leave": leave_links,
    "ft-link-proc-root": follow("first", "process"),
    "ft-link-keep-leave": leave_links,
    "ft-archive-weights": was_kept,
}


def charge_children(_targets: dict) -> None:
    """Two children in sessions of their own compute for a second each; their parent sleeps."""
    readers = []
    for _ in range(2):
        reader, writer = os.pipe()
        readers.append(reader)
        if os.fork() == 0:
            os.setsid()
            while time.process_time() < 1:
                pass
            os.write(writer, b"!")
            signal.pause()  # whoever asks for the time of children that have ended gets none
        os.close(writer)
    for reader in readers:
        os.read(reader, 1)
    time.sleep(1)  # for whoever looks


def frames_flood(_targets: dict) -> None:
    """Write frames without end, as fast as anybody takes them."""
    block = struct.pack("<8q", *range(8)) * 1024
    while True:
        os.write(sys.stderr.fileno(), block)


def frames_never_end(_targets: dict) -> None:
    """Begin a frame, and never end it."""
    os.write(sys.stderr.fileno(), bytes(63))
    time.sleep(60)


def frames_absurd(_targets: dict) -> None:
    """The largest and the smallest numbers, and text for a terminal in their place."""
    for frame in (
        struct.pack("<8q", *[2**63 - 1] * 8),
        struct.pack("<8q", *[-(2**63)] * 8),
        b"\x1b[2J\x1b]0;owned\x07".ljust(64, b"\x1b"),
    ):
        os.write(sys.stderr.fileno(), frame)
    time.sleep(1)  # until they have been read


ACTS = {
    "ft-charge-children": charge_children,
    "ft-frames-flood": frames_flood,
    "ft-frames-never-end": frames_never_end,
    "ft-frames-absurd": frames_absurd,
}

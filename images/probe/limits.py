"""Ways to use more of the machine than was given, or for longer."""

import ctypes
import mmap
import os
import resource
import signal
import sys
import time
from pathlib import Path

from .calls import call
from .errors import Stopped

MIB = 2**20
TMP = "/tmp"  # noqa: S108 - the container's own


def pids(targets: dict) -> None:
    """Start more processes than are allowed, and keep them long enough to be counted."""
    for _ in range(targets["processes"]):
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
    time.sleep(2)


def memory(_targets: dict) -> None:
    """Fill 300 MB and keep it long enough to be seen."""
    held = filled(300)
    time.sleep(2)
    held.close()


def filled(size: int) -> mmap.mmap:
    """Memory of `size` MiB, every page of it written to."""
    held = mmap.mmap(-1, size * MIB)
    for start in range(0, len(held), mmap.PAGESIZE):
        held[start] = 1
    return held


def cpu(_targets: dict) -> None:
    """Compute in four processes at once, for three seconds."""
    until = time.monotonic() + 3
    for _ in range(4):
        if os.fork() == 0:
            while time.monotonic() < until:
                pass
            os._exit(0)
    for _ in range(4):
        os.wait()
    raise Stopped  # only the host can tell how much it was given


def fill(folder: str) -> None:
    """24 MB in files of 2 MB, so that no limit of one file's size stops it."""
    block = bytes(2 * MIB)
    files = [Path(folder, f"fill{number}") for number in range(12)]
    try:
        for file in files:
            file.write_bytes(block)
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def tmpfs_fill(_targets: dict) -> None:
    """Fill /tmp."""
    fill(TMP)


def shm_fill(_targets: dict) -> None:
    """Fill /dev/shm."""
    fill("/dev/shm")  # noqa: S108 - the container's own


def inodes(_targets: dict) -> None:
    """Make 70,000 files that hold nothing."""
    for number in range(70_000):
        os.close(os.open(f"{TMP}/{number}", os.O_WRONLY | os.O_CREAT))


def descriptors(_targets: dict) -> None:
    """Hold 2,000 descriptors."""
    for _ in range(2000):
        os.dup(0)


def sparse(_targets: dict) -> None:
    """Make a file of a tebibyte that holds nothing."""
    file = Path(TMP, "sparse")
    with file.open("wb") as out:
        os.ftruncate(out.fileno(), 2**40)
    file.unlink()


def locked_memory(_targets: dict) -> None:
    """Lock a megabyte that the host can then not take back."""
    held = mmap.mmap(-1, MIB)
    call(149, ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(held))), len(held))
    locked = Path("/proc/self/status").read_text().partition("VmLck:")[2].split()[0]
    if int(locked) < 1024:
        raise Stopped


def raise_limit(_targets: dict) -> None:
    """Raise a hard limit of one's own."""
    _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    try:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (hard + 1, hard + 1))
    except ValueError as error:  # what Python makes of EPERM here
        raise Stopped from error


def never_killed(_targets: dict) -> None:
    """Become one of the last processes that the host would kill when its memory is short."""
    score = Path("/proc/self/oom_score_adj")
    score.write_text("-900")
    if score.read_text().strip() != "-900":
        raise Stopped


def not_first(_targets: dict) -> None:
    """Stand no nearer to the end than the host's own processes, when memory is short."""
    if int(Path("/proc/self/oom_score_adj").read_text()) > 0:
        raise Stopped


def endless(_targets: dict) -> None:
    """Ignore every signal that can be ignored, and stay."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    time.sleep(60)


def silent(_targets: dict) -> None:
    """Close what a reader might wait for, and stay."""
    os.close(1)
    os.close(2)
    time.sleep(60)


def orphan(targets: dict) -> None:
    """Leave a process behind that belongs to no session and no parent of ours."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            name_ourselves(targets["marker"])
            time.sleep(20)
        os._exit(0)
    time.sleep(0.2)
    raise Stopped  # only the host can tell whether it lives on


def name_ourselves(name: str) -> None:
    """PR_SET_NAME: the name, of at most 15 bytes, under which the kernel speaks of us."""
    call(157, 15, name[:15].encode() + b"\0")


def flood(descriptor: int, size: int, marker: str) -> None:
    """Print the marker over and over; only the host can tell whether anybody kept it."""
    line = marker.encode() * 128 + b"\n"
    for _ in range(size // len(line)):
        os.write(descriptor, line)
    time.sleep(1)
    raise Stopped


def output_flood(targets: dict) -> None:
    """Print 20 MB."""
    flood(sys.stdout.fileno(), 20 * MIB, targets["marker"])


def error_flood(targets: dict) -> None:
    """Print 8 MB on standard error."""
    flood(sys.stderr.fileno(), 8 * MIB, targets["marker"])


def core(_targets: dict) -> None:
    """Crash with everything in memory, for the host to write down."""
    os.chdir(TMP)
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    _, status = os.waitpid(child, 0)
    if not os.WCOREDUMP(status):
        raise Stopped


# What only the container's first process can do; they never come back.
FIRST = {"res-wall": endless, "res-close-stdout": silent}
PROBES = {
    "res-pids": pids,
    "res-mem": memory,
    "res-cpu": cpu,
    "res-tmpfs-fill": tmpfs_fill,
    "res-shm-fill": shm_fill,
    "res-inodes": inodes,
    "res-fds": descriptors,
    "res-sparse-1t": sparse,
    "res-mlock": locked_memory,
    "res-rlimit-raise": raise_limit,
    "res-oom-adj": never_killed,
    "res-oom-first": not_first,
    "res-child-holds-stdout": orphan,
    "res-orphan": orphan,
    "res-stdout-flood-hang": output_flood,
    "res-log-fill": output_flood,
    "res-stderr-flood": error_flood,
    "res-core-file": core,
    "res-core-pipe": core,
}

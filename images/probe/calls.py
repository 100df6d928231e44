"""System calls by their numbers, and what they are handed."""

import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import contextmanager

LIBC = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """Make a system call by its number; OSError where the kernel refuses."""
    ctypes.set_errno(0)
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *converted)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def words(*values: int, size: int = 128) -> ctypes.Array:
    """A zeroed block of `size` bytes that begins with these 64-bit words."""
    block = (ctypes.c_uint64 * (size // 8))()
    block[: len(values)] = values
    return block


@contextmanager
def child(act: Callable[[], None]) -> int:
    """A child that has acted and now waits; yields its pid, and ends it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        act()
        os.write(writer, b"!")
        signal.pause()
    os.read(reader, 1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

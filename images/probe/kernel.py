"""Entry points of the host's kernel that a submission has no business with."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """Make a system call by its number; OSError where the kernel refuses."""
    ctypes.set_errno(0)
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *converted)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def io_uring(_targets: dict) -> None:
    """io_uring_setup with one entry."""
    call(425, 1, ctypes.create_string_buffer(120))


PROBES = {"k-io-uring": io_uring}

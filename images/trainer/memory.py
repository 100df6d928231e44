"""To be imported before numpy and torch: memory that was freed is kept for the next step.

Every step frees and takes the same tensors. The allocator hands them back to the kernel in between,
as soon as enough lies free at the end of its heap, and the kernel clears each page once more: up
to 10 % of a step. Larger tensors than the allocator's own limit of 32 MiB still go back at once,
so that holes in the heap stay small.
"""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # <malloc.h>

libc = ctypes.CDLL(None)
libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
libc.mallopt(MMAP_THRESHOLD, 32 * 2**20)

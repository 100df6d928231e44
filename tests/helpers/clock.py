"""A clock for commands that can be set: a library that is loaded before the C library's own.

clock = make_clock(folder)       None where there is no compiler
clock.set(86_400)                a day ahead, also for commands that run already
subprocess.run(..., env={**os.environ, **clock.environment})
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400
_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
static volatile long *ahead;
__attribute__((constructor)) static void look(void) {
  int file = open(getenv("CLOCK_AHEAD"), O_RDONLY);
  void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) ahead = page;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
  int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(clock, now);
  if (!failed && clock == CLOCK_REALTIME && ahead) now->tv_sec += *ahead;
  return failed;
}
"""


@dataclass(frozen=True, slots=True)
class Clock:
    """The library, and the file that says how many seconds ahead it is."""

    library: Path
    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs for it."""
        return {"LD_PRELOAD": str(self.library), "CLOCK_AHEAD": str(self.file)}

    def set(self, ahead: int) -> None:
        """Be so many seconds ahead of the host's clock, from now on."""
        with self.file.open("r+b") as file:
            file.write(ahead.to_bytes(8, sys.byteorder, signed=True))


def make_clock(folder: Path) -> Clock | None:
    """Compile the library in `folder`; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        return None
    source, clock = folder / "clock.c", Clock(folder / "clock.so", folder / "ahead")
    source.write_text(_SOURCE)
    clock.file.write_bytes(bytes(8))
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(clock.library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return clock

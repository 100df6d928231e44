"""Start a command and say what it took: the small parent that `measure.command` puts before it.

    python -I -S launch.py FD COMMAND...

Linux counts the largest resident set of a process from before its exec, when it still was the
parent's. So a command that is started by a process which once held a gigabyte is said to have held
one as well; its parent here never holds more than an empty Python. SIGTERM is for the command.
"""

import json
import os
import signal
import sys
import time


def main() -> None:
    """Write the figures to file descriptor FD as JSON."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # the command still dies of it: exec resets it
    descriptor, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - it takes no keyword
    begun = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - begun
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    found = {"code": os.waitstatus_to_exitcode(status), "taken": [seconds, cpu, peak]}
    os.write(descriptor, json.dumps(found).encode())


if __name__ == "__main__":
    main()

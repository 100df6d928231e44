"""Ways to use more of the machine than was given."""

import os
import time


def pids(_targets: dict) -> None:
    """Start 150 processes that live at the same time."""
    for _ in range(150):
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)


PROBES = {"res-pids": pids}

"""A signal ends a command, wherever in it it comes."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The command's own handlers, and a signal that comes in the middle of a finalizer.
PROGRAM = """
import os, signal, sys, time
from evaluator.cli.main import _handle_signals

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.{signal})
        for _ in range(1000):
            pass

{handle}
try:
    Dropped()
    time.sleep(3)
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(0)
"""


def ended(handle: str, name: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end; it sleeps for 3 seconds where nothing interrupts it."""
    program = PROGRAM.format(handle=handle, signal=name)
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_in_a_finalizer_interrupts_all_the_same(name: str) -> None:
    """Python drops the exception that its handler raises there."""
    found = ended("_handle_signals()", name)

    assert (found.returncode, found.stderr) == (130, "")


def test_without_it_the_signal_would_be_lost() -> None:
    """The control: Python says what it dropped, and goes on sleeping."""
    without = "_handle_signals(); sys.unraisablehook = sys.__unraisablehook__"
    found = ended(without, "SIGTERM")

    assert found.returncode == 0
    assert "Exception ignored in" in found.stderr

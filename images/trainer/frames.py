"""Progress as numbers: frames of one width, so that a reader needs no parser.

    struct "<8q": sequence, epoch, epochs, step, steps, loss x 1e6, accuracy x 1e4 or -1, ms

`epoch` and `step` count what is done, `steps` are those of the whole training, the loss is the
last batch's and the accuracy that of the validation tiles at the last epoch's end.
"""

import os
import struct
import time
from collections.abc import Callable

FRAME = struct.Struct("<8q")
INTERVAL = 0.5  # seconds between two frames
LARGEST = 2**62  # of a loss that has gone beyond all bounds


class Progress:
    """Frames on a file descriptor; a reader that has gone away does not stop the training."""

    def __init__(self, descriptor: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.descriptor = descriptor
        self.clock = clock
        self.started = clock()
        self.last = float("-inf")
        self.sequence = 0
        self.accuracy = -1.0

    def report(  # noqa: PLR0913 - the numbers of one frame
        self, epoch: int, epochs: int, step: int, steps: int, loss: float, *, final: bool = False
    ) -> None:
        """Write a frame, unless the last one was written just now; `final` is always written."""
        now = self.clock()
        if now - self.last < INTERVAL and not final:
            return
        self.last = now
        elapsed = int((now - self.started) * 1000)
        accuracy = round(self.accuracy * 1e4) if self.accuracy >= 0 else -1
        frame = FRAME.pack(
            self.sequence, epoch, epochs, step, steps, scaled(loss), accuracy, elapsed
        )
        self.sequence += 1
        try:
            os.write(self.descriptor, frame)  # below PIPE_BUF: all of it, or nothing
        except OSError:
            return


def scaled(loss: float) -> int:
    """Millionths, within an int64; -1 for a loss that is no number."""
    if loss != loss:  # noqa: PLR0124 - the test for a NaN
        return -1
    return int(min(max(loss * 1e6, 0), LARGEST))

"""A process that begins with all that this one has in memory, and does one thing with it."""

from __future__ import annotations

import gc
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedRWPair

    Act = Callable[[BufferedRWPair], None]


class Child:
    """A fork of this process, which does `act` with its end of `pipe`, and ends.

    That its parent has ended, in whatever way, it sees when it reads from the pipe.
    """

    def __init__(self, act: Act) -> None:
        ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()  # those of children before it stay open: they end once it has ended
            _be(theirs, act)
        theirs.close()
        self.pipe = ours.makefile("rwb")
        ours.close()

    def end(self) -> None:
        """Kill it, whatever it is at."""
        pid, self._pid = self._pid, 0
        if pid:  # else that has been done
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        with suppress(ConnectionError):  # of what had been on its way to it
            self.pipe.close()


def _be(pipe: socket.socket, act: Act) -> NoReturn:
    try:
        gc.freeze()  # what is its parent's is never garbage here, and looking at it costs
        gc.disable()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the parent gets them too, and decides
        with pipe.makefile("rwb") as stream:
            act(stream)
    finally:
        os._exit(0)  # nothing of the parent's is flushed, closed or removed here

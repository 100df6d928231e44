"""A process that begins with all that this one has in memory, and does one thing with it."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    Act = Callable[["Pipe"], None]


class Pipe:
    """One end of what a process and its child tell each other."""

    def __init__(self, end: socket.socket) -> None:
        self._stream = end.makefile("rwb")

    def send(self, message: object) -> None:
        """Send something; where the other has ended, `receive` says so."""
        with suppress(ConnectionError):
            pickle.dump(message, self._stream, pickle.HIGHEST_PROTOCOL)
            self._stream.flush()

    def receive(self) -> Any:  # noqa: ANN401 - whatever the other sends
        """Wait for what the other sends next; EOFError where it has ended."""
        try:
            return pickle.load(self._stream)  # noqa: S301 - of this process or its own fork
        except (ConnectionError, pickle.UnpicklingError) as error:
            raise EOFError from error

    def close(self) -> None:
        """Hang up."""
        with suppress(ConnectionError):  # of what had been on its way
            self._stream.close()


class Child:
    """A fork of this process, which does `act` with its end of `pipe`, and ends.

    That its parent has ended, in whatever way, it sees when it receives.
    """

    def __init__(self, act: Act) -> None:
        ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()  # those of children before it stay open: they end once it has ended
            _be(theirs, act)
        theirs.close()
        self.pipe = Pipe(ours)
        ours.close()

    def end(self) -> None:
        """Kill it, whatever it is at."""
        pid, self._pid = self._pid, 0
        if pid:  # else that has been done
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.pipe.close()


def _be(end: socket.socket, act: Act) -> NoReturn:
    try:
        gc.freeze()  # what is its parent's is never garbage here, and looking at it costs
        gc.disable()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the parent gets them too, and decides
        act(Pipe(end))
    finally:
        os._exit(0)  # nothing of the parent's is flushed, closed or removed here

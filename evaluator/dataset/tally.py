"""Statistics of tiles, in a process of its own: Python has the threads of one take turns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np

from evaluator.dataset.bands import BandStatistics, of_tiles
from evaluator.dataset.child import Child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.dataset.child import Pipe
    from evaluator.dataset.pool import Pool


class Tally:
    """Statistics of tiles of a pool, by class. A context manager.

    `classes` are the labels that tiles may have. What the pool holds by now can be added.
    """

    def __init__(self, pool: Pool, classes: Sequence[str]) -> None:
        self._child = Child(partial(_take_in, pool=pool, classes=classes))

    def __enter__(self) -> Self:
        """Give the tally itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whatever it is at."""
        self._child.end()

    def add(self, rows: Sequence[int]) -> None:
        """Have these tiles taken in, some time."""
        self._child.pipe.send(rows)

    def result(self) -> BandStatistics:
        """Wait for the statistics of all that was added; OSError where it could not be read."""
        self.add([])
        try:
            found: BandStatistics | OSError = self._child.pipe.receive()
        except EOFError as error:
            raise OSError("the process that takes the statistics was ended") from error
        if isinstance(found, OSError):
            raise found
        return found


def _take_in(pipe: Pipe, pool: Pool, classes: Sequence[str]) -> None:
    """Be that process: rows come until there are none, and the statistics go."""
    index = {label: number for number, label in enumerate(classes)}
    found: BandStatistics | OSError
    found = BandStatistics(len(classes), pool.bands)
    room = pool.room(0)
    try:
        while rows := pipe.receive():
            if len(rows) > len(room):
                room = pool.room(len(rows))
            labels = np.array([index[pool.labels[row]] for row in rows], np.intp)
            found.add(of_tiles(pool.read(rows, room)), labels)
    except OSError as error:
        found = error
    pipe.send(found)

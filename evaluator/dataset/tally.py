"""Statistics of tiles, in a process of its own: Python has the threads of one take turns."""

from __future__ import annotations

import pickle
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np

from evaluator.dataset.bands import BandStatistics, of_tiles
from evaluator.dataset.child import Child

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedRWPair

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
        with suppress(ConnectionError):  # it has ended, and `result` says why
            pickle.dump(rows, self._child.pipe, pickle.HIGHEST_PROTOCOL)
            self._child.pipe.flush()

    def result(self) -> BandStatistics:
        """Wait for the statistics of all that was added; OSError where it could not be read."""
        self.add([])
        try:
            found: BandStatistics | OSError = pickle.load(self._child.pipe)  # noqa: S301 - our fork's
        except (EOFError, ConnectionError, pickle.UnpicklingError) as error:
            raise OSError("the process that takes the statistics was ended") from error
        if isinstance(found, OSError):
            raise found
        return found


def _take_in(pipe: BufferedRWPair, pool: Pool, classes: Sequence[str]) -> None:
    """Be that process: rows come until there are none, and the statistics go."""
    index = {label: number for number, label in enumerate(classes)}
    found: BandStatistics | OSError
    found = BandStatistics(len(classes), pool.shape[2] if len(pool.shape) == 3 else 1)
    room = pool.room(0)
    try:
        while rows := pickle.load(pipe):  # noqa: S301 - of our parent
            if len(rows) > len(room):
                room = pool.room(len(rows))
            labels = np.array([index[pool.labels[row]] for row in rows], np.intp)
            found.add(of_tiles(pool.read(rows, room)), labels)
    except OSError as error:
        found = error
    pickle.dump(found, pipe, pickle.HIGHEST_PROTOCOL)

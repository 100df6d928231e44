"""What goes wrong without ending the watch: said once, counted, and left alone for a while.

    went_well = troubles.attempt(key, "Attaching", work)

What errors say are words of ours, with no name of a vendor's in them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from evaluator.errors import EvaluatorError
from evaluator.registry import Denied, Gone, Lied, RegistryError, TooLarge, Unreachable
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from evaluator.watch.metrics import Metrics

_KINDS: dict[type[Exception], str] = {
    Unreachable: "unreachable",
    Denied: "denied",
    Gone: "gone",
    Lied: "lied",
    TooLarge: "too_large",
    RegistryError: "registry",
    EvaluatorError: "owner",
}
"""What an error is counted as; any other is the host's."""

_CONTAINED = (EvaluatorError, SandboxError, OSError)
_MOST = 10_000


class Troubles:
    """What has failed, and when it is tried again: twice as late each time, up to ten minutes."""

    def __init__(
        self,
        metrics: Metrics,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        first: float = 5.0,
        longest: float = 600.0,
    ) -> None:
        self._metrics, self._say, self._clock = metrics, say, clock
        self._first, self._longest = first, longest
        self._failed: dict[Hashable, tuple[int, float]] = {}

    def attempt(
        self,
        key: Hashable,
        what: str,
        work: Callable[[], None],
        larger: tuple[type[Exception], ...] = (),
    ) -> bool:
        """Do something, unless it failed a short while ago; whether it was done and went well.

        Errors that are `larger` than this are raised, for who called to contain.
        """
        times, not_before = self._failed.get(key, (0, 0.0))
        if not_before > self._clock():
            return False
        try:
            work()
        except larger:
            raise
        except _CONTAINED as error:
            self._met(key, times + 1, what, error)
            return False
        if self._failed.pop(key, None):
            self._say(f"{what} works again.")
        return True

    def _met(self, key: Hashable, times: int, what: str, error: Exception) -> None:
        kinds = (kind for of, kind in _KINDS.items() if isinstance(error, of))
        self._metrics.add("errors", next(kinds, "host"))
        if len(self._failed) >= _MOST:  # a vendor may push many names; to forget is harmless
            self._failed.clear()
        wait = min(self._longest, self._first * 2 ** min(times - 1, 30))
        self._failed[key] = times, self._clock() + wait
        if times == 1:
            self._say(f"{what} failed, and is tried again: {error}")

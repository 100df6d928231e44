"""How long to go on asking: a few times, each later than the one before, or as late as it says."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from evaluator.registry.errors import unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.registry.errors import Broken

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further attempt."""
LONGEST = 60.0
"""Seconds that are waited at most because a registry asks for it."""


class Patience:
    """Waits before a further attempt; Unreachable where there have been enough."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        self._failed = 0

    def wait(self, error: Broken) -> None:
        """Wait after a failure."""
        if self._failed == len(PAUSES):
            raise unreachable() from error
        self._sleep(max(PAUSES[self._failed], error.after))
        self._failed += 1

    def forget(self) -> None:
        """There was progress since the last failure."""
        self._failed = 0


def seconds_asked(header: str | None) -> float:
    """What Retry-After asks for, in seconds or as a date; 0 where it is nonsense."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST)
    try:
        asked = parsedate_to_datetime(text) - dt.datetime.now(dt.UTC)
    except (ValueError, TypeError, OverflowError):  # no date, or one of no time zone
        return 0.0
    return min(max(asked.total_seconds(), 0.0), LONGEST)

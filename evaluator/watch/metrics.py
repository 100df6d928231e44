"""What is counted, as Prometheus reads it: numbers and words of ours, no vendor and none of its.

metrics.add("errors", "unreachable")      metrics.set("queue", 3)      metrics.text()
"""

from __future__ import annotations

import threading
from typing import Final, Literal

# By name: the type, the name of the label where there is one, and what Prometheus shows of it.
_TABLE: Final[dict[str, tuple[Literal["counter", "gauge"], str, str]]] = {
    "polls": ("counter", "", "Rounds over the registry that came to their end."),
    "poll_seconds": ("counter", "", "Seconds that all rounds took."),
    "last_poll_timestamp_seconds": ("gauge", "", "When the last round that succeeded ended."),
    "hints": ("counter", "", "Notifications of the registry."),
    "errors": ("counter", "kind", "Troubles, by kind."),
    "taken": ("counter", "kind", "Digests that were handed in."),
    "taking_seconds": ("counter", "", "Seconds spent fetching submissions and handing them in."),
    "ignored": ("counter", "", "Digests that are no submission."),
    "waiting": ("gauge", "", "Digests that wait for a slot of a quota, at the last round."),
    "attachments": ("counter", "", "Log entries that were attached to a digest."),
    "publications": ("counter", "", "Times that the log was published."),
    "workers": ("gauge", "state", "Workers that run, and that have ended and wait to be started."),
    "worker_restarts": ("counter", "", "Workers that were started again."),
    "submissions": ("gauge", "state", "Submissions of the ledger, at the last round."),
    "phases": ("gauge", "status", "Phases of runs that have ended, at the last round."),
}
_PREFIX = "evaluator_watch_"


class Metrics:
    """Counters and gauges that several threads may change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str], float] = {
            (name, ""): 0.0 for name, (_, label, _) in _TABLE.items() if not label
        }

    def add(self, name: str, label: str = "", by: float = 1) -> None:
        """Count something."""
        with self._lock:
            self._values[name, label] = self._values.get((name, label), 0.0) + by

    def set(self, name: str, value: float, label: str = "") -> None:
        """Say how much there is of something now."""
        with self._lock:
            self._values[name, label] = value

    def replace(self, name: str, values: dict[str, int]) -> None:
        """Say how much there is now, for every value of the label."""
        with self._lock:
            for _, label in [key for key in self._values if key[0] == name]:
                self._values[name, label] = 0
            for label, value in values.items():
                self._values[name, label] = value

    def get(self, name: str, label: str = "") -> float:
        """Return a value; 0 where nothing was counted."""
        with self._lock:
            return self._values.get((name, label), 0.0)

    def text(self) -> str:
        """Return all of it in the text format, version 0.0.4."""
        with self._lock:
            values = dict(self._values)
        lines = []
        for name, (kind, label, about) in _TABLE.items():
            full = f"{_PREFIX}{name}{'_total' if kind == 'counter' else ''}"
            lines += [f"# HELP {full} {about}", f"# TYPE {full} {kind}"]
            for (of, word), value in sorted(values.items()):
                if of == name:
                    shown = f'{{{label}="{word}"}}' if label else ""
                    lines.append(f"{full}{shown} {value:.15g}")
        return "\n".join(lines) + "\n"

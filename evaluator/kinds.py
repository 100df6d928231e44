"""The kinds of statements that are signed here, as far as who verifies them must know.

One row each: its schema, what the schema cannot say, what must add up, its own time, and which
earlier entry of which log it refers to. `evaluator.result` and `evaluator.log.statements` have the
models by which they are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evaluator import schema
from evaluator.arithmetic import require_arithmetic
from evaluator.consistency import require_consistent

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

BASE = "https://submission-evaluator.example/"
RESULT = f"{BASE}evaluation-result/v1"
RECEIVED = f"{BASE}submission-received/v1"
ABORTED = f"{BASE}run-aborted/v1"
WITHDRAWN = f"{BASE}result-withdrawn/v1"
KEY_CHANGE = f"{BASE}key-change/v1"


def _nothing(_: Json) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of statement; the functions get its predicate."""

    schema: str
    require_agreement: Callable[[Json], None] = _nothing
    require_sums: Callable[[Json], None] = _nothing
    time: str = ""
    """The field with its own time: its name, after that of what it stands in."""
    earlier: str = ""
    """The field with the position of the entry that it refers to, likewise."""

    def fits(self, statement: Json) -> bool:
        """Whether it is a statement by its schema whose parts agree."""
        try:
            schema.check(self.schema, statement)
            self.require_agreement(statement["predicate"])
            time = self.own_time(statement["predicate"])
            if time is not None:
                datetime.fromisoformat(time)
        except ValueError:
            return False
        return True

    def own_time(self, predicate: Json) -> str | None:
        """When it was made or released, by its own word; None where it does not say."""
        return _field(predicate, self.time) if self.time else None

    def refers_to(self, predicate: Json) -> tuple[int, str | None]:
        """The position of an earlier entry, or -1, and the name of the log where it says it."""
        position = _field(predicate, self.earlier) if self.earlier else -1
        log = predicate.get("log")
        return position, log["origin"] if log else None


def _field(predicate: Json, path: str) -> Any:  # noqa: ANN401  # anything JSON can say
    found: Any = predicate
    for name in path.split("."):
        found = found[name]
    return found


def _received(predicate: Json) -> None:
    number, adapted, run = (predicate[name] for name in ("number", "adapted", "run"))
    if len({number is None, adapted is not None, run is not None}) > 1:
        raise ValueError("it is a submission, or an adapted model")


KINDS = {
    RESULT: Kind(
        "result.json", require_consistent, require_arithmetic, "release.at", "log.received"
    ),
    RECEIVED: Kind("log.json", _received, time="received"),
    ABORTED: Kind("log.json", earlier="received"),
    WITHDRAWN: Kind("log.json", earlier="result"),
    KEY_CHANGE: Kind("log.json", time="not_before"),
    f"{BASE}holdout-commitment/v1": Kind("log.json"),
    f"{BASE}policy-change/v1": Kind("log.json"),
    f"{BASE}window-published/v1": Kind("log.json"),
}

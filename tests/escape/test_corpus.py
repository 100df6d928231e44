"""Every technique of the corpus, three ways: behind the wall, behind one control, open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from trials import try_open

from evaluator.attacks.corpus import Attack, corpus
from evaluator.attacks.tries import try_all as try_behind_wall

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.attacks.corpus import Outcome
    from evaluator.attacks.probing import Bench

ROWS = list(corpus())
RUNTIMES = [
    pytest.param("runc", marks=pytest.mark.docker),
    pytest.param("runsc", marks=[pytest.mark.docker, pytest.mark.gvisor]),
]
Found = dict[tuple[str, str], "Outcome"]


@pytest.fixture(scope="module", params=RUNTIMES)
def found(request: pytest.FixtureRequest, make_bench: Callable[[str], Bench]) -> Found:
    """What came of every try: (id, "wall"), (id, "open") and (id, CONTROL)."""
    return try_all(make_bench(request.param), ROWS)


def try_all(bench: Bench, rows: list[Attack]) -> Found:
    """Try rows in all three configurations."""
    tries = {"wall": rows, "open": [r for r in rows if r.expected(bench.runtime).open != "-"]}
    for row in rows:
        for control in row.stopped_by(bench.runtime):
            if row.expected(bench.runtime).alone != "-":
                tries.setdefault(control, []).append(row)
    found: Found = {}
    for name, chosen in tries.items():
        if name == "wall":
            results = list(try_behind_wall(chosen, bench))
        else:
            results = try_open(chosen, bench, None if name == "open" else name)
        found |= {(tried.attack.id, name): tried.outcome for tried in results}
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_each_try_ends_as_the_table_says(
    row: Attack, found: Found, request: pytest.FixtureRequest
) -> None:
    """Behind the wall it is stopped, behind one control it is stopped, in the open it succeeds."""
    runtime = request.node.callspec.params["found"]
    expected = row.expected(runtime)
    seen = {name: outcome for (id_, name), outcome in found.items() if id_ == row.id}
    wanted = {"wall": expected.wall}
    if expected.open != "-":
        wanted["open"] = "contained" if expected.open == "absent" else expected.open
    if expected.alone != "-":
        wanted |= dict.fromkeys(row.stopped_by(runtime), expected.alone)
    if expected.open == "absent":  # then it was stopped or had no effect, whatever we allowed
        wanted["open"] = seen["open"] if seen["open"] != "succeeds" else wanted["open"]
    assert seen == wanted

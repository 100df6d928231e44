"""`evaluator doctor`, and what `evaluator run` makes of its verdict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


RUNTIMES = ["runc", pytest.param("runsc", marks=pytest.mark.gvisor)]
pytestmark = pytest.mark.docker


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_this_host_is_sealed_and_every_technique_names_what_stops_it(
    command: Callable[..., Any], tmp_path: Path, runtime: str
) -> None:
    """The quick half ends SEALED, and leaves nothing open."""
    ended = command("doctor", "--json", "--runtime", runtime, "--workspace", tmp_path)
    found = ended.document()
    assert (ended.code, found["verdict"]) == (0, "SEALED"), ended.stderr
    assert len(found["wall"]) > 40
    claimed = [row for row in found["wall"] if row["must"] and row["outcome"] == "blocked"]
    assert all(row["controls"] for row in claimed)
    assert {"id", "status", "found", "why", "fix"} <= found["host"][0].keys()


def test_a_terminal_gets_the_same_in_words(command: Callable[..., Any], workspace: Path) -> None:
    """Host, wall and verdict, in this order."""
    ended = command("doctor", "--workspace", workspace)
    places = [ended.stdout.index(words) for words in ("the host", "the wall", "SEALED under runc")]
    assert places == sorted(places)
    assert not list((workspace / "tmp").iterdir())


def test_a_required_risk_that_is_open_stops_a_run(
    command: Callable[..., Any],
    workspace: Path,
    save_model: Callable[..., Path],
    set_limit: Callable[..., None],
) -> None:
    """`require` makes a residual risk fatal; without it the same run is signed."""
    arguments = ("run", save_model(), "--vendor", "acme", "--workspace", workspace)
    set_limit(require=["shared-kernel"])
    refused = command(*arguments)
    assert refused.code == 3
    assert "UNSEALED (shared-kernel)" in refused.stderr
    assert command("doctor", "--workspace", workspace).code == 3
    assert not list((workspace / "results").rglob("*.json"))
    set_limit(require=[])
    assert command(*arguments).code == 0


def test_a_result_says_what_was_seen_of_the_wall(
    command: Callable[..., Any], workspace: Path, save_model: Callable[..., Path]
) -> None:
    """SEALED, the techniques that were stopped, and the risks that are left."""
    assert command("run", save_model(), "--vendor", "acme", "--workspace", workspace).code == 0
    (signed,) = (workspace / "results" / "acme").iterdir()
    verified = command("verify", signed, "--workspace", workspace, "--json").document()
    wall = verified["statement"]["predicate"]["sandbox"]["wall"]
    assert wall["verdict"] == "SEALED"
    assert {"net-tcp-host", "fs-tiles-write", "k-io-uring"} <= {*wall["stopped"]}
    assert "shared-kernel" in wall["residual"]


def test_the_wall_is_tried_once_and_again_when_the_policy_changed(
    command: Callable[..., Any],
    workspace: Path,
    save_model: Callable[..., Path],
    set_limit: Callable[..., None],
) -> None:
    """The first run on a policy tries the wall, the next does not."""
    arguments = ("run", save_model(), "--vendor", "acme", "--workspace", workspace)
    (workspace / "wall.json").unlink(missing_ok=True)
    first, second = command(*arguments), command(*arguments)
    set_limit(processes=400)
    third = command(*arguments)
    assert [ended.code for ended in (first, second, third)] == [0, 0, 0]
    tried = ["Trying the wall" in ended.stderr for ended in (first, second, third)]
    assert tried == [True, False, True]


def test_a_spoiled_memory_of_the_wall_is_no_proof(
    command: Callable[..., Any], workspace: Path, save_model: Callable[..., Path]
) -> None:
    """What cannot be read was not seen: the wall is tried again."""
    (workspace / "wall.json").write_text(json.dumps({"x": {"probe": 1}}))
    ended = command("run", save_model(), "--vendor", "acme", "--workspace", workspace)
    assert (ended.code, "Trying the wall" in ended.stderr) == (0, True)

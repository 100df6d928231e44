"""The verdict of the wall, from outcomes made up here."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.attacks.corpus import Attack, Outcome, attack
from evaluator.attacks.probing import Tried
from evaluator.doctor.wall import Wall, digest

CLAIMED = replace(attack("net-tcp-host"), must=True)
UNCLAIMED = replace(CLAIMED, id="kernel-log", must=False)
OUTCOMES: tuple[Outcome, ...] = ("blocked", "contained", "succeeds", "absent", "unknown", "-")


def wall(*tried: tuple[Attack, Outcome]) -> Wall:
    """A wall on which these techniques ended so."""
    return Wall(tuple(Tried(row, outcome) for row, outcome in tried))


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        ("blocked", "SEALED"),
        ("contained", "SEALED"),
        ("absent", "SEALED"),
        ("succeeds", "UNSEALED"),
        ("unknown", "UNKNOWN"),
        ("-", "UNKNOWN"),
    ],
)
def test_one_technique_decides_the_verdict(outcome: Outcome, verdict: str) -> None:
    """What got through unseals, what was not seen to be stopped leaves it unknown."""
    assert wall((CLAIMED, "blocked"), (CLAIMED, outcome)).verdict == verdict


def test_nothing_tried_is_no_seal() -> None:
    """A wall that nothing was tried on is unknown."""
    assert wall().verdict == "UNKNOWN"


def test_what_the_wall_does_not_claim_leaves_it_sealed_and_is_named() -> None:
    """A technique that only the host can stop is a residual risk, not a hole."""
    examined = wall((CLAIMED, "blocked"), (UNCLAIMED, "succeeds"))
    assert examined.verdict == "SEALED"
    assert [tried.attack.id for tried in examined.residual] == ["kernel-log"]
    assert examined.stopped == ("net-tcp-host",)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(OUTCOMES)), min_size=1))
def test_sealed_means_that_every_claim_was_seen_to_hold(tries: list[tuple[bool, Outcome]]) -> None:
    """SEALED exactly where something is claimed, and no claim is open, unknown or untried."""
    examined = wall(*((CLAIMED if must else UNCLAIMED, outcome) for must, outcome in tries))
    claimed = [outcome for must, outcome in tries if must]
    held = bool(claimed) and {*claimed} <= {"blocked", "contained", "absent"}
    assert (examined.verdict == "SEALED") == held


def test_a_verdict_holds_for_one_host_policy_and_probe() -> None:
    """Another kernel, another policy or another probe is another digest."""
    first = digest({"kernel": "6.1"}, "policy", "probe")
    assert first == digest({"kernel": "6.1"}, "policy", "probe")
    others = [
        digest({"kernel": "6.2"}, "policy", "probe"),
        digest({"kernel": "6.1"}, "other", "probe"),
        digest({"kernel": "6.1"}, "policy", "other"),
    ]
    assert first not in others

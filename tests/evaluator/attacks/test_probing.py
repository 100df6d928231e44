"""A technique's outcome is what the host saw, then what the probe can prove, then its word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evaluator.attacks.corpus import attack
from evaluator.attacks.probing import RECORD, Evidence, judged

STOPPED, SUCCEEDED, PROOF = 1, 2, 12345
ROW = attack("fs-labels-reach")


@pytest.mark.parametrize(
    ("witness", "seen", "said", "number", "runtime", "outcome"),
    [
        ("tcp", {"tcp"}, SUCCEEDED, 0, "runc", "succeeds"),
        ("tcp", {"tcp"}, STOPPED, 5, "runc", "succeeds"),
        ("tcp", {"udp"}, STOPPED, 5, "runc", "blocked"),
        ("tcp", {"udp"}, SUCCEEDED, 0, "runc", "contained"),
        ("labels", set(), SUCCEEDED, PROOF, "runsc", "succeeds"),
        ("labels", set(), SUCCEEDED, PROOF + 1, "runsc", "contained"),
        ("labels", set(), STOPPED, PROOF, "runsc", "blocked"),
        ("kernel", set(), SUCCEEDED, 0, "runc", "succeeds"),
        ("kernel", set(), SUCCEEDED, 0, "runsc", "contained"),
    ],
)
def test_the_hosts_side_outweighs_the_probes_word(
    witness: str, seen: set[str], said: int, number: int, runtime: str, outcome: str
) -> None:
    """An errno that happens to be the proof's number proves nothing."""
    record = RECORD.pack(said, 0, 0, number)
    row = replace(ROW, witness=witness)
    evidence = Evidence(frozenset(seen), {"labels": PROOF}, frozenset(), counted=True)
    found = judged(row, record, evidence, runtime)
    assert found.outcome == outcome

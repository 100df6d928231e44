"""The fuzzer, for long enough to see that it finds and that there is nothing to find."""

from __future__ import annotations

from tests.evaluator import fuzz_intake


def test_random_archives_are_accepted_or_refused() -> None:
    """A minute of what runs for half an hour by hand; all the common endings were reached."""
    outcome = fuzz_intake.fuzz(60)

    assert outcome["guilty"] == []
    assert {"accepted", "EVA101", "EVA106", "EVA202", "EVA207", "EVA209"} <= set(outcome["endings"])
    assert outcome["cases"] > fuzz_intake.BATCH

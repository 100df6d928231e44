"""Two sizes here, one number there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.challenge import sample_challenge
from evaluator.compute import Compute
from evaluator.evaluate import Evaluation, Phase
from evaluator.lint.facts import Estimate, StepFacts
from evaluator.petaflops import MICRO
from evaluator.rehearsal.estimates import Owner, estimates
from evaluator.training_check import Plan
from sandbox import load_policy

POLICY = load_policy(Path(__file__).parents[3] / "policies" / "sandbox.toml")
CHALLENGE = sample_challenge()
HOLDOUT, TRAINING = CHALLENGE.tiles.holdout, CHALLENGE.tiles.training
OWNER = Owner(CHALLENGE, POLICY, Compute(100 * MICRO, MICRO, cpu=1e14), 1.0)
START = 0.25


def step(
    tiles: int, load: float, each: float, verb: str = "predict", phase: str = "baseline"
) -> StepFacts:
    """A container that loads for so long and takes so long for each tile, on one CPU."""
    busy = load + each * tiles
    return StepFacts(
        phase=phase,  # type: ignore[arg-type]  # a text here
        verb=verb,
        tiles=tiles,
        status="OK",
        exit_code=0,
        start=START,
        seconds=START + busy,
        cpu_seconds=busy,
        gpu_seconds=0.0,
        peak_memory=1000 + 10 * tiles,
        log="",
        cut=False,
        output="right" if verb == "predict" else "",
    )


def predicted(load: float, each: float) -> list[StepFacts]:
    """The flow's own prediction, and the small one."""
    return [step(256, load, each), step(8, load, each)]


def baseline(steps: list[StepFacts], status: str = "OK", owner: Owner = OWNER) -> Estimate:
    """The one estimate of a run of the baseline alone."""
    (found,) = estimates(Evaluation(Phase(status)), steps, None, owner)
    return found


@given(load=st.floats(0, 60), each=st.floats(0, 0.5))
def test_loading_is_told_from_predicting(load: float, each: float) -> None:
    """What takes a constant and a multiple of the tiles is foreseen exactly."""
    found = baseline(predicted(load, each))

    assert found.load == pytest.approx(load, abs=1e-6)
    assert found.per_tile == pytest.approx(each, abs=1e-6)
    assert found.seconds == pytest.approx(START + load + each * HOLDOUT, abs=1e-2)
    assert found.peak_memory == 1000 + 10 * HOLDOUT


def test_the_charge_is_in_whole_steps() -> None:
    """10 s of that CPU are 1 PF, at 2 ms a tile, and with loading they are more."""
    assert baseline(predicted(0.0, 0.00199)).petaflops == 1.0
    assert baseline(predicted(1.0, 0.00199)).petaflops == 2.0


def test_what_passes_the_deadline_is_a_timeout() -> None:
    """Though here it ended in time."""
    each = POLICY.predict_seconds / HOLDOUT
    rich = replace(OWNER, compute=replace(OWNER.compute, left=10**12))

    assert baseline(predicted(1.0, each), owner=rich).status == "TIMEOUT"
    assert baseline(predicted(0.0, each * 0.99), owner=rich).status == "OK"


def test_what_passes_the_budget_is_spent() -> None:
    """1000 s of that CPU are all that is allowed."""
    found = baseline(predicted(0.0, 1001 / HOLDOUT))

    assert (found.status, found.petaflops) == ("BUDGET_SPENT", 100.0)
    assert baseline(predicted(0.0, 990 / HOLDOUT)).status == "OK"


def test_a_slower_processor_of_the_owners_takes_longer_and_charges_alike() -> None:
    """Busy seconds times the peak are the same there."""
    here, there = (
        baseline(predicted(1.0, 0.01), owner=replace(OWNER, speed=speed)) for speed in (1.0, 3.0)
    )

    assert there.seconds == pytest.approx(3 * here.seconds)
    assert there.petaflops == here.petaflops


def test_what_failed_here_is_foreseen_to_fail() -> None:
    """With its own word, and with what little is known."""
    failed = replace(step(256, 2.0, 0.0), status="NONZERO_EXIT")

    found = baseline([failed], "NONZERO_EXIT")
    assert (found.status, found.load) == ("NONZERO_EXIT", 0.0)
    assert baseline([], "TIMEOUT").status == "TIMEOUT"


def test_a_small_prediction_that_failed_says_nothing() -> None:
    """Then all of the time is taken for that of the tiles, which is more than it will be."""
    steps = [step(256, 1.0, 0.01), replace(step(8, 1.0, 0.01), status="NONZERO_EXIT")]

    assert baseline(steps).seconds > START + 1.0 + 0.01 * HOLDOUT


def test_training_loads_as_a_prediction_does() -> None:
    """The rest of it grows with its tiles."""
    steps = [*predicted(2.0, 0.001), step(256, 2.0, 0.004, "train", "tuned")]
    steps.append(step(256, 2.0, 0.001, phase="tuned"))
    rich = replace(OWNER, compute=replace(OWNER.compute, left=10**12))

    _, tuned = estimates(Evaluation(Phase("OK"), Phase("OK")), steps, None, rich)
    wanted = 2 * (START + 2.0) + 0.004 * TRAINING + 0.001 * HOLDOUT
    assert tuned.seconds == pytest.approx(wanted, rel=0.05)


def test_our_own_trainers_plan_is_believed() -> None:
    """It was made for the owner's number of tiles."""
    steps = [*predicted(0.0, 0.0), step(256, 1.0, 1.0, "train", "tuned")]
    plan = Plan(0, -1, 0, 500.0, 900.0, 0.0, cuda=False)

    _, tuned = estimates(Evaluation(Phase("OK"), Phase("OK")), steps, plan, OWNER)
    assert tuned.seconds == pytest.approx(500 + START)
    assert tuned.petaflops == pytest.approx(90.0)


def test_the_second_phase_has_what_the_first_one_left() -> None:
    """As the flow has it."""
    each = 600 / HOLDOUT
    steps = [*predicted(0.0, each), step(256, 0.0, 0.0, "train", "tuned")]
    steps.append(step(256, 0.0, each, phase="tuned"))

    found = estimates(Evaluation(Phase("OK"), Phase("OK")), steps, None, OWNER)
    assert [each.status for each in found] == ["OK", "BUDGET_SPENT"]


def test_what_was_refused_has_no_estimate() -> None:
    """None of it would run."""
    assert estimates(Evaluation(Phase("REFUSED")), [], None, OWNER) == ()

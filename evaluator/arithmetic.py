"""Steps 9 to 12 of verification: every figure, charge and bit of a result follows, or may be.

On the statement's plain JSON, which the schema has been through. How figures follow is one function
for each task, `_classification` here and `require_errors` of `evaluator.error_arithmetic`; the rest
is the same for both.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from evaluator import leakage
from evaluator.error_arithmetic import error_grid_of, require_errors
from evaluator.errors import VerificationError
from evaluator.jcs import as_read
from evaluator.petaflops import MICRO
from evaluator.scoring import (
    Grid,
    Holdout,
    Published,
    counts_of,
    derive,
    difference,
)
from evaluator.status import UNTOUCHED

Json = dict[str, Any]

_SAID_BESIDE = {"status", "task", "charge"}

_phase_bits = lru_cache(1 << 8)(leakage.phase_bits)
"""The results of one leaderboard have few data sets and budgets."""


def require_arithmetic(predicate: Json) -> None:
    """Raise VerificationError, naming the step, unless the result adds up.

    9. The independent figures of each phase lie on the published grid, and some counts give them.
    10. Every other figure, intervals and gains included, follows from those.
    11. Charges are whole steps, together no more than the budget.
    12. The leakage bits of the run follow; those of the data set are what the ledger said.
    """
    # Steps 9 and 10
    if predicate["dataset"]["task"] == "regression":
        require_errors(predicate, holdout_of(predicate))
    else:
        _classification(predicate)
    # Step 11
    _require_charges(predicate)
    # Step 12
    _require_leakage(predicate)


def holdout_of(predicate: Json) -> Holdout:
    """Return what scoring and leakage need of the holdout."""
    dataset = predicate["dataset"]
    sizes = dataset["class_sizes"]
    return Holdout(
        dataset["holdout_tiles"],
        tuple(dataset["classes"]),
        tuple(dataset["rare_classes"]),
        None if sizes is None else tuple(sizes),
    )


def grid_of(predicate: Json) -> Grid:
    """Return how many of each published step make 1."""
    return Grid(**{name: round(1 / step) for name, step in predicate["grid"].items()})


def phases_of(predicate: Json) -> list[Json]:
    """Return the phases that there are, the baseline first."""
    phases = predicate["phases"]
    return [phases[name] for name in ("baseline", "tuned") if phases[name]]


def _classification(predicate: Json) -> None:
    """Steps 9 and 10 of counts of tiles that were predicted right."""
    grid, holdout, gain = grid_of(predicate), holdout_of(predicate), predicate["phases"]["gain"]
    scored = [phase for phase in phases_of(predicate) if phase["status"] == "OK"]
    shares = [_on_grid(phase, grid, holdout) for phase in scored]
    for phase, published in zip(scored, shares, strict=True):
        _require_possible(published, grid, holdout)
        stated = {key: value for key, value in phase.items() if key not in _SAID_BESIDE}
        if stated != as_read(derive(published, grid, holdout)):
            raise VerificationError(
                "Step 10, derived figures: a mean or an interval does not follow from the "
                "published figures."
            )
    if gain and gain != as_read(difference(shares[0], shares[1], grid, holdout)):
        raise VerificationError(
            "Step 10, derived figures: a gain does not follow from the figures of the two phases."
        )


def _on_grid(phase: Json, grid: Grid, holdout: Holdout) -> Published:
    """Return the published figures as steps of the grid, which each of them must be."""
    recall = phase["recall"]
    if {*recall} != {*holdout.classes}:
        raise VerificationError("Step 9, grid: the recalls are not one for each class.")
    return Published(
        accuracy=_steps(phase["accuracy"], grid.accuracy),
        recall=tuple(_steps(recall[name], grid.recall) for name in holdout.classes),
        rare_accuracy=_steps(phase["rare_accuracy"], grid.rare_accuracy),
    )


def _steps(value: float, steps: int) -> int:
    step = round(value * steps)
    if step / steps != value:
        raise VerificationError("Step 9, grid: a figure is not a whole number of grid steps.")
    return step


def _require_possible(published: Published, grid: Grid, holdout: Holdout) -> None:
    """Require counts that give these figures: of all tiles, of each class, and of the sums.

    Without class sizes only the accuracy can be held to this.
    """
    everything = counts_of(published.accuracy, grid.accuracy, holdout.tiles)
    possible = bool(everything)
    if holdout.class_sizes is not None:
        pairs = zip(published.recall, holdout.class_sizes, strict=True)
        single = [counts_of(step, grid.recall, tiles) for step, tiles in pairs]
        rare_tiles = sum(holdout.class_sizes[index] for index in holdout.rare_indexes)
        together = counts_of(published.rare_accuracy, grid.rare_accuracy, rare_tiles)
        possible = _sum_meets(single, everything) and _sum_meets(
            [single[index] for index in holdout.rare_indexes], together
        )
    if not possible:
        raise VerificationError(
            "Step 9, counts: no predictions on a holdout of this size give these figures."
        )


def _sum_meets(parts: Sequence[range], whole: range) -> bool:
    """Whether one count from each of `parts` can add up to one in `whole`."""
    if not whole or not all(parts):
        return False
    low, high = sum(part[0] for part in parts), sum(part[-1] for part in parts)
    return low <= whole[-1] and whole[0] <= high


def _require_charges(predicate: Json) -> None:
    compute = predicate["compute"]
    step, budget = (round(compute[name] * MICRO) for name in ("step", "budget"))
    charges = [
        round(phase["charge"] * MICRO)
        for phase in phases_of(predicate)
        if phase["status"] != "REFUSED"
    ]
    if any(charge % step for charge in charges) or sum(charges) > budget:
        raise VerificationError(
            "Step 11, charges: a charge is no whole number of steps, or they pass the budget."
        )


def _require_leakage(predicate: Json) -> None:
    """Require the run's bits to follow; of the sum over all runs only the ledger can know."""
    compute, phases, release = (predicate[name] for name in ("compute", "phases", "release"))
    charges = round(compute["budget"] * MICRO) // round(compute["step"] * MICRO) + 1
    regression = predicate["dataset"]["task"] == "regression"
    grid = error_grid_of(predicate) if regression else grid_of(predicate)
    one = _phase_bits(holdout_of(predicate), grid, charges)
    follow = {
        name: 0.0 if phases[name] is None or phases[name]["status"] in UNTOUCHED else one
        for name in ("baseline", "tuned")
    }
    slot = 3600 * release["every_hours"]
    follow["release"] = leakage.release_bits(release["longest_seconds"], slot)
    follow["run"] = leakage.total(*follow.values())
    stated = predicate["leakage_bits"]
    if any(stated[name] != bits for name, bits in follow.items()):
        raise VerificationError(
            "Step 12, leakage: the bits stated do not follow from the grid, the holdout and the "
            "release slots."
        )

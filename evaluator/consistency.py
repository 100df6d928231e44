"""What a result must be beyond its schema: values that have one spelling, fields that agree.

Plain Python on the statement's JSON, for those who verify; the pydantic models of
`evaluator.predicate` hold the same where a result is made, and tests hold each to the other.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from evaluator import leakage
from evaluator.errors import OwnerError
from evaluator.petaflops import MICRO, in_micro
from evaluator.regression import ErrorGrid
from evaluator.scoring import PLACES

Json = dict[str, Any]


def require_consistent(predicate: Json) -> None:
    """Raise ValueError unless the parts of a result that fits the schema agree."""
    _require_spelled(predicate)
    for part, holds in _HOLDS.items():
        if not holds(predicate[part]):
            raise ValueError(f"the parts of `{part}` contradict each other")
    phases = predicate["phases"]
    if phases["tuned"] and not phases["adapted"] and predicate["training"] is None:
        raise ValueError("a phase was fine-tuned on no tiles")
    if not _tasks(phases) <= {predicate["dataset"]["task"]}:
        raise ValueError("a phase is of another task than the data set")


def _tasks(phases: Json) -> set[str]:
    """What was predicted, of all that was scored."""
    scored = (phases[name] for name in ("baseline", "tuned"))
    tasks: set[str] = {phase["task"] for phase in scored if phase and phase["status"] == "OK"}
    if phases["gain"] is not None:
        tasks |= {"regression" if "rmse" in phases["gain"] else "classification"}
    return tasks


def _require_spelled(predicate: Json) -> None:
    compute = predicate["compute"]
    for value in (compute["budget"], compute["step"], *_charges(predicate["phases"])):
        in_micro(value)
    bits = predicate["leakage_bits"]
    stated = (bits[name] for name in ("baseline", "tuned", "release", "run", "dataset"))
    if any(leakage.total(value) != value for value in stated):
        raise ValueError("bits are given in tenths")
    if predicate["dataset"]["task"] == "regression":
        _require_error_grid(predicate["grid"], predicate["dataset"]["range"])
    elif not all(map(_is_step, predicate["grid"].values())):
        raise ValueError("a step is 1 divided by a divisor of 10,000")


def _require_error_grid(grid: Json, limits: Any) -> None:  # noqa: ANN401  # as JSON has it
    """Steps and range of errors are decimals, and the range is a whole number of steps."""
    if limits is None or "error" not in grid or not _is_step(grid["r2"]):
        raise ValueError("the grid is of another task than the data set")
    try:
        ErrorGrid.of(limits, grid["error"], grid["crop_error"], round(1 / grid["r2"]))
    except OwnerError as error:
        raise ValueError("the range of the targets is no whole number of steps") from error


def _charges(phases: Json) -> Iterator[float]:
    for name in ("baseline", "tuned"):
        if phases[name] and "charge" in phases[name]:
            yield phases[name]["charge"]


def _is_step(value: float) -> bool:
    steps = round(1 / value)
    return PLACES % steps == 0 and 1 / steps == value


def _dataset(dataset: Json) -> bool:
    """Classes and rare classes are listed once, and class sizes add up to the holdout."""
    classes, rare, sizes = (dataset[key] for key in ("classes", "rare_classes", "class_sizes"))
    listed_once = len({*classes}) == len(classes) and len({*rare}) == len(rare)
    adds_up = sizes is None or (
        len(sizes) == len(classes) and sum(sizes) == dataset["holdout_tiles"]
    )
    numbers = dataset["task"] == "regression"
    described = {dataset["unit"] is not None, dataset["range"] is not None} == {numbers}
    enough = numbers or len(classes) > 1
    return listed_once and {*rare} <= {*classes} and adds_up and described and enough


def _compute(compute: Json) -> bool:
    """The budget is a whole number of steps."""
    budget: int = round(compute["budget"] * MICRO)
    step: int = round(compute["step"] * MICRO)
    return budget % step == 0


def _release(release: Json) -> bool:
    """It is the end of a slot, slots being counted from 1970 in UTC."""
    at = datetime.fromisoformat(release["at"]).timestamp()
    return bool(at % (3600 * release["every_hours"]) == 0)


def _phases(phases: Json) -> bool:
    """Which phases there can be beside each other, and when there is a gain."""
    baseline, tuned, adapted = (phases[name] for name in ("baseline", "tuned", "adapted"))
    status = [phase and phase["status"] for phase in (baseline, tuned)]
    gained = (phases["gain"] is not None) == (status == ["OK", "OK"])
    early = status[0] != "REFUSED" or not tuned
    late = status[1] != "REFUSED" or bool(adapted)
    named = (baseline is None) == (adapted is not None)
    return gained and early and late and named and bool(baseline or tuned)


def _leakage_bits(bits: Json) -> bool:
    """The run's are among the data set's, and those within the budget."""
    return bool(bits["run"] <= bits["dataset"] <= bits["budget"])


_HOLDS = {
    "dataset": _dataset,
    "compute": _compute,
    "release": _release,
    "phases": _phases,
    "leakage_bits": _leakage_bits,
}

"""One container checks a model and predicts with it, and has no tile in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import Allowance, Mount, ResidentSteps, Spec, Status, Steps
from sandbox.wall import RUN_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker

pytestmark = pytest.mark.docker

SECCOMP = (Path(__file__).parents[2] / "policies" / "seccomp.json").read_text()
RUNTIMES = [
    pytest.param("runc", id="runc"),
    pytest.param("runsc", id="runsc", marks=pytest.mark.gvisor),
]
# Says which tiles it sees before and after its answer; a start counts in /tmp.
PROGRAM = """
see() { [ -e /input/tiles.npy ] && printf "$1" || printf "$2"; }
echo x >> /tmp/starts
answer=$(see T -)$(cat /input/limits)
printf "$answer" > /output/predictions
[ "$1" = check ] && exit 0
until [ -e /input/tiles.npy ]; do sleep 0.01; done
cat /input/tiles.npy /tmp/starts > /output/predictions
"""


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """What the prediction is of."""
    path = tmp_path / "tiles.npy"
    path.write_text("tiles")
    path.chmod(0o444)
    return path


@pytest.fixture
def steps(scratch: Path) -> Iterator[ResidentSteps]:
    """Of one run."""
    with ResidentSteps(Steps(scratch, SECCOMP)) as steps:
        yield steps


@pytest.fixture
def specs(
    make_image: Callable[..., str], make_spec: Callable[..., Spec], tmp_path: Path, tiles: Path
) -> Callable[..., tuple[Spec, Spec]]:
    """A check that waits, and the prediction that follows it."""
    limits = tmp_path / "limits"
    limits.write_text("1")

    def make(script: str = PROGRAM, **changes: object) -> tuple[Spec, Spec]:
        mounts = (Mount(limits, "/input/limits"), Mount(limits, "/submission/model.onnx"))
        asked = make_spec(make_image(script), inputs=mounts, output_size=2, **changes)
        predicted = replace(asked, inputs=(Mount(tiles, "/input/tiles.npy"), *mounts))
        return replace(asked, verb="check", waits=True), replace(predicted, output_size=7)

    return make


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_tiles_come_after_the_answer(
    steps: ResidentSteps, specs: Callable[..., tuple[Spec, Spec]], runtime: str
) -> None:
    """Its answer was given without a tile, and the same container then has them."""
    check, predict = specs(runtime=runtime)

    answer, outcome = steps.run(check), steps.run(predict)

    assert (answer.status, answer.output) == (Status.OK, b"-1")
    assert (outcome.status, outcome.output) == (Status.OK, b"tilesx\n")  # one start


def test_a_folder_with_tiles_would_have_been_seen(
    steps: ResidentSteps, specs: Callable[..., tuple[Spec, Spec]], tiles: Path
) -> None:
    """The control: the same program says so where they are there from the beginning."""
    check, _ = specs(PROGRAM.partition("until")[0])
    given = replace(check, inputs=(*check.inputs, Mount(tiles, "/input/tiles.npy")))

    assert steps.run(given).output == b"T1"


def test_a_check_that_nothing_follows_is_removed(
    specs: Callable[..., tuple[Spec, Spec]], scratch: Path, engine: docker.APIClient
) -> None:
    """A refused model's container ends with its run, and never had a tile."""
    check, _ = specs()
    filters = {"label": f"{RUN_LABEL}={check.run}"}

    with ResidentSteps(Steps(scratch, SECCOMP)) as steps:
        steps.run(check)
        waiting = engine.containers(filters=filters)

    assert len(waiting) == 1
    assert engine.containers(all=True, filters=filters) == []


@pytest.mark.parametrize("change", [{"cpuset": "0"}, {"allowance": Allowance(gpu_memory=1)}])
def test_another_container_is_not_the_one_that_waits(
    steps: ResidentSteps,
    specs: Callable[..., tuple[Spec, Spec]],
    change: dict[str, object],
) -> None:
    """A prediction behind another wall starts anew, with its tiles from the beginning."""
    check, predict = specs()
    steps.run(check)

    outcome = steps.run(replace(predict, **change))  # type: ignore[arg-type]  # its fields

    assert outcome.status is Status.OK


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("script", "status", "seconds"),
    [("exit 3", Status.NONZERO_EXIT, 60.0), ("sleep 99", Status.TIMEOUT, 3.0)],
)
def test_a_check_without_an_answer_says_how_it_ended(
    steps: ResidentSteps,
    specs: Callable[..., tuple[Spec, Spec]],
    script: str,
    status: Status,
    seconds: float,
    runtime: str,
) -> None:
    """As any container does; and nothing waits then."""
    check, _ = specs(script, seconds=seconds, runtime=runtime)

    assert steps.run(check).status is status


def test_a_budget_is_of_the_prediction(
    steps: ResidentSteps, specs: Callable[..., tuple[Spec, Spec]]
) -> None:
    """A check has no limit of operations; what it used counts as soon as there is one."""
    busy = PROGRAM + "while :; do :; done"
    check, predict = specs(busy, allowance=Allowance(per_cpu_second=1.0))
    asked = replace(predict, allowance=Allowance(0.5, per_cpu_second=1.0))

    answer, outcome = steps.run(check), steps.run(asked)

    assert (answer.status, outcome.status) == (Status.OK, Status.BUDGET_SPENT)

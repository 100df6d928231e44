"""The steps of a rehearsal, with a program of the test's in the machine's place."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluator.rehearsal.attempt import Rehearsal
from evaluator.rehearsal.by_hand import command
from evaluator.rehearsal.machine import FEW, Noted
from evaluator.rehearsal.showing import TAIL, shown_steps
from evaluator.rehearsal.synthetic import make_dataset
from sandbox import LOG_BYTES, Limits, Mount, Outcome, Spec, Status, Usage
from tests.helpers.challenges import challenge_of_kind
from tests.helpers.verdicts import GOOD

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

IMAGE = "sha256:" + "4" * 64
LIMITS = Limits(2.0, 2**30, 2**20, 2**20, 64, 64, 60.0)
USED = Usage(1.0, 0.5, 2**20, 0, 0, 0.0, 0, 0.0, "cgroup")


@dataclass
class Engine:
    """Writes the same for each tile, and prints what it is told."""

    noted: Noted
    answer: bytes
    printed: bytes = b""
    status: Status = Status.OK
    specs: list[Spec] = field(default_factory=list)

    def prepare(self, _holder: Spec, _size: int) -> AbstractContextManager[None]:
        """Nothing is held."""
        return nullcontext()

    def run(self, spec: Spec) -> Outcome:
        """End as told."""
        self.specs.append(spec)
        self.noted.log(spec.verb, self.printed)
        code = 0 if self.status is Status.OK else 3
        return Outcome(self.status, self.answer * spec.output_size, code, 1.0, USED, 0.25)


@pytest.fixture
def noted(tmp_path: Path) -> Noted:
    """A rehearsal of 20 grey tiles; the owner has 5000 and 25,000."""
    dataset = make_dataset(challenge_of_kind("grey"), 20, tmp_path)
    return Noted(dataset, (5000, 25_000), tmp_path, "mine:1", lambda _: None)


def engine(noted: Noted, answer: bytes = b"\1", **told: object) -> Engine:
    """What runs the steps of a rehearsal from now on."""
    noted.steps = made = Engine(noted, answer, **told)  # type: ignore[arg-type]  # as named there
    return made


def spec(noted: Noted, verb: str = "predict", model: str = "", *, training: bool = False) -> Spec:
    """A container as the flow asks for it."""
    side = noted.dataset.training if training else noted.dataset.holdout
    assert side is not None
    inputs = [Mount(side.manifest, "/input/manifest.json")]
    if verb != "check":
        inputs.append(Mount(side.tiles, "/input/tiles.npy"))
    size = side.size if verb == "predict" else 192 if verb == "check" else 0
    return Spec(
        "0123456789abcdef",
        IMAGE,
        verb,
        tuple(inputs),
        size,
        LIMITS,
        model=model,  # type: ignore[arg-type]  # a text here
    )


def manifest(asked: Spec) -> dict[str, object]:
    """What a container was told of its tiles."""
    loaded: dict[str, object] = json.loads(asked.inputs[0].source.read_bytes())
    return loaded


def test_a_prediction_is_made_in_two_sizes(noted: Noted) -> None:
    """The flow's own as it stands, then a few of the same tiles in the same container."""
    made, asked = engine(noted), spec(noted)
    outcome = noted.run(asked)
    few = made.specs[1]

    assert made.specs[0] == asked
    assert len(outcome.output) == 20
    assert (few.image, few.limits, few.output_size) == (asked.image, asked.limits, FEW)
    assert [mount.target for mount in few.inputs] == [mount.target for mount in asked.inputs]
    assert manifest(few) == manifest(asked) | {"tiles": FEW}
    tiles = np.load(few.inputs[1].source)
    assert (tiles == np.load(asked.inputs[1].source)[:FEW]).all()
    assert [(step.tiles, step.output) for step in noted.facts] == [(20, "right"), (FEW, "right")]


def test_nothing_is_run_again_after_a_failure_or_a_training(noted: Noted) -> None:
    """A second try would only take time."""
    made = engine(noted, status=Status.NONZERO_EXIT)
    noted.run(spec(noted))
    made.status = Status.OK
    noted.run(spec(noted, "train", "write", training=True))
    noted.run(spec(noted, "predict", "read"))

    assert [(step.phase, step.verb) for step in noted.facts] == [
        ("baseline", "predict"),
        ("tuned", "train"),
        ("tuned", "predict"),
    ]


def test_a_look_at_a_model_is_told_of_the_owners_tiles(noted: Noted) -> None:
    """So that a plan for them is a plan for them."""
    made = engine(noted)
    noted.run(spec(noted, "check"))
    noted.run(spec(noted, "check", training=True))

    assert [manifest(asked)["tiles"] for asked in made.specs[:1]] == [25_000]
    assert [step.phase for step in noted.facts] == ["baseline", "tuned"]
    assert len(noted.checks) == 2


@pytest.mark.parametrize(
    ("answer", "found"),
    [(b"", "missing"), (b"\1\1", "long"), (b"\7", "out of range"), (b"\2", "right")],
)
def test_what_was_written_is_told(noted: Noted, answer: bytes, found: str) -> None:
    """By the rules of a run."""
    engine(noted, answer, status=Status.NONZERO_EXIT)
    noted.run(spec(noted))

    assert [step.output for step in noted.facts] == [found]


def shown(noted: Noted, *, verbose: bool = False) -> str:
    """What a vendor reads of it."""
    facts = GOOD.facts.__class__(
        "image", "0" * 64, 1, GOOD.facts.challenge, steps=tuple(noted.facts)
    )
    lines = shown_steps(Rehearsal(facts, tuple(noted.commands)), "", verbose=verbose)
    return "\n".join(lines)


def test_a_log_is_bounded_and_says_so(noted: Noted) -> None:
    """One byte more tells that there was more."""
    engine(noted, printed=b"x" * (LOG_BYTES + 1))
    noted.run(spec(noted))

    assert (len(noted.facts[0].log), noted.facts[0].cut) == (LOG_BYTES, True)
    assert "which nobody read" in shown(noted)


def test_a_vendors_words_stay_words(noted: Noted) -> None:
    """No line begins with them; nothing in them moves a cursor or commands a build."""
    hostile = b"::error::x\n##[add-mask]y\n##vso[task]z\n\x1b[2J\r\xe2\x80\xaeabc\n\xff\xfe"
    engine(noted, printed=hostile)
    noted.run(spec(noted))
    said = shown(noted)

    assert not {"\x1b", "\r", "\u202e"} & set(said)
    assert not [line for line in said.splitlines() if line.lstrip().startswith(("::", "##"))]
    assert "##[" not in said
    assert "##vso" not in said
    assert ":error::x" in said  # the control: they are shown


def test_a_log_is_shown_in_full_where_it_is_needed(noted: Noted) -> None:
    """After a failure, or when it is asked for; else its end."""
    lines = b"".join(b"line %d.\n" % number for number in range(TAIL + 5))
    made = engine(noted, printed=lines)
    noted.run(spec(noted))
    assert "line 0." not in shown(noted)
    assert f"line {TAIL + 4}." in shown(noted)
    assert "line 0." in shown(noted, verbose=True)

    noted.facts.clear()
    noted.commands.clear()
    made.status = Status.NONZERO_EXIT
    noted.run(spec(noted))
    assert "line 0." in shown(noted)
    assert "docker run" in shown(noted)


def test_a_line_repeats_a_step_with_the_vendors_own_image(noted: Noted) -> None:
    """And with ours where the program is ours; what is kept lies where the line says."""
    engine(noted)
    noted.kept = noted.scratch / "kept"
    noted.run(spec(noted))
    line = noted.commands[0]

    assert line.endswith(" mine:1 predict")
    assert "--network none --read-only" in line
    assert f"--memory {2**30} --memory-swap {2**30}" in line
    assert '--volume "$PWD/predict/input/tiles.npy:/input/tiles.npy:ro"' in line
    assert (noted.kept / "predict" / "input" / "tiles.npy").is_file()
    assert (noted.kept / "seccomp.json").is_file()
    assert command(spec(noted), "").endswith(f" {IMAGE} predict")
    assert command(spec(noted), "; rm -rf x").endswith(" '; rm -rf x' predict")

"""What is believed of a training: its own records come by the model, and the last look counts."""

from __future__ import annotations

import tarfile
from contextlib import nullcontext
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from evaluator.attacks import training_tries
from evaluator.attacks.corpus import attack
from evaluator.attacks.kept_tries import ARCHIVES, Place
from evaluator.attacks.probing import RECORD
from evaluator.attacks.training_tries import try_trained
from sandbox import Limits, Outcome, Status

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from evaluator.attacks.probing import Bench
    from sandbox import Spec

STOPPED, SUCCEEDED = 1, 2
TRAINED, TUNED = attack("ft-train-output"), attack("ft-model-write")


class FakeSteps:
    """Containers whose probe says what it is told to, by name; it succeeds at being alive."""

    def __init__(self, said: dict[str, int], trained: bytes = b"") -> None:
        self.said = said
        self.trained = trained
        self.names: list[str] = []

    def prepare(self, _holder: Spec, _size: int) -> AbstractContextManager[None]:
        """No volume."""
        return nullcontext()

    def run(self, spec: Spec) -> Outcome:
        """The records of its techniques, and in the last container those of the training too."""
        names = spec.verb.split(",")
        if spec.model == "write":
            self.names = names
            return Outcome(Status.OK, self.trained, 0, 0.0)
        more = spec.output_size // RECORD.size - len(names)
        names += self.names if more else []
        records = (RECORD.pack(self.said.get(name, STOPPED), 0, 0, 0) for name in names)
        return Outcome(Status.OK, b"".join(records), 0, 0.0)


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_tries, "_on_disk", lambda _: False)


def tried(steps: FakeSteps, scratch: Path) -> list[str]:
    """How the two rows ended."""
    bench = SimpleNamespace(
        probe=f"sha256:{'0' * 64}",
        runtime="runc",
        seccomp="",
        limits=Limits(1.0, 2**29, 2**20, 2**20, 64, 64, 10.0),
        scratch=scratch,
        host="127.0.0.1",
        host6="::1",
        steps=steps,
    )
    return [each.outcome for each in try_trained([TRAINED, TUNED], cast("Bench", bench))]


@pytest.mark.parametrize(
    ("said", "trained", "outcomes"),
    [
        ({}, b"", ["blocked", "blocked"]),
        ({}, b"!", ["succeeds", "blocked"]),
        ({TUNED.id: SUCCEEDED}, b"", ["blocked", "contained"]),
        ({f"{TUNED.id}-look": SUCCEEDED}, b"", ["blocked", "succeeds"]),
        ({f"{TUNED.id}-leave": SUCCEEDED}, b"", ["blocked", "blocked"]),
    ],
)
def test_the_effect_counts_and_not_the_word(
    said: dict[str, int], trained: bytes, outcomes: list[str], tmp_path: Path
) -> None:
    """An output of `train`, and a change that the container after it sees."""
    assert tried(FakeSteps({"alive": SUCCEEDED} | said, trained), tmp_path) == outcomes


def test_a_probe_that_could_not_even_read_has_shown_nothing(tmp_path: Path) -> None:
    """Neither where it trains nor where it predicts."""
    assert tried(FakeSteps({}), tmp_path) == ["unknown", "unknown"]


@pytest.mark.parametrize("name", sorted(ARCHIVES.keys() - {"ft-archive-gzip"}))
def test_a_hostile_archive_begins_like_an_honest_one(name: str, tmp_path: Path) -> None:
    """What comes out first shows that it was unpacked at all."""
    content = ARCHIVES[name](Place(tmp_path))
    with tarfile.open(fileobj=BytesIO(content), mode="r:") as archive:
        first = archive.next()
    assert first is not None
    assert (first.name, first.isreg()) == ("weights", True)

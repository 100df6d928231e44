"""What counts as stopped at the door: the right refusal, or an image that has lost its trick."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import sandbox
from evaluator.admission import Admitted
from evaluator.attacks import image_tries, model_tries
from evaluator.attacks.corpus import attack
from evaluator.errors import Refused, SubmissionError
from sandbox import Limits, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.attacks.probing import Bench

IMAGE = f"sha256:{'1' * 64}"


def door(answer: Exception | None) -> Callable[..., object]:
    """A door that refuses with an exception, or lets everything in."""

    @contextmanager
    def admitted(*_: object) -> Iterator[Admitted]:
        if answer is not None:
            raise answer
        yield Admitted(IMAGE, ())

    return admitted


class FakeJob:
    """A run that starts nothing."""

    scratch = None
    seccomp = ""

    def predict(self, *_: object) -> None:
        """No container."""


class FakeBench:
    """A bench whose limits nobody reaches."""

    runtime = "runc"
    limits = Limits(1.0, 2**29, 2**20, 2**20, 64, 64, 10.0)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench without an engine."""
    for module in (image_tries, model_tries):
        monkeypatch.setattr(module, "stand_in_job", lambda *_: FakeJob())
    return FakeBench()  # type: ignore[return-value]  # all that the tries look at


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(Refused("EVA201", ""), "blocked"), (Refused("EVA101", ""), "unknown"), (None, "succeeds")],
)
def test_a_forged_image_is_stopped_by_its_own_rule_alone(
    answer: Exception | None, outcome: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another rule means that the forgery no longer is what it was."""
    row = attack("fs-device-node-in-layer")
    monkeypatch.setattr(image_tries, "admitted", door(answer))
    monkeypatch.setattr(image_tries, "TRICKS", {row.id: lambda _: True})
    monkeypatch.setattr(sandbox, "run", lambda *_: Outcome(Status.OK, b"", 0, 0.0))
    assert image_tries.try_image(row, bench).outcome == outcome


@pytest.mark.parametrize(
    ("still", "status", "outcome"),
    [
        (False, Status.OK, "blocked"),
        (True, Status.OK, "succeeds"),
        (False, Status.START_FAILED, "unknown"),
    ],
)
def test_an_image_that_is_let_in_has_lost_its_trick_and_starts(
    *,
    still: bool,
    status: Status,
    outcome: str,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that does not even start has shown nothing."""
    row = attack("fs-setuid-in-layer")
    monkeypatch.setattr(image_tries, "admitted", door(None))
    monkeypatch.setattr(image_tries, "TRICKS", {row.id: lambda _: still})
    monkeypatch.setattr(sandbox, "run", lambda *_: Outcome(status, b"", 0, 0.0))
    assert image_tries.try_image(row, bench).outcome == outcome


@pytest.mark.parametrize(
    ("name", "answer", "outcome"),
    [
        ("mdl-custom-op", Refused("EVA311", ""), "blocked"),
        ("mdl-custom-op", Refused("EVA302", ""), "unknown"),
        ("mdl-mem-bomb", SubmissionError("OUT_OF_MEMORY", ""), "blocked"),
        ("mdl-mem-bomb", SubmissionError("TIMEOUT", ""), "unknown"),
        ("mdl-custom-op", None, "succeeds"),
    ],
)
def test_a_forged_model_is_stopped_by_its_own_rule_or_status_alone(
    name: str,
    answer: Exception | None,
    outcome: str,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that is accepted has got through, whatever it does next."""
    monkeypatch.setattr(model_tries, "admitted", door(answer))
    assert model_tries.try_model(attack(name), bench).outcome == outcome

"""Models that are kept: where they lie, for how long, and that nobody here looks into them."""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import sandbox
from evaluator.adapted import keep_adapted, open_adapted, sweep_adapted
from evaluator.admission import Received
from evaluator.errors import OwnerError
from evaluator.job import Job
from evaluator.workspace import Workspace, init
from sandbox import lock

if TYPE_CHECKING:
    from pathlib import Path

RUN = "0123456789abcdef"
MODEL = b"\x00whatever it is\xff" * 1000
BYTES = b"a submission"
DIGEST = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture(autouse=True)
def _own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of this test alone."""
    monkeypatch.setattr(lock, "lock_path", lambda: tmp_path / "evaluator.lock")


@pytest.fixture
def farm(tmp_path: Path) -> Workspace:
    """A workspace."""
    return init(tmp_path / "farm", class_sizes=False)


@pytest.fixture
def job(farm: Workspace) -> Job:
    """A run of which its name and its scratch directory alone matter here."""
    fields: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    scratch = farm.scratch / RUN
    scratch.mkdir(mode=0o700)
    return Job(**fields | {"run": RUN, "scratch": scratch})


@pytest.fixture
def received(farm: Workspace) -> Received:
    """A submission in the queue."""
    file = farm.queue / "1" / "submission"
    file.parent.mkdir()
    file.write_bytes(BYTES)
    file.chmod(0o444)
    return Received("onnx", "file", DIGEST, len(BYTES), file, DIGEST)


def train(job: Job, model: bytes = MODEL) -> None:
    """What the container that packs the model leaves."""
    assert job.keep is not None
    job.keep.chmod(0o666)
    job.keep.write_bytes(model)


def keep(farm: Workspace, job: Job, received: Received) -> Job:
    """A run that trained a model and kept it."""
    with keep_adapted(farm, job, "acme", received, wanted=True) as keeping:
        train(keeping.job)
        return keeping.kept()


def release(farm: Workspace, run: str = RUN) -> None:
    """Give the run its signed result."""
    path = farm.result("acme", run)
    path.parent.mkdir(exist_ok=True)
    path.touch()


def test_a_kept_model_lies_beside_its_submission(
    farm: Workspace, job: Job, received: Received
) -> None:
    """As the bytes that were packed, in a directory that no other user enters."""
    kept = keep(farm, job, received)
    place = farm.adapted / RUN

    assert kept.keep == place / "model.tar"
    assert kept.keep.read_bytes() == MODEL
    assert (place / "submission").read_bytes() == BYTES
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (place, *place.iterdir())}
    assert modes == {RUN: 0o700, "model.tar": 0o444, "submission": 0o444, "about.json": 0o600}


def test_a_kept_model_is_opened_as_it_was_received(
    farm: Workspace, job: Job, received: Received
) -> None:
    """Also when the queue has dropped what was handed in."""
    keep(farm, job, received)
    received.file.unlink()
    adapted = open_adapted(farm, RUN)

    assert adapted.vendor == "acme"
    assert adapted.model.read_bytes() == MODEL
    assert adapted.received == replace(received, file=farm.adapted / RUN / "submission")
    assert adapted.received.file.read_bytes() == BYTES


def test_where_none_is_wanted_none_is_kept(farm: Workspace, job: Job, received: Received) -> None:
    """The job is as it was, and there is no place for a model."""
    with keep_adapted(farm, job, "acme", received, wanted=False) as keeping:
        assert keeping.job == keeping.kept() == job

    assert not farm.adapted.exists()
    assert list(job.scratch.iterdir()) == []


def test_the_archive_is_made_before_the_run(farm: Workspace, job: Job, received: Received) -> None:
    """One empty file in the run's own scratch directory: all that a container gets to write."""
    with keep_adapted(farm, job, "acme", received, wanted=True) as keeping:
        assert keeping.job.keep == job.scratch / "model.tar"
        assert keeping.job.keep.read_bytes() == b""


@pytest.mark.parametrize("gone", [False, True])
def test_where_nothing_was_trained_nothing_is_kept(
    farm: Workspace, job: Job, received: Received, *, gone: bool
) -> None:
    """Its archive is as empty as it was made, or was taken away because packing failed."""
    with keep_adapted(farm, job, "acme", received, wanted=True) as keeping:
        assert keeping.job.keep is not None
        if gone:
            keeping.job.keep.unlink()
        assert keeping.kept() == job

    assert not (farm.adapted / RUN).exists()


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, OwnerError, sandbox.SandboxError])
def test_a_model_without_a_result_is_not_kept(
    farm: Workspace, job: Job, received: Received, trouble: type[BaseException]
) -> None:
    """It had its place, and then its record could not be written."""

    def failing() -> None:
        with keep_adapted(farm, job, "acme", received, wanted=True) as keeping:
            train(keeping.job)
            keeping.kept()
            assert (farm.adapted / RUN).exists()
            raise trouble

    with pytest.raises(trouble):
        failing()
    assert not (farm.adapted / RUN).exists()
    assert received.file.read_bytes() == BYTES


def test_a_sweep_removes_what_a_killed_run_kept(
    farm: Workspace, job: Job, received: Received
) -> None:
    """No result of it was released; where one was, the model stays: the control."""
    keep(farm, job, received)
    release(farm)
    sweep_adapted(farm)
    assert (farm.adapted / RUN / "model.tar").read_bytes() == MODEL
    farm.result("acme", RUN).unlink()
    release(farm, "f" * 16)
    sweep_adapted(farm)

    assert list(farm.adapted.iterdir()) == []


def test_a_sweep_leaves_a_run_that_is_alive(farm: Workspace, job: Job, received: Received) -> None:
    """It has kept its model, and is about to write its result."""
    keep(farm, job, received)
    with sandbox.run_lock(RUN):
        sweep_adapted(farm)
        assert (farm.adapted / RUN).exists()
    sweep_adapted(farm)

    assert not (farm.adapted / RUN).exists()


def test_a_sweep_of_nothing_is_nothing(farm: Workspace) -> None:
    """There was no model yet."""
    sweep_adapted(farm)

    assert not farm.adapted.exists()


def test_a_run_that_kept_no_model_says_so(farm: Workspace) -> None:
    """And how models come to be kept."""
    with pytest.raises(OwnerError, match="keep_adapted_model = true"):
        open_adapted(farm, "f" * 16)


@pytest.mark.parametrize(
    "changes",
    [{"kind": "pickle"}, {"size": "1"}, {"more": 1}, {"sha256": None}],
)
def test_a_note_that_is_not_ours_is_not_opened(
    farm: Workspace, job: Job, received: Received, changes: dict[str, object]
) -> None:
    """Another kind, another type, a field too many or too few."""
    keep(farm, job, received)
    path = farm.adapted / RUN / "about.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    with pytest.raises(OwnerError, match="no adapted model"):
        open_adapted(farm, RUN)

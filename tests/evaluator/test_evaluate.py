"""The main flow, with a function in the sandbox's place."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluator.admission import Received
from evaluator.admission_policy import load_admission_policy
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.sealed import open_dataset, read_labels
from evaluator.errors import OwnerError
from evaluator.evaluate import Evaluation, evaluate
from evaluator.job import Job
from evaluator.onnx_check import RECORD
from evaluator.proof import Proof
from evaluator.workspace import shipped
from sandbox import Outcome, SandboxError, SandboxPolicy, Spec, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = RECORD.pack(*[0] * 24)
IMAGE = "sha256:" + "1" * 64


@pytest.fixture
def job(tmp_path: Path, class_folders: Callable[..., Path]) -> Job:
    """A run on eight held-out tiles of two classes."""
    source = class_folders({"barley": 10, "corn": 6})
    import_tiles(
        tmp_path / "data",
        source,
        ImportRules(rare=1),
        holdout=8,
        progress=lambda *_: None,
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    policy = SandboxPolicy("runc", 2**20, 2**20, 64, 64, 10, 10, (), "0" * 64)
    return Job(
        run="0123456789abcdef",
        dataset=open_dataset(tmp_path / "data"),
        policy=policy,
        admission=load_admission_policy(shipped("policies") / "admission.toml"),
        seccomp="{}",
        proof=Proof("SEALED", IMAGE, ("net-tcp-host",), ()),
        scratch=scratch,
        cpus=1.0,
        memory=2**30,
        gpus=(),
        largest=1000,
        runner=lambda: IMAGE,
    )


@pytest.fixture
def received(job: Job) -> Received:
    """An ONNX file of one byte."""
    file = job.scratch / "submission"
    file.write_bytes(b"x")
    return Received("onnx", "file", hashlib.sha256(b"x").hexdigest(), 1, file)


def answering(
    predict: Outcome, check: bytes = GOOD, seen: list[Spec] | None = None
) -> Callable[[Spec, Path, str], Outcome]:
    """A sandbox that lets every check pass and ends `predict` as told."""

    def run(spec: Spec, _scratch: Path, _seccomp: str) -> Outcome:
        if seen is not None:
            seen.append(spec)
        return Outcome(Status.OK, check, 0, 0.1) if spec.verb == "check" else predict

    return run


def outcome(output: bytes, status: Status = Status.OK) -> Outcome:
    """How `predict` ends."""
    return Outcome(status, output, 0 if status is Status.OK else 1, 0.5)


def test_right_predictions_are_counted(job: Job, received: Received) -> None:
    """Eight right answers out of eight, against labels the sandbox never had."""
    labels = read_labels(job.dataset.holdout, 2)

    evaluation = evaluate(received, job, answering(outcome(labels.tobytes())))

    assert evaluation.counts is not None
    assert (evaluation.counts.correct, evaluation.counts.total) == (8, 8)


def test_labels_are_in_no_container(job: Job, received: Received) -> None:
    """`check` sees the manifest and the model; `predict` the tiles as well; nobody a label."""
    seen: list[Spec] = []
    evaluate(received, job, answering(outcome(bytes(8)), seen=seen))

    assert [[mount.target for mount in spec.inputs] for spec in seen] == [
        ["/input/manifest.json", "/submission/model.onnx", "/input/admission.json"],
        [
            "/input/manifest.json",
            "/input/tiles.npy",
            "/submission/model.onnx",
            "/input/admission.json",
        ],
    ]
    names = {mount.source.name for spec in seen for mount in spec.inputs}
    assert names == {"manifest.json", "tiles.npy", "submission", "admission.json"}
    assert {m.source.parent for spec in seen for m in spec.inputs} == {
        job.dataset.holdout.tiles.parent,
        job.scratch,
    }


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_a_failed_container_is_an_evaluation(job: Job, received: Received, status: Status) -> None:
    """The submission's failure is its status, and no score."""
    evaluation = evaluate(received, job, answering(outcome(bytes(8), status)))

    assert (evaluation.status, evaluation.counts) == (status, None)


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (b"", "OUTPUT_MISSING"),
        (bytes(7), "OUTPUT_INVALID"),
        (bytes(9), "OUTPUT_INVALID"),
        (b"\2" * 8, "OUTPUT_INVALID"),
    ],
)
def test_wrong_output_is_an_evaluation(
    job: Job, received: Received, output: bytes, status: str
) -> None:
    """Too few, too many and out of range."""
    assert evaluate(received, job, answering(outcome(output))).status == status


def test_a_refused_model_never_meets_a_tile(job: Job, received: Received) -> None:
    """The runner's record decides, before any container with tiles exists."""
    seen: list[Spec] = []
    bad_input = [0] * 24
    bad_input[:9] = [5, 1, 1, 1, 4, -1, 3, 224, 224]

    evaluation = evaluate(
        received, job, answering(outcome(bytes(8)), RECORD.pack(*bad_input), seen)
    )

    assert evaluation.status == "REFUSED"
    assert evaluation.rules == ("EVA306",)
    assert "float32 (N, 3, 224, 224); expected" in evaluation.message
    assert [spec.verb for spec in seen] == ["check"]


@pytest.mark.parametrize("size", [0, 1001])
def test_a_file_of_the_wrong_size_runs_nothing(job: Job, received: Received, size: int) -> None:
    """Empty, or larger than the workspace allows."""
    seen: list[Spec] = []
    evaluation = evaluate(
        replace(received, size=size), job, answering(outcome(bytes(8)), seen=seen)
    )

    assert (evaluation.rules, seen) == (("EVA301",), [])


def test_a_changed_tile_stops_the_run(job: Job, received: Received) -> None:
    """The seal is checked first; what was tampered with is named."""
    tiles = job.dataset.holdout.tiles
    tiles.chmod(0o644)
    changed = np.load(tiles)
    changed[0, 0, 0] ^= 1
    np.save(tiles, changed)

    with pytest.raises(OwnerError, match=r"tiles\.npy"):
        evaluate(received, job, answering(outcome(bytes(8))))


def test_another_holdout_under_a_new_seal_stops_the_run(job: Job, received: Received) -> None:
    """Whoever can rewrite the seal still has to match what was published."""
    tiles = job.dataset.holdout.tiles
    tiles.chmod(0o644)
    changed = np.load(tiles)
    changed[0, 0, 0] ^= 1
    np.save(tiles, changed)
    seal = job.dataset.folder / "seal.json"
    document = json.loads(seal.read_text())
    digest = hashlib.sha256(tiles.read_bytes()).hexdigest()
    document["files"]["holdout/tiles/tiles.npy"] = digest
    seal.write_text(json.dumps(document))

    with pytest.raises(OwnerError, match="commits to"):
        evaluate(received, job, answering(outcome(bytes(8))))


def test_a_sandbox_that_fails_is_no_result(job: Job, received: Received) -> None:
    """Ours, so never the submission's status."""

    def broken(_spec: Spec, _scratch: Path, _seccomp: str) -> Outcome:
        raise SandboxError("the engine is gone")

    with pytest.raises(SandboxError):
        evaluate(received, job, broken)


def test_a_gpu_asked_for_and_not_given_is_no_result(job: Job, received: Received) -> None:
    """The runner says what computes; a silent CPU run would be scored as something else."""
    with pytest.raises(SandboxError, match="A GPU was asked for"):
        evaluate(received, replace(job, gpus=("GPU-1",)), answering(outcome(bytes(8))))


def test_with_a_gpu_live_the_same_run_is_scored(job: Job, received: Received) -> None:
    """The control of the test above."""
    live = [0] * 24
    live[19] = 1
    run = answering(outcome(bytes(8)), RECORD.pack(*live))

    evaluation: Evaluation = evaluate(received, replace(job, gpus=("GPU-1",)), run)

    assert evaluation.status == "OK"

"""The main flow where numbers are predicted, on a machine that is told the answers."""

from __future__ import annotations

import hashlib
import math
import struct
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.admission import Received
from evaluator.admission_policy import load_admission_policy
from evaluator.compute import Compute
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.sealed import open_dataset
from evaluator.dataset.targets import TargetRule, read_targets
from evaluator.errors import SubmissionError
from evaluator.evaluate import evaluate
from evaluator.job import Images, Job
from evaluator.onnx_check import RECORD
from evaluator.predictions import read_numbers
from evaluator.proof import Proof
from evaluator.regression import Errors
from evaluator.workspace import shipped
from sandbox import Outcome, SandboxPolicy, Spec, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNNER, TRAINER, HOLDER = ("sha256:" + letter * 64 for letter in "abc")
GOOD = RECORD.pack(*[0] * 24)


@dataclass
class Machine:
    """Ends each container as told, and keeps what it was asked for."""

    predictions: bytes
    specs: list[Spec] = field(default_factory=list)

    @contextmanager
    def prepare(self, _holder: Spec, _size: int) -> Iterator[None]:
        """No place is needed."""
        yield

    def run(self, spec: Spec) -> Outcome:
        """Every container ends well."""
        self.specs.append(spec)
        answers = {"check": GOOD, "predict": self.predictions, "train": b""}
        return Outcome(Status.OK, answers[spec.verb], 0, 0.5)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A run of two phases on eight held-out tiles of two crops."""
    source = tmp_path / "source"
    source.mkdir()
    random = np.random.default_rng(3)
    np.save(source / "tiles.npy", random.integers(0, 256, (24, 8, 8), dtype=np.uint8))
    np.save(source / "labels.npy", (np.arange(24) % 2).astype(np.uint8))
    np.save(source / "targets.npy", (np.arange(24) / 2).astype(np.float32))
    rules = ImportRules(rare=1, targets=TargetRule("t/ha", 0.0, 12.0))
    import_tiles(tmp_path / "data", source, rules, holdout=8, progress=lambda *_: None)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Job(
        run="0123456789abcdef",
        dataset=open_dataset(tmp_path / "data"),
        phases="both",
        policy=SandboxPolicy("runc", 2**20, 2**20, 2**20, 64, 64, 10, 10, 10, (), "0" * 64),
        admission=load_admission_policy(shipped("policies") / "admission.toml"),
        seccomp="{}",
        proof=Proof("SEALED", RUNNER, ("net-tcp-host",), ()),
        scratch=scratch,
        cpus=1.0,
        memory=2**30,
        gpus=(),
        largest=1000,
        compute=Compute(left=10**8, step=10**6, cpu=1e15),
        images=Images(runner=lambda: RUNNER, trainer=lambda: TRAINER, holder=lambda: HOLDER),
    )


@pytest.fixture
def received(job: Job) -> Received:
    """An ONNX file of one byte."""
    file = job.scratch / "submission"
    file.write_bytes(b"x")
    return Received("onnx", "file", hashlib.sha256(b"x").hexdigest(), 1, file)


def test_errors_are_those_of_the_holdouts_targets(job: Job, received: Received) -> None:
    """Half a tonne too much on every tile, in both phases."""
    guess = read_targets(job.dataset.holdout) + np.float32(0.5)

    evaluation = evaluate(received, job, Machine(guess.astype("<f4").tobytes()))

    for phase in evaluation.phases:
        assert phase.status == "OK"
        assert isinstance(phase.counts, Errors)
        document = phase.counts.document()
        assert (document["rmse"], document["mae"], document["bias"]) == (0.5, 0.5, 0.5)


def test_targets_are_in_no_container_but_those_of_training(job: Job, received: Received) -> None:
    """`train` has numbers and crops of the training tiles; nothing of the holdout's is mounted."""
    machine = Machine(bytes(4 * 8))
    evaluate(received, job, machine)
    dataset, training = job.dataset, job.dataset.training
    assert training is not None
    mounts = {spec.verb: {m.target: m.source for m in spec.inputs} for spec in machine.specs}

    assert mounts["train"]["/input/labels.npy"] == training.targets
    assert mounts["train"]["/input/crops.npy"] == training.labels
    secret = {dataset.holdout.labels, dataset.holdout.targets}
    assert not any(m.source in secret for spec in machine.specs for m in spec.inputs)
    assert {spec.output_size for spec in machine.specs if spec.verb == "predict"} == {32}
    assert not {"/input/labels.npy", "/input/crops.npy"} & mounts["predict"].keys()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", "OUTPUT_MISSING"),
        (bytes(31), "OUTPUT_INVALID"),
        (bytes(33), "OUTPUT_INVALID"),
        (bytes(8), "OUTPUT_INVALID"),
        (bytes(28) + struct.pack("<f", float("nan")), "OUTPUT_INVALID"),
        (bytes(28) + struct.pack("<f", float("-inf")), "OUTPUT_INVALID"),
        (bytes(28) + struct.pack("<f", 3.4e38), "OK"),
    ],
)
def test_what_is_no_number_for_each_tile_is_invalid(
    job: Job, received: Received, raw: bytes, status: str
) -> None:
    """The last one is the control: a huge number is a number, its error held to the range."""
    evaluation = evaluate(received, job, Machine(raw))

    assert [phase.status for phase in evaluation.phases] == [status] * 2


@given(st.binary(max_size=40), st.integers(1, 9))
def test_any_bytes_are_numbers_or_refused(raw: bytes, count: int) -> None:
    """Nothing else comes out: finite float32 of the right number, or a SubmissionError."""
    fits = len(raw) == 4 * count and all(map(math.isfinite, struct.unpack(f"<{count}f", raw)))
    if not fits:
        with pytest.raises(SubmissionError):
            read_numbers(raw, count)
        return
    numbers = read_numbers(raw, count)
    assert numbers.shape == (count,)
    assert numbers.astype("<f4").tobytes() == raw

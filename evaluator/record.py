"""The two documents of a run: the owner's exact one, and the signed one that may leave."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sandbox
from evaluator import __version__, leakage
from evaluator.files import sync, write_new
from evaluator.predicate import (
    About,
    Commitment,
    Dataset,
    DigestSet,
    Evaluator,
    Policy,
    Sandbox,
    Steps,
    Submission,
)
from evaluator.result import Result, private_document
from evaluator.signing import sign

if TYPE_CHECKING:
    from pathlib import Path

    from securesystemslib.signer import Signer

    from evaluator.admission import Received
    from evaluator.evaluate import Evaluation
    from evaluator.job import Job
    from evaluator.workspace import Publish, Workspace


@dataclass(frozen=True, slots=True)
class Record:
    """What came of an official run, and where it is written."""

    evaluation: Evaluation
    result: Result
    signed: Path
    private: Path


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs about whom, and where the documents go."""

    workspace: Workspace
    publish: Publish
    vendor: str
    signer: Signer


def write_record(issuer: Issuer, job: Job, received: Received, evaluation: Evaluation) -> Record:
    """Sign the rounded result and write both documents, or neither."""
    about = _about(job, issuer, received)
    slot = issuer.publish.release_every_hours * 3600
    longest = job.policy.check_seconds + job.policy.predict_seconds
    bits = leakage.release_bits(longest, slot)
    if evaluation.counts is None:
        result = Result.failed(received.sha256, about, evaluation.status, bits, evaluation.rules)
    else:
        result = Result.scored(received.sha256, about, evaluation.counts, bits)
    bundle = sign(result.payload(), issuer.signer)
    workspace = issuer.workspace
    private, signed = workspace.private(job.run), workspace.result(issuer.vendor, job.run)
    facts = _facts(received, evaluation, issuer.vendor)
    exact = private_document(job.run, facts, evaluation.counts).encode()
    _write_both((signed, bundle), (private, exact))
    return Record(evaluation, result, signed, private)


def finish_records(workspace: Workspace) -> None:
    """Settle what a run left that was killed while it wrote its record.

    Both documents are complete before the signed one gets its name. From then on the run
    counts, so its exact counts are kept as well; before that, nothing of it is.
    """
    results, private = workspace.root / "results", workspace.root / "private"
    for signed in results.glob("*/*.sigstore.json"):
        exact = workspace.private(signed.name.partition(".")[0])
        if _part(exact).exists():
            _part(exact).rename(exact)
            sync(private)
    for part in (*results.rglob(".*.part"), *private.glob(".*.part")):
        part.unlink()


def _about(job: Job, issuer: Issuer, received: Received) -> About:
    """What the result says whatever came of the run."""
    dataset, publish = job.dataset, issuer.publish
    return About(
        run=job.run,
        vendor=issuer.vendor,
        released=leakage.release_time(time.time(), publish.release_every_hours * 3600),
        submission=Submission(kind=received.kind, digest_of=received.digest_of),
        evaluator=Evaluator(version=__version__),
        dataset=Dataset(
            version=dataset.version,
            holdout_commitment=Commitment(
                name="commitment.json", digest=_digest(dataset.commitment.read_bytes())
            ),
            holdout_tiles=dataset.holdout.size,
            classes=dataset.classes,
            rare_classes=dataset.rare,
            class_sizes=dataset.holdout.counts if publish.class_sizes else None,
        ),
        policy=Policy(
            sandbox=DigestSet(sha256=job.policy.sha256), seccomp=_digest(job.seccomp.encode())
        ),
        sandbox=Sandbox(
            runtime=job.policy.runtime,
            engine=sandbox.engine_version(),
            runner=job.runner() if received.kind == "onnx" else None,
            device="cuda" if job.gpus else "cpu",
            cpus=job.cpus,
            memory_bytes=job.memory,
        ),
        grid=Steps.of(publish.grid()),
    )


def _digest(content: bytes) -> DigestSet:
    return DigestSet(sha256=hashlib.sha256(content).hexdigest())


def _facts(received: Received, evaluation: Evaluation, vendor: str) -> dict[str, object]:
    """What only the owner may know of a run besides its counts."""
    return {
        "vendor": vendor,
        "submission": {"kind": received.kind, "sha256": received.sha256, "bytes": received.size},
        "ended": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "status": evaluation.status,
        "rules": evaluation.rules,
        "message": evaluation.message,
        "exit_code": evaluation.exit_code,
        "predict_seconds": round(evaluation.seconds, 3),
    }


def _write_both(*files: tuple[Path, bytes]) -> None:
    """Write complete files under their names, in this order, or none of them."""
    try:
        for path, content in files:
            write_new(_part(path), content, 0o600)  # for its owner's eyes only
        for path, _ in files:
            _part(path).rename(path)
            sync(path.parent)
    except BaseException:
        for path, _ in files:
            path.unlink(missing_ok=True)
            _part(path).unlink(missing_ok=True)
        raise


def _part(path: Path) -> Path:
    """Where a file is written before it gets its name."""
    return path.with_name(f".{path.name}.part")

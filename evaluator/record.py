"""The two documents of a run: the owner's exact one, and the signed one that may leave.

    with reserved(issuer, job):       before the submission is touched: bits for its result
        write_record(issuer, ...)     both documents, and the bits they took, or none of it
    finish_records(workspace)         what a killed run left, before the next one

A run counts from the moment when the signed file has its name.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sandbox
from evaluator import __version__, leakage
from evaluator.errors import OwnerError, VerificationError
from evaluator.files import sync, write_new
from evaluator.leak_ledger import open_ledger
from evaluator.predicate import (
    About,
    Commitment,
    Dataset,
    DigestSet,
    Evaluator,
    Policy,
    Release,
    Sandbox,
    Steps,
    Submission,
    Wall,
)
from evaluator.result import Result, private_document
from evaluator.signing import sign
from evaluator.spending import longest_run, most_bits, published_holdout
from evaluator.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from securesystemslib.signer import Signer

    from evaluator.admission import Received
    from evaluator.evaluate import Evaluation
    from evaluator.job import Job
    from evaluator.leak_ledger import Ledger
    from evaluator.proof import Proof
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
    """Sign the rounded result, and write both documents and their row of the ledger, or nothing.

    The ledger has the result's true bits before the signed file gets its name.
    """
    about, workspace = _about(job, issuer, received), issuer.workspace
    private, signed = workspace.private(job.run), workspace.result(issuer.vendor, job.run)
    facts = _facts(received, evaluation, issuer.vendor)
    exact = private_document(job.run, facts, evaluation.counts).encode()
    with open_ledger(workspace.ledger) as ledger:
        account = leakage.Account(ledger.released(), issuer.publish.leakage_budget_bits)
        result = _result(received, about, evaluation, account)
        bundle = sign(result.payload(), issuer.signer)
        ledger.settle(job.run, result.predicate.leakage_bits.run)
        _write_both((signed, bundle), (private, exact), lambda: ledger.release(job.run))
    return Record(evaluation, result, signed, private)


def reserve(issuer: Issuer, job: Job) -> None:
    """Set aside the bits that the run's result may carry; OwnerError where they are not left."""
    bits = most_bits(job.dataset, issuer.publish, job.policy)
    with open_ledger(issuer.workspace.ledger) as ledger:
        budget = issuer.publish.leakage_budget_bits
        ledger.reserve(job.run, issuer.vendor, job.dataset.version, bits, budget)


@contextmanager
def reserved(issuer: Issuer, job: Job) -> Iterator[None]:
    """As `reserve`, and give the bits back where no result came of the block."""
    try:
        reserve(issuer, job)
        yield
    except BaseException:
        # What cannot be settled now, on a full disk for one, is settled before the next run.
        with sandbox.uninterrupted(), suppress(OwnerError, sandbox.SandboxError, OSError):
            finish_records(issuer.workspace)
        raise


def finish_records(workspace: Workspace) -> None:
    """Settle what a run left that was killed at any moment, in its documents and in the ledger.

    Both documents are complete before the signed one gets its name. From then on the run
    counts, so its exact counts are kept as well; before that, nothing of it is, and its bits
    are given back: nothing left the machine. A result of which the ledger has no row is added to
    it, so that a ledger restored from a backup, or lost, still counts all that was released.
    """
    _finish_documents(workspace)
    signed = {path.name.partition(".")[0]: path for path in workspace.results()}
    with open_ledger(workspace.ledger) as ledger:
        known = {entry.run: entry for entry in ledger.entries()}
        for run, path in signed.items():
            if run not in known:
                _adopt(path, workspace, ledger)
        for run in (run for run, entry in known.items() if entry.state == "reserved"):
            settle = ledger.release if run in signed else ledger.give_back
            settle(run)


def _adopt(path: Path, workspace: Workspace, ledger: Ledger) -> None:
    unknown = OwnerError(
        f"The ledger does not know {path}, and keys/signing.pub does not verify it as the result "
        "of that name, so its bits cannot be counted. Restore ledger.sqlite from a backup, or move "
        "that file away."
    )
    try:
        found = verify(path.read_bytes(), workspace.public_key.read_bytes()).result.predicate
    except (OSError, VerificationError) as error:
        raise unknown from error
    if workspace.result(found.vendor, found.run) != path:
        raise unknown
    ledger.adopt(found.run, found.vendor, found.dataset.version, found.leakage_bits.run)


def _finish_documents(workspace: Workspace) -> None:
    results, private = workspace.root / "results", workspace.root / "private"
    for signed in workspace.results():
        exact = workspace.private(signed.name.partition(".")[0])
        if _part(exact).exists():
            _part(exact).rename(exact)
            sync(private)
    for part in (*results.rglob(".*.part"), *private.glob(".*.part")):
        part.unlink()


def _result(
    received: Received, about: About, evaluation: Evaluation, account: leakage.Account
) -> Result:
    digest, counts = received.sha256, evaluation.counts
    if counts is None:
        return Result.failed(digest, about, evaluation.status, account, evaluation.rules)
    return Result.scored(digest, about, counts, account)


def _about(job: Job, issuer: Issuer, received: Received) -> About:
    """What the result says whatever came of the run."""
    dataset, publish = job.dataset, issuer.publish
    holdout = published_holdout(dataset, publish)
    return About(
        run=job.run,
        vendor=issuer.vendor,
        release=Release(
            at=leakage.release_time(time.time(), publish.release_every_hours * 3600),
            every_hours=publish.release_every_hours,
            longest_seconds=longest_run(job.policy),
        ),
        submission=Submission(kind=received.kind, digest_of=received.digest_of),
        evaluator=Evaluator(version=__version__),
        dataset=Dataset(
            version=dataset.version,
            holdout_commitment=Commitment(
                name="commitment.json", digest=_digest(dataset.commitment.read_bytes())
            ),
            holdout_tiles=holdout.tiles,
            classes=holdout.classes,
            rare_classes=holdout.rare,
            class_sizes=holdout.class_sizes,
        ),
        policy=Policy(
            sandbox=DigestSet(sha256=job.policy.sha256),
            seccomp=_digest(job.seccomp.encode()),
            admission=DigestSet(sha256=job.admission.sha256),
        ),
        sandbox=Sandbox(
            runtime=job.policy.runtime,
            engine=sandbox.engine_version(),
            runner=job.runner() if received.kind == "onnx" else None,
            device="cuda" if job.gpus else "cpu",
            cpus=job.cpus,
            memory_bytes=job.memory,
            wall=_wall(job.proof),
        ),
        grid=Steps.of(publish.grid()),
    )


def _wall(proof: Proof) -> Wall:
    """The proof as the result says it; only of a sealed host is there a result."""
    if proof.verdict != "SEALED":
        raise sandbox.SandboxError("This host is not SEALED, so no result is signed on it.")
    return Wall(
        verdict=proof.verdict, probe=proof.probe, stopped=proof.stopped, residual=proof.residual
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


def _write_both(
    signed: tuple[Path, bytes], exact: tuple[Path, bytes], released: Callable[[], None]
) -> None:
    """Write complete files under their names, the signed one first, and call `released`.

    Where any of it fails, neither file is left.
    """
    files = (signed, exact)
    try:
        for path, content in files:
            write_new(_part(path), content, 0o600)  # for its owner's eyes only
        for path, _ in files:
            _part(path).rename(path)
            sync(path.parent)
        released()
    except BaseException:
        for path, _ in files:
            path.unlink(missing_ok=True)
            _part(path).unlink(missing_ok=True)
        raise


def _part(path: Path) -> Path:
    """Where a file is written before it gets its name."""
    return path.with_name(f".{path.name}.part")

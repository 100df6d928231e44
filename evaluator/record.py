"""The two documents of a run: the owner's exact one, and the signed one that may leave.

    with reserved(issuer, job):       before the submission is touched: bits for its result
        write_record(issuer, ...)     both documents, and the bits they took, or none of it
    finish_records(workspace)         what a killed run left, before the next one

A run counts from the moment when the signed file has its name.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sandbox
from evaluator import __version__, leakage
from evaluator.bundle import named_key
from evaluator.error_phases import ErrorSteps
from evaluator.errors import OwnerError, VerificationError
from evaluator.files import sync, write_new
from evaluator.keys import read_trust
from evaluator.ledger import open_ledger
from evaluator.petaflops import MICRO, petaflops
from evaluator.predicate import (
    About,
    Commitment,
    Compute,
    Dataset,
    DigestSet,
    Evaluator,
    Policy,
    RefusedPhase,
    Release,
    Sandbox,
    Steps,
    Submission,
    Training,
    Wall,
)
from evaluator.queue import reason
from evaluator.result import Result, private_document
from evaluator.scoring import Grid
from evaluator.signing import sign
from evaluator.spending import longest_run, most_bits, published_grid, published_holdout
from evaluator.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from evaluator.admission import Received
    from evaluator.evaluate import Evaluation
    from evaluator.job import Job
    from evaluator.ledger import Ledger, Limits, RunRow
    from evaluator.ledger_rows import Reason, Statuses
    from evaluator.predicate import LogPosition, Predicate
    from evaluator.proof import Proof
    from evaluator.regression import ErrorGrid
    from evaluator.settings import Publish
    from evaluator.signing import Signer
    from evaluator.workspace import Workspace


_TICK = 3_000_000_000
"""Nanoseconds in which a folder may change twice and show one time: above any file system's."""

_WORTH_A_NOTE = 1000
"""Names: to read fewer costs less than to have on the disk that they need not be read again."""


@dataclass(frozen=True, slots=True)
class Record:
    """What came of an official run, and where it is written."""

    evaluation: Evaluation
    result: Result
    signed: Path
    private: Path


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs about whom, where the documents go, and what the vendor may use and owes.

    `log` is where the log has the submission. `budget` is the vendor's, in micro-petaflops, and
    `limits` the workspace's.
    """

    workspace: Workspace
    publish: Publish
    vendor: str
    signer: Signer
    log: LogPosition
    limits: Limits
    budget: int
    fee_cents: int


def write_record(issuer: Issuer, job: Job, received: Received, evaluation: Evaluation) -> Record:
    """Sign the rounded result, and write both documents and their row of the ledger, or nothing.

    The ledger has the result's true bits and charges before the signed file gets its name. No
    other result is written meanwhile: each states the sum of the bits of all before it.
    """
    about, workspace = _about(job, issuer, received), issuer.workspace
    private, signed = workspace.private(job.run), workspace.result(issuer.vendor, job.run)
    exact = private_document(job.run, _facts(received, issuer.vendor, job), evaluation).encode()
    with sandbox.sweep_lock(), sandbox.uninterrupted(), open_ledger(workspace.ledger) as ledger:
        account = leakage.Account(ledger.released(), issuer.publish.leakage_budget_bits)
        adapted = job.adapted.parent.name if job.adapted else None
        result = Result.of(received.sha256, about, evaluation, account, adapted)
        bundle = sign(result.payload(), issuer.signer)
        _settle(ledger, result.predicate, issuer.fee_cents)
        due = result.predicate.release.at
        _write_both((signed, bundle), (private, exact), lambda: ledger.release(job.run, due))
    return Record(evaluation, result, signed, private)


def reserve(issuer: Issuer, job: Job, submission: int | None = None) -> None:
    """Set aside the bits and the compute of a run; OwnerError where they are not left."""
    bits = most_bits(job.dataset, issuer.publish, job.policy, job.phases)
    with open_ledger(issuer.workspace.ledger) as ledger:
        ledger.start(
            job.run,
            submission,
            issuer.vendor,
            job.dataset.version,
            bits=bits,
            bit_budget=issuer.publish.leakage_budget_bits,
            micro_petaflops=0 if job.adapted else job.compute.left,
            limits=None if job.adapted else issuer.limits,
        )


@contextmanager
def reserved(issuer: Issuer, job: Job, submission: int | None = None) -> Iterator[None]:
    """As `reserve`, and give everything back where no result came of the block."""
    try:
        reserve(issuer, job, submission)
        yield
    except BaseException as error:
        # What cannot be settled now, on a full disk for one, is settled before the next run.
        with sandbox.uninterrupted(), suppress(OwnerError, sandbox.SandboxError, OSError):
            finish_records(issuer.workspace, [job.run], reason(error))
        raise


def finish_records(workspace: Workspace, dead: Collection[str], why: Reason = "killed") -> None:
    """Settle what `dead` runs left, at whatever moment they ended, in documents and in the ledger.

    Both documents are complete before the signed one gets its name. From then on the run
    counts, so its exact counts are kept as well; before that, nothing of it is, and what it had
    taken is given back: nothing left the machine. A result of which the ledger has no row is added
    to it, so that a ledger restored from a backup, or lost, still counts all that was released.
    """
    _finish_documents(workspace, dead)
    with open_ledger(workspace.ledger) as ledger:
        _adopt_unknown(workspace, ledger)
        for entry in ledger.running():
            if entry.run in dead:
                _end(entry, _signed(workspace, entry.run), workspace, ledger, why)


def _adopt_unknown(workspace: Workspace, ledger: Ledger) -> None:
    """Add every result to the ledger that has no row in it.

    This is asked before every run, of 100,000 results too: a vendor's folder that is as it was
    when all in it had a row is not read again.
    """
    results = workspace.root / "results"
    folders = sorted(os.scandir(results), key=lambda each: each.name) if results.is_dir() else []
    compared, known, read = ledger.compared(), {}, 0
    for folder in folders:
        state = _at_rest(folder.stat())  # before it is read: what comes later shows
        if state is not None and compared.get(folder.name) == state:
            continue
        found = _results_in(folder.path)
        for run in sorted(found - ledger.started(folder.name)):
            if ledger.run(run) is None:
                _adopt(workspace.result(folder.name, run), workspace, ledger)
        if state is not None:
            known[folder.name] = state
        read += 1 + len(found)
    if known and read > _WORTH_A_NOTE:
        ledger.found_known(known)


def _at_rest(folder: os.stat_result) -> str | None:
    """What changes with the names in a folder; None where it may yet change within one tick."""
    changed = max(folder.st_mtime_ns, folder.st_ctime_ns)
    if time.time_ns() - changed < _TICK:
        return None
    return f"{folder.st_dev} {folder.st_ino} {folder.st_mtime_ns} {folder.st_ctime_ns}"


def _results_in(folder: str) -> set[str]:
    """Return the runs whose signed results lie in a folder."""
    with suppress(NotADirectoryError):
        names = (name.partition(".") for name in os.listdir(folder))  # noqa: PTH208 - no Path for each
        return {run for run, _, kind in names if kind == "sigstore.json"}
    return set()


def _signed(workspace: Workspace, run: str) -> Path | None:
    """Return where the signed result of a run is, if it has one."""
    return next((workspace.root / "results").glob(f"*/{run}.sigstore.json"), None)


def _end(
    entry: RunRow, signed: Path | None, workspace: Workspace, ledger: Ledger, why: Reason
) -> None:
    """Give a run its end: its result is there, or nothing came of it."""
    if signed is None:
        ledger.abort(entry.run, why)
        return
    if entry.state == "reserved":  # an older ledger: this result had been settled once
        _settle(ledger, _own(signed, workspace), workspace.settings().fees.cents)
    ledger.release(entry.run)


def _adopt(path: Path, workspace: Workspace, ledger: Ledger) -> None:
    found = _own(path, workspace)
    statuses, charges = outcome_of(found)
    ledger.adopt(
        found.run,
        found.vendor,
        found.dataset.version,
        found.leakage_bits.run,
        statuses=statuses,
        micro_petaflops=charges,
        day=dt.datetime.fromisoformat(found.release.at).date(),
    )


def _own(path: Path, workspace: Workspace) -> Predicate:
    """What a signed result says; OwnerError unless it is this workspace's, under its own name."""
    unknown = OwnerError(
        f"The ledger does not know {path}, and no key in keys/ verifies it as the result of that "
        "name, so its bits cannot be counted. Restore ledger.sqlite from a backup, or move "
        "that file away."
    )
    try:
        raw, trust = path.read_bytes(), read_trust(workspace)
        key = trust.key(named_key(raw))  # whenever that was: a clock may have been wrong
        if key is None:
            raise unknown
        found = verify(raw, key.pem).result.predicate
    except (OSError, OwnerError, VerificationError) as error:
        raise unknown from error
    if workspace.result(found.vendor, found.run) != path:
        raise unknown
    return found


def _settle(ledger: Ledger, found: Predicate, fee_cents: int) -> None:
    """Lower what was set aside for a run to what its result states."""
    ledger.settle(found.run, found.leakage_bits.run, *outcome_of(found), fee_cents)


def outcome_of(found: Predicate) -> tuple[Statuses, tuple[int, int]]:
    """Return what the ledger has of a result: statuses, and charges in micro-petaflops."""
    return _statuses(found), _charges(found)


def _statuses(found: Predicate) -> Statuses:
    baseline, tuned = found.phases.baseline, found.phases.tuned
    return (baseline.status if baseline else None, tuned.status if tuned else None)


def _charges(found: Predicate) -> tuple[int, int]:
    """Micro-petaflops; an adapted model that the owner runs is metered and charged to nobody."""
    baseline, tuned = (
        0
        if found.phases.adapted or phase is None or isinstance(phase, RefusedPhase)
        else round(phase.charge * MICRO)
        for phase in (found.phases.baseline, found.phases.tuned)
    )
    return baseline, tuned


def _finish_documents(workspace: Workspace, dead: Collection[str]) -> None:
    results, private = workspace.root / "results", workspace.root / "private"
    for run in dead:
        exact = workspace.private(run)
        if _part(exact).exists() and _signed(workspace, run):
            _part(exact).rename(exact)
            sync(private)
        for part in (*results.glob(f"*/.{run}.*.part"), *private.glob(f".{run}.*.part")):
            part.unlink()


def _about(job: Job, issuer: Issuer, received: Received) -> About:
    """What the result says whatever came of the run."""
    dataset, publish = job.dataset, issuer.publish
    holdout = published_holdout(dataset, publish)
    return About(
        run=job.run,
        vendor=issuer.vendor,
        log=issuer.log,
        release=Release(
            at=leakage.release_time(time.time(), publish.release_every_hours * 3600),
            every_hours=publish.release_every_hours,
            longest_seconds=longest_run(job.policy, job.phases),
        ),
        submission=Submission(kind=received.kind, digest_of=received.digest_of),
        evaluator=Evaluator(version=__version__),
        dataset=Dataset(
            version=dataset.version,
            task=dataset.task,
            unit=dataset.unit,
            range=dataset.range,
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
            runner=job.images.runner() if received.kind == "onnx" else None,
            trainer=job.images.trainer() if received.kind == "onnx" and job.both else None,
            co_resident=job.co_resident,
            device="cuda" if job.gpus else "cpu",
            cpus=job.cpus,
            memory_bytes=job.memory,
            wall=_wall(job.proof),
        ),
        compute=Compute(
            budget=petaflops(issuer.budget),
            step=petaflops(job.compute.step),
            cpu_peak=job.compute.cpu,
            gpu_peak=job.compute.gpu if job.gpus else None,
        ),
        training=_training(job),
        grid=_steps(published_grid(dataset, publish)),
    )


def _steps(grid: Grid | ErrorGrid) -> Steps | ErrorSteps:
    return Steps.of(grid) if isinstance(grid, Grid) else ErrorSteps.of(grid)


def _training(job: Job) -> Training | None:
    if job.training is None:
        return None
    recipe = None if job.recipe is None else _digest(job.recipe)
    return Training(tiles=job.training.size, recipe=recipe)


def _wall(proof: Proof) -> Wall:
    """The proof as the result says it; only of a sealed host is there a result."""
    if proof.verdict != "SEALED":
        raise sandbox.SandboxError("This host is not SEALED, so no result is signed on it.")
    return Wall(
        verdict=proof.verdict, probe=proof.probe, stopped=proof.stopped, residual=proof.residual
    )


def _digest(content: bytes) -> DigestSet:
    return DigestSet(sha256=hashlib.sha256(content).hexdigest())


def _facts(received: Received, vendor: str, job: Job) -> dict[str, object]:
    """What only the owner may know of a run besides its phases."""
    return {
        "vendor": vendor,
        "submission": {"kind": received.kind, "sha256": received.sha256, "bytes": received.size},
        "ended": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "adapted_model": job.keep and job.keep.exists() and _archive(job.keep),
    }


def _archive(path: Path) -> dict[str, object]:
    """What is known of a model that was kept: nobody here looks into it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}


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

"""A workspace whose runs end without a container: their results say what a test wants them to.

    farm = open_farm(tmp_path, source)
    number = farm.submit("acme")
    run = farm.finish(number, right=6)       6 of the 8 tiles of the holdout

Everything else is the program's own: ledger, log, signatures, and the rounding of figures.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sandbox
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.sealed import open_dataset
from evaluator.evaluate import Evaluation, Phase
from evaluator.files import write_new
from evaluator.founding import found
from evaluator.in_force import rules_of
from evaluator.journal import log_started
from evaluator.leakage import Account
from evaluator.ledger import Vendor, open_ledger
from evaluator.petaflops import MICRO
from evaluator.predicate import (
    About,
    Commitment,
    Compute,
    Dataset,
    DigestSet,
    Evaluator,
    LogPosition,
    Policy,
    Release,
    Sandbox,
    Steps,
    Submission,
    Wall,
)
from evaluator.queue import Request, limits_of, submit
from evaluator.record import outcome_of
from evaluator.result import Result
from evaluator.scoring import Counts
from evaluator.signers import Signers
from evaluator.signing import load_key, load_log_key, sign
from evaluator.submission import Submission as HandedIn
from evaluator.workspace import CONFIG, Workspace

if TYPE_CHECKING:
    from pathlib import Path

CHARGE = 3


@dataclass(frozen=True, slots=True)
class Farm:
    """A workspace with its keys."""

    workspace: Workspace
    signers: Signers

    def submit(self, vendor: str = "acme", content: bytes = b"a model") -> int:
        """Hand a file in, baseline only."""
        path = self.workspace.root.parent / f"{secrets.token_hex(4)}.onnx"
        path.write_bytes(content)
        request = Request(HandedIn("onnx", path, ""), vendor, "baseline")
        return submit(self.workspace, request, self.signers, lambda _: None)

    def start(self, number: int) -> tuple[str, LogPosition]:
        """Start its run, as far as ledger and log are concerned."""
        run = secrets.token_hex(8)
        with open_ledger(self.workspace.ledger) as ledger:
            queued = ledger.queued(number)
        entered = log_started(self.workspace, self.signers, queued)
        settings = self.workspace.settings()
        with open_ledger(self.workspace.ledger) as ledger:
            ledger.start(
                run,
                number,
                queued.vendor,
                open_dataset(self.workspace.data).version,
                bits=150.0,
                bit_budget=settings.publish.leakage_budget_bits,
                micro_petaflops=10 * MICRO,
                limits=limits_of(settings),
            )
        return run, entered

    def finish(self, number: int, right: int = 6, ended: dt.datetime | None = None) -> str:
        """Run it to its end: `right` tiles of the holdout predicted right. Return the run."""
        run, entered = self.start(number)
        workspace = self.workspace
        with open_ledger(workspace.ledger) as ledger:
            queued = ledger.queued(number)
            about = self._about(run, queued.vendor, entered, ended)
            account = Account(ledger.released(), 16384)
            result = Result.of(
                queued.sha256, about, Evaluation(_phase(right, about.dataset)), account
            )
            outcome = outcome_of(result.predicate)
            ledger.settle(run, result.predicate.leakage_bits.run, *outcome, 250)
            bundle = sign(result.payload(), self.signers.result)
            write_new(workspace.result(queued.vendor, run), bundle, 0o600)
            ledger.release(run, result.predicate.release.at)
        return run

    def change(self, old: str, new: str) -> None:
        """Change a line of the settings."""
        path = self.workspace.root / CONFIG
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def _about(
        self, run: str, vendor: str, entered: LogPosition, ended: dt.datetime | None
    ) -> About:
        workspace, settings = self.workspace, self.workspace.settings()
        dataset = open_dataset(workspace.data)
        rules = rules_of(workspace, settings)
        sandbox_file, seccomp, admission = (each.digest for each in rules.subject)
        day = (ended or dt.datetime.now(dt.UTC)).date() + dt.timedelta(days=1)
        policy = sandbox.load_policy(workspace.sandbox_policy)
        return About(
            run=run,
            vendor=vendor,
            log=entered,
            release=Release(at=f"{day}T00:00:00Z", every_hours=24, longest_seconds=3720),
            submission=Submission(kind="onnx", digest_of="file"),
            evaluator=Evaluator(version="0.1.0"),
            dataset=Dataset(
                version=dataset.version,
                task="classification",
                unit=None,
                range=None,
                holdout_commitment=Commitment(
                    name="commitment.json", digest=_digest(dataset.commitment)
                ),
                holdout_tiles=dataset.holdout.size,
                classes=dataset.classes,
                rare_classes=dataset.rare,
                class_sizes=dataset.holdout.counts if settings.publish.class_sizes else None,
            ),
            policy=Policy(sandbox=sandbox_file, seccomp=seccomp, admission=admission),
            sandbox=Sandbox(
                runtime=policy.runtime,
                engine="20.10.24",
                runner="sha256:" + "4" * 64,
                trainer=None,
                co_resident=False,
                device="cpu",
                cpus=2.0,
                memory_bytes=2**31,
                wall=Wall(
                    verdict="SEALED",
                    probe="sha256:" + "7" * 64,
                    stopped=("net-connect",),
                    residual=(),
                ),
            ),
            compute=Compute(budget=100.0, step=1.0, cpu_peak=1.25e11, gpu_peak=None),
            training=None,
            grid=Steps.of(settings.publish.grid()),
        )


def open_farm(root: Path, source: Path, *vendors: str) -> Farm:
    """Make a workspace of the tiles in `source`, half of them held out, that knows vendors."""
    workspace = found(root / "farm", class_sizes=True).workspace
    rules = ImportRules(rare=1)
    import_tiles(workspace.data, source, rules, holdout=0.5, progress=lambda *_: None)
    with open_ledger(workspace.ledger) as ledger:
        for vendor in vendors or ("acme", "zenith"):
            ledger.add_vendor(Vendor(vendor, price="0.25" if vendor == "acme" else None))
    origin = workspace.settings().log.origin
    signers = Signers(load_key(workspace.key), load_log_key(workspace.log_key, origin))
    return Farm(workspace, signers)


def _phase(right: int, dataset: Dataset) -> Phase:
    """A phase in which the first `right` tiles were predicted right, the rest as another class."""
    assert dataset.class_sizes is not None
    rows, size = [], len(dataset.classes)
    for index, tiles in enumerate(dataset.class_sizes):
        hit = min(right, tiles)
        right -= hit
        row = [0] * size
        row[index], row[(index + 1) % size] = hit, tiles - hit
        rows.append(tuple(row))
    counts = Counts(dataset.classes, dataset.rare_classes, tuple(rows))
    return Phase("OK", counts, charge=CHARGE * MICRO)


def _digest(path: Path) -> DigestSet:
    return DigestSet(sha256=hashlib.sha256(path.read_bytes()).hexdigest())

"""The queue: a submission is recorded and kept, and waits for its run.

    number = submit(workspace, request, say)     its bytes are ours, and it has a slot of the quotas
    folder(workspace, number)                    where they lie until its run has ended
    sweep(workspace)                             what killed processes left

The ledger says who waits and whose turn it is; this is where the bytes are. A folder is locked by
the process that fills it, so that a sweep knows the dead from the living.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sandbox
from evaluator.admission import PULLED, Received, receive
from evaluator.admission_policy import load_admission_policy
from evaluator.dataset.sealed import open_dataset
from evaluator.errors import OwnerError
from evaluator.files import sync
from evaluator.incoming import Incoming, sweep_incoming
from evaluator.journal import log_received
from evaluator.ledger import Limits, Queued, TakenError, open_ledger
from evaluator.petaflops import MICRO
from evaluator.recipe import read_recipe
from evaluator.workspace import require_vendor_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evaluator.incoming import Advance
    from evaluator.ledger_rows import Reason
    from evaluator.settings import Settings
    from evaluator.signers import Signers
    from evaluator.submission import Submission
    from evaluator.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Request:
    """What is handed in: `recipe` is the vendor's hyperparameters.json, as it came.

    `phases` None means both where the dataset has training tiles.
    """

    submission: Submission
    vendor: str
    phases: Literal["baseline", "both"] | None = None
    recipe: bytes | None = None


@dataclass(frozen=True, slots=True)
class Handed:
    """A submission whose bytes are here, and that no `work` sees yet."""

    queued: Queued  # as the ledger will have it
    received: Received


def submit(
    workspace: Workspace, request: Request, signers: Signers, say: Callable[[str], None]
) -> int:
    """Take a submission in and return its number; nothing of it has run yet.

    Raises OwnerError where no slot is left, Refused for its recipe; then nothing is kept but the
    unfinished copy of a large file.
    """
    return taken_in(workspace, request, signers, say).id


def taken_in(
    workspace: Workspace,
    request: Request,
    signers: Signers,
    say: Callable[[str], None],
    advance: Advance = lambda *_: None,
) -> Queued:
    """Do what `submit` does, and return what the ledger has of it."""
    with handed_in(workspace, request, signers, say, advance) as handed:
        _keep(handed.received.file)
        enqueue(workspace, handed)
        return handed.queued


def _keep(file: Path) -> None:
    """Have a submission on the disk before its vendor is told: it may wait for days."""
    try:
        sync(file)
        sync(file.parent)
    except OSError as error:
        raise sandbox.SandboxError(
            f"The submission cannot be written to the workspace's disk: {error.strerror}."
        ) from error


def enqueue(workspace: Workspace, handed: Handed) -> None:
    """Let a submission wait for its run."""
    with sandbox.uninterrupted(), open_ledger(workspace.ledger) as ledger:
        ledger.queue(handed.queued.id, handed.received, handed.queued.recipe)


@contextmanager
def handed_in(
    workspace: Workspace,
    request: Request,
    signers: Signers,
    say: Callable[[str], None],
    advance: Advance = lambda *_: None,
) -> Iterator[Handed]:
    """A submission in the log, with its slot of the quotas, given back where the block fails.

    `advance` is told how much of a large file is here: (bytes, of how many).
    """
    settings = workspace.settings()
    require_vendor_name(request.vendor)
    phases = _phases(workspace, request.phases)
    rules = load_admission_policy(workspace.admission_policy).recipe
    recipe = read_recipe(request.recipe, rules).canonical() if request.recipe is not None else None
    if recipe is not None and phases == "baseline":
        raise OwnerError("A recipe is for training, and only the baseline was asked for.")
    workspace.queue.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as ledger:
        ledger.enter_context(open_ledger(workspace.ledger))  # once, until the log has it
        with _received(workspace, settings, request.vendor, phases) as number:
            say("Receiving the submission ...")
            largest = settings.limits.submission_bytes
            incoming = Incoming(workspace.incoming / request.vendor, advance)
            received = receive(request.submission, folder(workspace, number), largest, incoming)
            queued = Queued(
                id=number,
                vendor=request.vendor,
                phases=phases,
                kind=received.kind,
                digest_of=received.digest_of,
                sha256=received.sha256,
                size=received.size,
                content=received.content,
                recipe=recipe,
            )
            log_received(workspace, signers, queued)
            ledger.close()
            yield Handed(queued, received)


def _phases(
    workspace: Workspace, asked: Literal["baseline", "both"] | None
) -> Literal["baseline", "both"]:
    trains = open_dataset(workspace.data).training is not None
    if asked == "both" and not trains:
        raise OwnerError(
            "This dataset has no training tiles, so nothing can be fine-tuned. Ask for --phase "
            "baseline, or split the data with a smaller holdout."
        )
    return asked or ("both" if trains else "baseline")


@contextmanager
def _received(
    workspace: Workspace, settings: Settings, vendor: str, phases: Literal["baseline", "both"]
) -> Iterator[int]:
    """A slot of the quotas and a folder to fill, both given back where the block fails."""
    number = None
    with ExitStack() as held:
        try:
            with _door(workspace, fcntl.LOCK_SH), sandbox.uninterrupted():
                with open_ledger(workspace.ledger) as ledger:
                    today = dt.datetime.now(dt.UTC).date()
                    number = ledger.receive(vendor, phases, limits_of(settings), today)
                place = folder(workspace, number)
                place.mkdir(mode=0o700)
                descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
                held.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield number
        except BaseException as error:
            if number is not None and not isinstance(error, TakenError):
                with sandbox.uninterrupted():
                    _give_up(workspace, number, reason(error))
            raise


def _give_up(workspace: Workspace, number: int, why: Reason) -> None:
    shutil.rmtree(folder(workspace, number), ignore_errors=True)
    with _for_a_sweep(), open_ledger(workspace.ledger) as ledger:
        ledger.abort_submission(number, why)


def _for_a_sweep() -> suppress:
    """What a full disk, say, does not let us do now, the next sweep does."""
    return suppress(OwnerError, sandbox.SandboxError, OSError)


def reason(error: BaseException) -> Reason:
    """The ledger's word for an error that ended something."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "operator" if isinstance(error, OwnerError) else "host"


@contextmanager
def _door(workspace: Workspace, kind: int) -> Iterator[None]:
    """Keep a sweep out between a row of the ledger and the lock that says who fills its folder."""
    descriptor = os.open(workspace.queue / ".lock", os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def limits_of(settings: Settings) -> Limits:
    """What a vendor may use in this window, unless its own row says otherwise."""
    return Limits(
        total=settings.limits.submissions,
        per_day=settings.limits.submissions_per_day,
        micro_petaflops=round(settings.limits.petaflops * MICRO),
        opens=settings.window.opens,
        closes=settings.window.closes,
    )


def folder(workspace: Workspace, number: int) -> Path:
    """Where the bytes of a submission lie; its file is `submission`."""
    return workspace.queue / str(number)


def drop(workspace: Workspace, number: int) -> None:
    """Remove the bytes of a submission that has ended."""
    with sandbox.uninterrupted():
        shutil.rmtree(folder(workspace, number), ignore_errors=True)


def drop_ended(workspace: Workspace, number: int) -> None:
    """Remove the bytes of a submission, unless a run may still want them."""
    with _for_a_sweep():
        with open_ledger(workspace.ledger) as ledger:
            wanted = ledger.wanted()
        if number not in wanted:
            drop(workspace, number)


def give_back(workspace: Workspace, number: int, error: BaseException) -> None:
    """End a submission whose run failed or never began, and remove its bytes."""
    with _for_a_sweep(), open_ledger(workspace.ledger) as ledger:
        ledger.abort_submission(number, reason(error))  # unless it runs elsewhere, or has ended
    drop_ended(workspace, number)


def sweep(workspace: Workspace) -> None:
    """End what killed processes were receiving, and remove the bytes of all that has ended."""
    workspace.queue.mkdir(mode=0o700, exist_ok=True)
    with _door(workspace, fcntl.LOCK_EX), open_ledger(workspace.ledger) as ledger:
        for row in ledger.receiving():
            if not sandbox.is_locked(folder(workspace, row.id)):
                for note in workspace.queue.glob(f"{row.id}/{PULLED}"):
                    sandbox.remove_pulled(note)
                ledger.abort_submission(row.id, "killed")
        wanted = ledger.wanted()
        for place in workspace.queue.glob("[0-9]*"):
            if int(place.name) not in wanted:
                with suppress(FileNotFoundError):  # another slot's run drops its own just now
                    shutil.rmtree(place)
    sweep_incoming(workspace.incoming)

"""An official run: the main flow on a workspace, in a slot of its host, with a record at its end.

run_officially(workspace, request, ...)    hand a submission in and run it
run_next(workspace, ...)                   run whose turn it is
run_adapted(workspace, run, ...)           run what an earlier run has trained, once more
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sandbox
from evaluator.adapted import open_adapted, sweep_adapted
from evaluator.admission import sweep_images
from evaluator.admission_policy import load_admission_policy
from evaluator.compute import SpentError
from evaluator.dataset.hashing import Hashing, hashing
from evaluator.errors import OwnerError
from evaluator.ledger import TakenError, open_ledger
from evaluator.queue import drop_ended, enqueue, give_back, handed_in, limits_of, sweep
from evaluator.record import finish_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.ledger import Queued
    from evaluator.queue import Request
    from evaluator.record import Record
    from evaluator.settings import Settings
    from evaluator.signers import Signers
    from evaluator.workspace import Workspace
    from sandbox import Frame


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told what happens: a line before each slow step, and what is known meanwhile.

    That is what our own trainer reports, and the operations a container has used so far: a
    vendor's own says nothing.
    """

    say: Callable[[str], None]
    frames: Callable[[Frame], None] | None = None
    charged: Callable[[float], None] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A slot of this host that is held, in a workspace, with who signs there and who is told."""

    workspace: Workspace
    settings: Settings
    signers: Signers
    told: Told
    slot: int

    def hashing(self) -> Hashing:
        """Begin to hash the dataset as this slot has it."""
        return hashing(self.workspace.data, self.workspace.copy(self.slot))


def run_officially(workspace: Workspace, request: Request, signers: Signers, told: Told) -> Record:
    """Hand a submission in, evaluate it on the workspace's holdout, and write its signed result.

    Raises OwnerError or SandboxError with nothing written and nothing charged; a submission that
    fails has a Record like any other.
    """
    settings = workspace.settings()
    _require_runnable(settings)
    with (
        handed_in(workspace, request, signers, told.say) as handed,
        _place(workspace, settings, signers, told) as place,
    ):
        # It waits in the queue for no longer than an instant, so that no `work` takes it first.
        def enter() -> None:
            enqueue(workspace, handed)

        try:
            return _run(place, handed.queued, enter)
        finally:
            with sandbox.uninterrupted():
                drop_ended(workspace, handed.queued.id)


def run_next(workspace: Workspace, signers: Signers, told: Told) -> Record | None:
    """Evaluate the submission whose turn it is; None where nobody waits."""
    with _place(workspace, workspace.settings(), signers, told) as place:
        while True:
            with open_ledger(workspace.ledger) as ledger:
                queued = ledger.next()
            if queued is None:
                return None
            try:
                return _run(place, queued)
            except TakenError:
                continue  # another slot was faster
            except SpentError as error:
                give_back(workspace, queued.id, error)
                told.say(f"Submission {queued.id} is given back: its vendor has no compute left.")
            finally:
                with sandbox.uninterrupted():
                    drop_ended(workspace, queued.id)


def run_adapted(workspace: Workspace, run: str, signers: Signers, told: Told) -> Record:
    """Predict on today's holdout with the model that the training of `run` left, and sign it.

    It is the owner's own run: it takes no quota and is charged to nobody, but its bits count.
    """
    with _place(workspace, workspace.settings(), signers, told) as place:
        adapted = open_adapted(workspace, run)
        hashing = place.hashing()
        from evaluator.one_run import run_again  # noqa: PLC0415 - imported while that hashes

        return run_again(place, hashing, adapted, run)


def _run(place: Place, queued: Queued, enter: Callable[[], None] | None = None) -> Record:
    hashing = place.hashing()
    from evaluator.one_run import run_queued  # noqa: PLC0415 - imported while that hashes

    return run_queued(place, hashing, queued, enter)


def _require_runnable(settings: Settings) -> None:
    """Stop before any work where the operator's own words cannot be followed."""
    cores = os.cpu_count() or 1
    if settings.resources.cpus > cores:
        raise OwnerError(
            f"evaluator.toml gives a run {settings.resources.cpus} CPUs and this host has {cores}. "
            "Lower resources.cpus."
        )
    settings.publish.grid()  # a grid without exact decimals raises
    settings.error_grid()  # as does one of numbers
    settings.publish.charge_step(limits_of(settings).micro_petaflops)  # as does an odd budget


@contextmanager
def _place(
    workspace: Workspace, settings: Settings, signers: Signers, told: Told
) -> Iterator[Place]:
    """A place on this host, with what killed runs left removed."""
    _require_runnable(settings)
    waiting = "Another run has this host; waiting for its end ..."
    slots = len(settings.resources.slots)
    with sandbox.host_slot(slots, lambda: told.say(waiting)) as slot:
        with sandbox.sweep_lock(), open_ledger(workspace.ledger):
            _sweep(workspace, slot, slots)
        yield Place(workspace, settings, signers, told, slot)


def _sweep_images(workspace: Workspace, slot: int, slots: int) -> None:
    """Remove what killed runs left in the engine, of every slot unless some run uses its images.

    A run has its scratch before it waits for the lock that is held here, and its image after.
    """
    admission, record = load_admission_policy(workspace.admission_policy), workspace.known_images()
    mine = {slot}
    if not any(sandbox.is_alive(path.name) for path in workspace.scratch.glob("*")):
        names = [path.stem for path in workspace.root.glob(f"{record.stem}-[0-9]*{record.suffix}")]
        mine = {*range(max(slots, 1)), *(int(name.rpartition("-")[2]) for name in names)}
    for each in mine:
        sweep_images(workspace.scratch, workspace.known_images(each), admission)


def _sweep(workspace: Workspace, slot: int, slots: int) -> None:
    """Remove what killed runs left; whoever holds a run's lock is alive."""
    sandbox.remove_leftovers(sandbox.connect())
    sandbox.remove_images()
    _sweep_images(workspace, slot, slots)
    for left in workspace.scratch.glob("*"):
        if not sandbox.is_alive(left.name):
            with suppress(FileNotFoundError):  # a run of another slot has just ended by itself
                shutil.rmtree(left)
    with open_ledger(workspace.ledger) as ledger:
        dead = [entry.run for entry in ledger.running() if not sandbox.is_alive(entry.run)]
    finish_records(workspace, dead)
    sweep(workspace)
    sweep_adapted(workspace)

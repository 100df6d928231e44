"""A digest becomes a submission, once: pulled, handed in, and known by the ledger from then on.

    taker.consider(found)      hand it in, unless that was done or it has to wait

What a vendor's digest has come to is asked of the ledger each time, by vendor and SHA-256. So a
kill at any moment leaves either a submission, which the next look finds there, or none, and then
the digest is handed in again. A submission that was aborted, through no fault of its vendor's, is
handed in again too, a few times, but not before the vendor is told: when must not say how long it
ran. For the same reason a slot that a refusal or an abort frees counts as taken until then.
"""

from __future__ import annotations

import datetime as dt
import io
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from evaluator.admission_policy import load_admission_policy
from evaluator.errors import Refused
from evaluator.ledger import open_ledger
from evaluator.ledger_rows import RunRow
from evaluator.queue import Request, limits_of, submit
from evaluator.recipe import read_recipe
from evaluator.registry import TooLarge
from evaluator.submission import Submission, Unfetched
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.ledger import Ledger, Limits
    from evaluator.registry import Registry
    from evaluator.signers import Signers
    from evaluator.watch.mailbox import Mailbox, Place
    from evaluator.watch.metrics import Metrics
    from evaluator.watch.offers import Offer
    from evaluator.workspace import Workspace

ATTEMPTS = 3
"""How often a digest is handed in when each submission of it is aborted."""

_HEADROOM = 2**28  # bytes of the disk that a pull leaves to the ledger, the log and a run

Standing = Literal["over", "under way", "free", "waits", "given up", "no submission"]


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest in a vendor's repository, and what it hands in."""

    vendor: str
    place: Place
    offer: Offer

    @property
    def sha256(self) -> str:
        """What the ledger knows it by: the manifest of an image, the file of a model."""
        known_by = self.offer.model.digest if self.offer.model else self.place.digest
        return known_by.removeprefix("sha256:")


def standing(
    ledger: Ledger, found: Found, recipe: bytes | None, usual: Limits, today: dt.date
) -> Standing:
    """Say what may be done with a digest now, as far as its vendor can know."""
    attempts = [
        row
        for row in ledger.submissions(found.vendor)
        if row.sha256 == found.sha256 and ledger.queued(row.id).recipe == recipe
    ]
    states = {row.state for row in attempts}
    if states & {"done", "refused"}:
        return "over"
    if states - {"aborted"}:
        return "under way"
    if len(attempts) >= ATTEMPTS:
        return "given up"
    if _untold(ledger) & {row.id for row in attempts}:
        return "waits"
    return "free" if _has_room(ledger, found.vendor, usual, today) else "waits"


def _untold(ledger: Ledger) -> frozenset[int]:
    """The submissions that have ended without their vendor being told yet."""
    numbers = (
        row.submission if isinstance(row, RunRow) else row.id for _, row in ledger.unlogged()
    )
    return frozenset(number for number in numbers if number is not None)


def _has_room(ledger: Ledger, vendor: str, usual: Limits, today: dt.date) -> bool:
    """Whether the window is open and a slot of both quotas, and compute, are left."""
    limits, untold = ledger.vendor(vendor).limits(usual), _untold(ledger)
    held = [row.day for row in ledger.submissions(vendor) if row.holds_slot or row.id in untold]
    opens, closes = str(limits.opens), str(limits.closes)
    return (
        limits.opens <= today <= limits.closes
        and sum(opens <= day <= closes for day in held) < limits.total
        and held.count(str(today)) < limits.per_day
        and ledger.charged(vendor, limits) < limits.micro_petaflops
    )


@dataclass(frozen=True, slots=True)
class Taker:
    """Who hands in what was found."""

    workspace: Workspace
    registry: Registry
    mailbox: Mailbox
    signers: Signers
    phases: Literal["baseline", "both"]
    metrics: Metrics
    say: Callable[[str], None]
    _recipes: dict[str, bytes] = field(default_factory=dict)

    def consider(self, found: Found) -> Standing:
        """Hand a digest in if it is due, and say where it stands.

        Raises RegistryError, OwnerError or SandboxError with no slot taken.
        """
        try:
            return self._considered(found)
        except Refused as error:  # it is none of those that can be handed in, after all
            self.mailbox.remember(found.place, found.vendor, "other", "")
            self.metrics.add("ignored")
            self.say(f"{found.place.short} of {found.vendor} is not taken: {error.rule}.")
            return "no submission"

    def _considered(self, found: Found) -> Standing:
        recipe = self._recipe(found)
        usual = limits_of(self.workspace.settings())
        today = dt.datetime.now(dt.UTC).date()
        with open_ledger(self.workspace.ledger) as ledger:
            now = standing(ledger, found, recipe, usual, today)
        if now != "free":
            return now
        began = time.monotonic()
        number = self._hand_in(found, recipe)
        self.metrics.add("taken", found.offer.kind)
        self.metrics.add("taking_seconds", by=time.monotonic() - began)
        self.say(f"Submission {number} of {found.vendor}: {found.offer.kind} {found.place.short}.")
        return "under way"

    def _recipe(self, found: Found) -> bytes | None:
        """The vendor's recipe in our own writing; Refused where there is none in it."""
        blob = found.offer.recipe
        if blob is None or self.phases == "baseline":
            return None
        if blob.digest not in self._recipes:
            file = io.BytesIO()
            self.registry.blob(found.place.repository, blob, file)
            bounds = load_admission_policy(self.workspace.admission_policy).recipe
            self._recipes[blob.digest] = read_recipe(file.getvalue(), bounds).canonical()
        return self._recipes[blob.digest]

    def _hand_in(self, found: Found, recipe: bytes | None) -> int:
        folder = self._folder(found)
        submission = self._fetched(found, folder)
        request = Request(submission, found.vendor, self.phases, recipe)
        number = submit(self.workspace, request, self.signers, lambda _: None)
        shutil.rmtree(folder, ignore_errors=True)
        return number

    def _folder(self, found: Found) -> Path:
        return self.workspace.pulls / found.place.digest.removeprefix("sha256:")

    def _fetched(self, found: Found, folder: Path) -> Submission:
        """Have the submission's bytes here, unless they are more than is allowed."""
        place, most = found.place, self.workspace.settings().limits.submission_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if found.offer.size <= most:
            _require_room(folder, 2 * found.offer.size)  # pulled, and then copied into the queue
        try:
            layout = self.registry.pull_layout(place.repository, place.digest, folder, most)
        except TooLarge as error:
            unfetched = Unfetched(found.sha256, error.size)
            return Submission(found.offer.kind, None, "", unfetched)
        return Submission(layout.kind, layout.file, "")

    def drop_pulls(self, wanted: set[str]) -> None:
        """Remove what was pulled in part and is wanted no more; `wanted` are digests."""
        for folder in self.workspace.pulls.glob("*"):
            if f"sha256:{folder.name}" not in wanted:
                shutil.rmtree(folder, ignore_errors=True)


def _require_room(folder: Path, more: int) -> None:
    """A pull that cannot end is not begun: a full disk would stop everything else as well."""
    free = shutil.disk_usage(folder).free
    if free < more + _HEADROOM:
        raise SandboxError(
            f"The disk has no room for a submission: {(more + _HEADROOM - free) >> 20} MiB more "
            "have to be free. It is tried again."
        )

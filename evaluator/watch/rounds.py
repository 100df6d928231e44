"""One look at everything: the vendors' repositories, their tags, and what is new behind them.

A vendor may push as much as it likes: what one repository costs a round is bounded, and the next
round goes on where this one stopped. Trouble with one tag or one repository is no other's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from evaluator.ledger import open_ledger
from evaluator.registry import Denied, Gone, Unreachable
from evaluator.watch.mailbox import Place
from evaluator.watch.names import hands_in, vendor_of
from evaluator.watch.offers import read_offer
from evaluator.watch.taking import Found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from evaluator.registry import Registry
    from evaluator.watch.mailbox import Kind, Mailbox
    from evaluator.watch.metrics import Metrics
    from evaluator.watch.taking import Taker
    from evaluator.watch.troubles import Troubles
    from evaluator.workspace import Workspace

MOST_REPOSITORIES = 50
"""Of one vendor; the first by name."""
MOST_TAGS = 200
"""Of one repository, in one round."""


@dataclass
class Rounds:
    """Looks at the registry; `named` are the repositories where it does not list its own."""

    workspace: Workspace
    registry: Registry
    mailbox: Mailbox
    taker: Taker
    prefix: str
    named: Sequence[str]
    metrics: Metrics
    troubles: Troubles
    say: Callable[[str], None]
    _stopped_at: dict[str, str] = field(default_factory=dict)
    _over: set[tuple[str, str]] = field(default_factory=set)
    _told: set[tuple[str, str, str]] = field(default_factory=set)
    _waiting: int = 0

    def look(self) -> bool:
        """Take what is new; whether the registry answered."""
        began, self._waiting = time.monotonic(), 0
        wanted: set[str] = set()
        looked: list[bool] = []

        def everywhere() -> None:
            for repository, vendor in self._repositories():
                looked.append(self._visit(repository, vendor, wanted))
            if looked and not any(looked):
                raise Unreachable("no repository could be read")

        if not self.troubles.attempt("look", "Looking into the registry", everywhere):
            return False
        if all(looked):
            self.taker.drop_pulls(wanted)
        self.metrics.set("waiting", self._waiting)
        self.metrics.add("polls")
        self.metrics.add("poll_seconds", by=time.monotonic() - began)
        self.metrics.set("last_poll_timestamp_seconds", time.time())
        return True

    def _repositories(self) -> list[tuple[str, str]]:
        """The repositories of vendors, with whose they are."""
        with open_ledger(self.workspace.ledger) as ledger:
            vendors = {vendor.name for vendor in ledger.vendors()}
        mine: dict[str, list[str]] = {}
        for repository in self.named or self.registry.repositories():
            vendor = vendor_of(repository, self.prefix)
            if vendor in vendors:
                mine.setdefault(vendor, []).append(repository)
        return [
            (repository, vendor)
            for vendor, theirs in sorted(mine.items())
            for repository in sorted(set(theirs))[:MOST_REPOSITORIES]
        ]

    def _visit(self, repository: str, vendor: str, wanted: set[str]) -> bool:
        """Look at one repository; `wanted` comes to hold the digests that are there."""

        def visit() -> None:
            for tag in self._due(repository):
                key, what = ("tag", repository, tag), f"Reading a tag of {vendor}"
                self.troubles.attempt(key, what, partial(read, tag), (Unreachable, Denied))

        def read(tag: str) -> None:
            found = self._find(repository, vendor, tag)
            if found and self._consider(found):
                wanted.add(found.place.digest)

        return self.troubles.attempt(
            ("repository", repository), f"Reading a repository of {vendor}", visit
        )

    def _due(self, repository: str) -> Iterator[str]:
        """The tags to look at now: all, or the next of very many."""
        try:
            tags = sorted(tag for tag in self.registry.tags(repository) if hands_in(tag))
        except Gone:  # so some answer where every tag was deleted
            return iter(())
        if len(tags) <= MOST_TAGS:
            self._stopped_at.pop(repository, None)
            return iter(tags)
        last = self._stopped_at.get(repository, "")
        turned = [tag for tag in tags if tag > last] + [tag for tag in tags if tag <= last]
        self._stopped_at[repository] = turned[MOST_TAGS - 1]
        return iter(turned[:MOST_TAGS])

    def _find(self, repository: str, vendor: str, tag: str) -> Found | None:
        """What a tag hands in; None where it is gone by now or is no submission."""
        try:
            manifest = self.registry.manifest(repository, tag)
        except Gone:
            return None
        place = Place(repository, manifest.digest, manifest.media_type, len(manifest.raw))
        known = self.mailbox.kind(repository, manifest.digest)
        offer = None if known == "other" else read_offer(manifest)
        found = Found(vendor, place, offer) if offer else None
        if known is None:
            kind: Kind = found.offer.kind if found else "other"
            self.mailbox.remember(place, vendor, kind, found.sha256 if found else "")
        if known is None and found is None:
            self.metrics.add("ignored")
            self.say(
                f"{place.short} of {vendor} is no submission: neither an image nor one ONNX file."
            )
        return found

    def _consider(self, found: Found) -> bool:
        """Have a digest handed in if it is due; whether it is still to come."""
        key = found.vendor, found.place.digest
        if key in self._over:
            return False
        standings = []
        what = f"Taking {found.place.short} of {found.vendor}"
        self.troubles.attempt(
            ("take", *key), what, lambda: standings.append(self.taker.consider(found))
        )
        match standings:
            case ["over"]:
                self._over.add(key)
            case ["waits"]:
                self._waiting += 1
                self._say_once(found, "waits: for a slot of its quota, or for its last try to end")
            case ["given up"]:
                self._say_once(found, "is not handed in again")
        return standings in ([], ["waits"])

    def _say_once(self, found: Found, what: str) -> None:
        said = found.vendor, found.place.digest, what
        if said not in self._told:
            self._told.add(said)
            self.say(f"{found.place.short} of {found.vendor} {what}.")

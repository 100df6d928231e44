"""What a vendor is due goes back to the digest that it pushed: receipts, results, aborts.

Each file pair of outbox/VENDOR becomes one OCI referrer of every digest of that vendor's which the
statement in it is about, in the vendor's own repositories and nowhere else. The outbox holds what
was released and nothing more, so nothing else can leave this way.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evaluator.bundle import MEDIA_TYPE
from evaluator.ledger import open_ledger
from evaluator.registry import Descriptor, File
from evaluator.watch.names import vendor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evaluator.registry import Registry
    from evaluator.watch.mailbox import Mailbox, Place
    from evaluator.watch.metrics import Metrics
    from evaluator.watch.troubles import Troubles
    from evaluator.workspace import Workspace

PROOF_TYPE: Final = "text/plain"
_BUNDLE, _PROOF = ".sigstore.json", ".tlog-proof"


@dataclass(frozen=True, slots=True)
class Letter:
    """Two files of an outbox, and what the statement in them is about."""

    name: str
    bundle: bytes
    proof: bytes
    sha256: str
    predicate_type: str

    @property
    def content(self) -> str:
        """What tells these two files from the same entry's with another proof."""
        return hashlib.sha256(self.bundle + b"\0" + self.proof).hexdigest()

    def files(self) -> tuple[File, File]:
        """As they are attached: the bundle first, which is where cosign looks for it."""
        return (
            File(f"{self.name}{_BUNDLE}", MEDIA_TYPE, self.bundle),
            File(f"{self.name}{_PROOF}", PROOF_TYPE, self.proof),
        )

    def annotations(self) -> dict[str, str]:
        """What tools that list referrers show; cosign's own names."""
        return {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": self.predicate_type,
        }


def letters(outbox: Path) -> Iterator[Letter]:
    """What lies in a vendor's outbox with its proof, receipts first."""
    paths = outbox.glob(f"*{_BUNDLE}")
    for path in sorted(
        paths, key=lambda path: (not path.name.startswith("submission-"), path.name)
    ):
        name = path.name.removesuffix(_BUNDLE)
        proof = path.with_name(f"{name}{_PROOF}")
        if proof.exists():  # it is written last
            yield _letter(name, path.read_bytes(), proof.read_bytes())


def _letter(name: str, bundle: bytes, proof: bytes) -> Letter:
    statement = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
    (subject,) = statement["subject"]
    return Letter(name, bundle, proof, subject["digest"]["sha256"], statement["predicateType"])


@dataclass(frozen=True, slots=True)
class Sender:
    """Who attaches what is due."""

    workspace: Workspace
    registry: Registry
    mailbox: Mailbox
    prefix: str
    metrics: Metrics
    troubles: Troubles
    say: Callable[[str], None]

    def send(self) -> None:
        """Attach everything that is due and is not attached yet."""
        with open_ledger(self.workspace.ledger) as ledger:
            vendors = [vendor.name for vendor in ledger.vendors()]
        for vendor in vendors:
            for letter in letters(self.workspace.outbox(vendor)):
                for place in self.mailbox.places(vendor, letter.sha256):
                    self._attach(vendor, letter, place)

    def _attach(self, vendor: str, letter: Letter, place: Place) -> None:
        """Attach one letter to one manifest, unless it is there or its repository has trouble."""
        if vendor_of(place.repository, self.prefix) != vendor:
            return  # the prefix is another now: this would be somebody else's
        if self.mailbox.is_attached(place, letter.name, letter.content):
            return

        def attach() -> None:
            subject = Descriptor(place.media_type, place.digest, place.size)
            referrer = self.registry.attach(
                place.repository, subject, MEDIA_TYPE, letter.files(), letter.annotations()
            )
            self.mailbox.note_attached(place, letter.name, letter.content, referrer.digest)
            self.metrics.add("attachments")
            self.say(f"{letter.name} is attached to {place.short} of {vendor}.")

        key = ("attach", place.repository)
        self.troubles.attempt(key, f"Attaching to {place.short} of {vendor}", attach)

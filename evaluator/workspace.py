"""A workspace: the one directory of a data owner, and the rules written in it."""

from __future__ import annotations

import datetime as dt
import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.settings import Resources, Settings

CONFIG = "evaluator.toml"
VENDOR = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def require_vendor_name(name: str) -> None:
    """Raise OwnerError unless a vendor can have this name."""
    if not VENDOR.fullmatch(name):
        raise OwnerError(
            "A vendor's name is 1 to 63 lower-case letters, digits and hyphens, and starts with "
            "no hyphen: it becomes the name of a directory."
        )


def shipped(name: str) -> Path:
    """A directory that travels with the product: "images" or "policies"."""
    package = Path(str(resources.files("evaluator")))
    installed = package / "shipped" / name
    return installed if installed.is_dir() else package.parent / name


@dataclass(frozen=True, slots=True)
class Workspace:
    """The paths of a workspace; nothing else of the program joins them by hand."""

    root: Path

    @property
    def data(self) -> Path:
        """Sealed datasets, by version."""
        return self.root / "data"

    @property
    def key(self) -> Path:
        """The private signing key."""
        return self.root / "keys" / "signing.pem"

    @property
    def public_key(self) -> Path:
        """What verifies a result."""
        return self.root / "keys" / "signing.pub"

    @property
    def log_key(self) -> Path:
        """The private key of the log, which signs its checkpoints."""
        return self.root / "keys" / "log.pem"

    @property
    def log_vkey(self) -> Path:
        """The log's public key with its name, as verifiers of logs write it."""
        return self.root / "keys" / "log.vkey"

    @property
    def trust(self) -> Path:
        """Which keys were valid when, the log, and its witnesses."""
        return self.root / "keys" / "trust.toml"

    @property
    def retired_keys(self) -> Path:
        """Pairs that signed once, a directory for each."""
        return self.root / "keys" / "retired"

    @property
    def coming_key(self) -> Path:
        """A change of the key that has begun and not ended."""
        return self.root / "keys" / "coming"

    @property
    def scratch(self) -> Path:
        """Files of the run in progress; swept before the next."""
        return self.root / "tmp"

    @property
    def sandbox_policy(self) -> Path:
        """The operator's own copy of the sandbox policy."""
        return self.root / "policies" / "sandbox.toml"

    @property
    def admission_policy(self) -> Path:
        """The operator's own copy of the admission policy."""
        return self.root / "policies" / "admission.toml"

    @property
    def log(self) -> Path:
        """The whole public log, entries included: the owner's until it is published."""
        return self.root / "log"

    @property
    def checked(self) -> Path:
        """Up to where the log's entries have been checked, for a board: a notice to itself."""
        return self.root / "checked.json"

    @property
    def public(self) -> Path:
        """What may be served to anyone."""
        return self.root / "public"

    def outbox(self, vendor: str) -> Path:
        """What a vendor receives: its own entries of the log, and proofs that they are in it."""
        return self.root / "outbox" / vendor

    @property
    def wall(self) -> Path:
        """What was seen of the wall on this host, and under which settings."""
        return self.root / "wall.json"

    @property
    def calibration(self) -> Path:
        """The peaks of hosts that have run here."""
        return self.root / "calibration.json"

    @property
    def queue(self) -> Path:
        """Submissions as they were handed in, until their run has ended, by number."""
        return self.root / "queue"

    @property
    def incoming(self) -> Path:
        """What is here of large files whose copy was interrupted, by vendor."""
        return self.root / "incoming"

    @property
    def pulls(self) -> Path:
        """What is being fetched from a registry, by the digest of its manifest."""
        return self.queue / "pulls"

    @property
    def mailbox(self) -> Path:
        """What `evaluator watch` has seen in its registry: a notice to itself."""
        return self.root / "watch.sqlite"

    @property
    def adapted(self) -> Path:
        """Models that were trained here and are kept for the owner, by run."""
        return self.root / "adapted"

    def copy(self, slot: int) -> Path:
        """The tiles of one slot: a copy of its own where runs stand side by side."""
        return self.root / "slots" / str(slot) if slot else self.data

    @property
    def ledger(self) -> Path:
        """Vendors, submissions, runs: what was used, what is owed, and the bits that left."""
        return self.root / "ledger.sqlite"

    def results(self) -> Iterator[Path]:
        """The signed results of all runs."""
        return (self.root / "results").glob("*/*.sigstore.json")

    def known_images(self, slot: int = 0) -> Path:
        """Which admitted images the engine keeps for a slot, by the bytes they came from.

        What a slot drops, no other slot's run is using.
        """
        return self.root / (f"intake-{slot}.json" if slot else "intake.json")

    def result(self, vendor: str, run: str) -> Path:
        """The signed result of one run."""
        return self.root / "results" / vendor / f"{run}.sigstore.json"

    def private(self, run: str) -> Path:
        """The owner's exact record of one run."""
        return self.root / "private" / f"{run}.json"

    def settings(self) -> Settings:
        """Read evaluator.toml; every problem in it becomes one line of an OwnerError."""
        from evaluator.settings import read_settings  # noqa: PLC0415  # paths go without it

        path = self.root / CONFIG
        try:
            raw = path.read_text()
        except FileNotFoundError as error:
            raise OwnerError(
                f"{self.root} is not a workspace: it has no {CONFIG}. Make one with "
                "`evaluator init DIR`, or name yours with --workspace."
            ) from error
        except (OSError, ValueError) as error:
            raise OwnerError(f"{path} cannot be read as TOML: {error}") from error
        return read_settings(raw, path)


_DIRECTORIES = (
    "data",
    "keys",
    "log",
    "outbox",
    "policies",
    "private",
    "public",
    "queue",
    "results",
    "tmp",
)


def init(root: Path, *, class_sizes: bool) -> Workspace:
    """Make the directories and the commented settings of a new workspace."""
    if (root / CONFIG).exists():
        raise OwnerError(f"{root} is a workspace already; edit its {CONFIG} instead.")
    workspace = Workspace(root)
    try:
        for name in ("", *_DIRECTORIES):
            (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for policy in (workspace.sandbox_policy, workspace.admission_policy):
            shutil.copyfile(shipped("policies") / policy.name, policy)
        (root / CONFIG).write_text(_settings_text(class_sizes=class_sizes))
    except OSError as error:
        raise OwnerError(f"{root} cannot become a workspace: {error.strerror}.") from error
    return workspace


def _settings_text(*, class_sizes: bool) -> str:
    """The use case's numbers, no larger than this host."""
    today = dt.datetime.now(dt.UTC).date()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpu = bool(find_gpus())
    template = (Path(__file__).parent / "evaluator.toml.in").read_text()
    return template.format(
        opens=today,
        closes=today + dt.timedelta(days=30),
        cpus=min(2, os.cpu_count() or 1),
        memory=min(8_590_000_000, memory),
        gpus=1 if gpu else 0,
        gpu_note="" if gpu else "  # none was found on this host when this file was written",
        class_sizes="true" if class_sizes else "false",
        origin=f"submission-evaluator.example/{secrets.token_hex(8)}",
    )


def find_gpus() -> tuple[str, ...]:
    """The UUIDs of the NVIDIA GPUs that the driver lists; none where there is no driver."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(listing.stdout.split())


def gpus_of(resources: Resources, slot: int = 0) -> tuple[str, ...]:
    """The devices of a run in a slot; asking for more than there are is an error, never fewer."""
    found = tuple(resources.gpu_devices) or (find_gpus() if resources.gpus else ())
    wanted = resources.gpus * max(1, len(resources.slots))
    if len(found) < wanted:
        raise OwnerError(
            f"evaluator.toml asks for {wanted} GPUs over all slots and {len(found)} are there. "
            "Install the NVIDIA driver, name devices in resources.gpu_devices, or set "
            "resources.gpus = 0."
        )
    return found[resources.gpus * slot :][: resources.gpus]

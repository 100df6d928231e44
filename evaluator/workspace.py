"""A workspace: the one directory of a data owner, and the rules written in it."""

from __future__ import annotations

import datetime as dt
import os
import re
import secrets
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from evaluator.errors import OwnerError
from evaluator.fields import UNIT
from evaluator.petaflops import in_micro
from evaluator.regression import ErrorGrid
from evaluator.scoring import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


Petaflops = Annotated[float, Field(gt=0, le=1e9), AfterValidator(in_micro)]
Name = Annotated[str, Field(pattern=r"^[\w][\w .-]{0,63}$")]


class DatasetRules(_Section):
    """What an import must look like."""

    classes: list[Name] = Field(max_length=255)
    rare: Annotated[int, Field(ge=1)] | list[Name]
    tile: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=2, max_length=2)]
    task: Literal["classification", "regression"] = "classification"
    unit: Annotated[str, Field(pattern=rf"^$|{UNIT}")] = ""
    range: Annotated[list[float], Field(max_length=2)] = []

    @model_validator(mode="after")
    def _has_targets(self) -> DatasetRules:
        given = (bool(self.unit), len(self.range) == 2)
        if self.task == "regression" and given != (True, True):
            raise ValueError('regression needs a unit, such as "t/ha", and a range, [low, high]')
        if self.task == "classification" and (any(given) or self.range):
            raise ValueError("a unit and a range belong to regression; leave them empty")
        return self


class Window(_Section):
    """First and last day, UTC, on which submissions are evaluated."""

    opens: dt.date
    closes: dt.date

    @model_validator(mode="after")
    def _in_order(self) -> Window:
        if self.closes < self.opens:
            raise ValueError("the window closes before it opens")
        return self


class VendorLimits(_Section):
    """What one vendor may use in the window; its row in the ledger may say otherwise."""

    submissions: int = Field(ge=1)
    submissions_per_day: int = Field(ge=1)
    petaflops: Petaflops
    submission_bytes: int = Field(ge=1)


class Fees(_Section):
    """What a vendor owes for each submission that was evaluated."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    per_submission: Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{2})?$")]

    @property
    def cents(self) -> int:
        """The fee in hundredths of the currency."""
        whole, _, hundredths = self.per_submission.partition(".")
        return 100 * int(whole) + int(hundredths or 0)


class Resources(_Section):
    """What one container gets."""

    cpus: float = Field(gt=0)
    memory_bytes: int = Field(ge=64 * 2**20)
    gpus: int = Field(ge=0)
    gpu_memory_bytes: int = Field(ge=0)
    gpu_peak_flops: float = Field(ge=0)
    gpu_devices: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w./:=-]{0,127}$")]]
    slots: list[Annotated[str, Field(pattern=r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$")]]

    @model_validator(mode="after")
    def _disjoint(self) -> Resources:
        sets = [cpus_of(slot) for slot in self.slots]
        if sum(map(len, sets)) > len(frozenset().union(*sets)):
            raise ValueError("two slots share a CPU: runs side by side have CPUs of their own")
        if any(len(each) < self.cpus for each in sets):
            raise ValueError("a slot has fewer CPUs than a run gets (resources.cpus)")
        return self


def cpus_of(slot: str) -> frozenset[int]:
    """The numbers of the CPUs in a set, written as the kernel writes it: 0-3,8."""
    ends = (part.partition("-")[::2] for part in slot.split(","))
    return frozenset(n for first, last in ends for n in range(int(first), int(last or first) + 1))


class TrainingRules(_Section):
    """What becomes of a model that was trained on the owner's tiles."""

    keep_adapted_model: bool


class Publish(_Section):
    """What the signed result may say, and when."""

    class_sizes: bool
    release_every_hours: int = Field(ge=1, le=24 * 31)
    leakage_budget_bits: int = Field(ge=0, le=2**40)
    accuracy_steps: int = Field(ge=1, le=10_000)
    recall_steps: int = Field(ge=1, le=10_000)
    rare_accuracy_steps: int = Field(ge=1, le=10_000)
    charge_steps: int = Field(ge=1, le=10_000)
    rank_by: Literal[
        "accuracy", "macro_recall", "rare_accuracy", "rare_recall", "rmse", "mae", "r2"
    ]
    suppress_below: int = Field(ge=2, le=1_000_000)
    error_step: float = Field(0.01, gt=0)
    crop_error_step: float = Field(0.1, gt=0)
    r2_steps: int = Field(100, ge=1, le=10_000)

    def grid(self) -> Grid:
        """The grid of the published figures; OwnerError where a step is no exact decimal."""
        return Grid(self.accuracy_steps, self.recall_steps, self.rare_accuracy_steps)

    def error_grid(self, limits: Sequence[float]) -> ErrorGrid:
        """The grid of errors of targets within `limits`; OwnerError as in `grid`."""
        return ErrorGrid.of(limits, self.error_step, self.crop_error_step, self.r2_steps)

    def charge_step(self, budget: int) -> int:
        """The step of a budget, both in micro-petaflops; OwnerError where it is no whole number."""
        step, rest = divmod(budget, self.charge_steps)
        if rest:
            raise OwnerError(
                f"Charges are published in {self.charge_steps} steps of a vendor's petaflops, and "
                "a step has at most six decimals. Give petaflops that divide so (limits.petaflops "
                "in evaluator.toml, or `evaluator vendors change`), or change charge_steps there."
            )
        return step


class Witness(_Section):
    """Somebody who signs that the log only grew: where it answers, and its key."""

    url: Annotated[str, Field(pattern=r"^https?://[!-~]{1,200}$")]
    key: Annotated[str, Field(pattern=r"^[!-~]{1,300}$")]


class LogRules(_Section):
    """The public log; `quorum` witnesses must have signed what is published."""

    origin: Annotated[str, Field(pattern=r"^[!-*,-~]{1,200}$")]
    witnesses: list[Witness]
    quorum: int = Field(ge=0)

    @model_validator(mode="after")
    def _reachable(self) -> LogRules:
        if self.quorum > len(self.witnesses):
            raise ValueError("the quorum is larger than the number of witnesses")
        return self


class Settings(_Section):
    """evaluator.toml, whole: an unknown or missing key is an error."""

    dataset: DatasetRules
    window: Window
    limits: VendorLimits
    fees: Fees
    resources: Resources
    training: TrainingRules
    publish: Publish
    log: LogRules

    def error_grid(self) -> ErrorGrid | None:
        """The grid of errors, None where classes are predicted; OwnerError as in `Publish.grid`."""
        return self.publish.error_grid(self.dataset.range) if self.dataset.range else None


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

    @property
    def known_images(self) -> Path:
        """Which admitted images the engine keeps, by the bytes they came from."""
        return self.root / "intake.json"

    def result(self, vendor: str, run: str) -> Path:
        """The signed result of one run."""
        return self.root / "results" / vendor / f"{run}.sigstore.json"

    def private(self, run: str) -> Path:
        """The owner's exact record of one run."""
        return self.root / "private" / f"{run}.json"

    def settings(self) -> Settings:
        """Read evaluator.toml; every problem in it becomes one line of an OwnerError."""
        path = self.root / CONFIG
        try:
            document = tomllib.loads(path.read_text())
        except FileNotFoundError as error:
            raise OwnerError(
                f"{self.root} is not a workspace: it has no {CONFIG}. Make one with "
                "`evaluator init DIR`, or name yours with --workspace."
            ) from error
        except (OSError, ValueError) as error:
            raise OwnerError(f"{path} cannot be read as TOML: {error}") from error
        try:
            return Settings.model_validate(document)
        except ValidationError as error:
            problems = "\n".join(
                f"  {'.'.join(map(str, problem['loc'])) or CONFIG}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False)
            )
            raise OwnerError(f"{path} is not as it must be:\n{problems}") from error


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

"""challenge.json: all that a vendor needs to try a submission as it will be run, and no secret.

The owner writes it after an import (`evaluator challenge`) and hands it to vendors; `evaluator
validate` makes tiles of its shape and runs under its very policies and limits. It says of the data
what every manifest in a container says: shape, classes, how many tiles. It has no class sizes, no
statistics, no tile.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

import sandbox
from evaluator.admission_policy import load_admission_policy
from evaluator.calibration import known_peak
from evaluator.dataset.sealed import MAX_CLASSES, Dtype, Task, open_dataset
from evaluator.errors import OwnerError
from evaluator.fields import UNIT, ClassName, Model
from evaluator.petaflops import MICRO
from evaluator.workspace import shipped

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.admission_policy import AdmissionPolicy
    from evaluator.settings import Settings
    from evaluator.workspace import Workspace
    from sandbox import SandboxPolicy

MOST = 2**20  # bytes of a challenge.json; policies are a few thousand

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Whole = Annotated[int, Field(ge=0, le=2**53)]
Counted = Annotated[int, Field(ge=1, le=2**53)]


class Tiles(Model):
    """The tiles; `shape` is one tile's, (H, W) or (H, W, C). `training` 0: nothing to train on."""

    version: Counted
    task: Task
    shape: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=2, max_length=3)
    ]
    dtype: Dtype
    classes: Annotated[tuple[ClassName, ...], Field(min_length=1, max_length=MAX_CLASSES)]
    rare: tuple[ClassName, ...]
    unit: Annotated[str, Field(pattern=UNIT)] | None
    range: tuple[float, float] | None
    holdout: Counted
    training: Whole
    commitment: Sha256 | None


class Resources(Model):
    """What one container gets: CPUs, bytes, GPUs."""

    cpus: Annotated[float, Field(gt=0, le=4096)]
    memory_bytes: Counted
    gpus: Whole
    gpu_memory_bytes: Whole


class Peaks(Model):
    """Operations a second of one CPU and one GPU of the owner's host; None where not measured."""

    cpu: Annotated[float, Field(gt=0)] | None
    gpu: Annotated[float, Field(gt=0)] | None


class Limits(Model):
    """What a vendor may use unless its own row says otherwise; compute in micro-petaflops."""

    submissions: Counted
    submissions_per_day: Counted
    submission_bytes: Counted
    micro_petaflops: Counted
    charge_step: Counted


class Window(Model):
    """First and last day, UTC."""

    opens: str
    closes: str


class Policy(Model):
    """A policy's file, word for word."""

    sha256: Sha256
    text: Annotated[str, Field(max_length=2**18)]

    @model_validator(mode="after")
    def _is_its_digest(self) -> Self:
        if hashlib.sha256(self.text.encode()).hexdigest() != self.sha256:
            raise ValueError("a policy's text and its digest differ")
        return self


class Policies(Model):
    """Both policies that a run follows."""

    sandbox: Policy
    admission: Policy


class Keys(Model):
    """Whom a vendor will have to believe: the key of results (PEM) and of the log."""

    results: Annotated[str, Field(max_length=4096)]
    log: Annotated[str, Field(max_length=512)]


class Challenge(Model):
    """The whole document. `keys` and `window` are None in the sample that this program brings."""

    schemaVersion: Literal[1] = 1  # noqa: N815 - the name that every document of ours has
    name: Annotated[str, Field(pattern=r"^[!-*,-~]{1,200}$")]
    tiles: Tiles
    resources: Resources
    limits: Limits
    peaks: Peaks
    policies: Policies
    window: Window | None
    keys: Keys | None

    def policies_in(self, folder: Path) -> tuple[SandboxPolicy, AdmissionPolicy]:
        """Both policies, read as an official run reads them; `folder` takes their files."""
        paths = folder / "sandbox.toml", folder / "admission.toml"
        texts = self.policies.sandbox.text, self.policies.admission.text
        for path, text in zip(paths, texts, strict=True):
            path.write_bytes(text.encode())
        return sandbox.load_policy(paths[0]), load_admission_policy(paths[1])

    def dump(self) -> bytes:
        """The bytes of challenge.json: the same challenge, the same bytes."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    @property
    def sha256(self) -> str:
        """The digest of those bytes."""
        return hashlib.sha256(self.dump()).hexdigest()


def read_challenge(path: Path) -> Challenge:
    """Read a challenge.json; OwnerError says what in it is not as it must be."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST + 1)
        if len(raw) > MOST:
            raise OwnerError(f"{path} has more than {MOST} bytes: it is no challenge.json.")
        return Challenge.model_validate_json(raw)
    except OSError as error:
        raise OwnerError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'as a whole'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)[:5]
        )
        raise OwnerError(
            f"{path} is no challenge.json of this version ({problems}). Ask the data owner for one "
            "that `evaluator challenge` wrote."
        ) from error


def challenge_of(workspace: Workspace) -> Challenge:
    """What vendors may know of a workspace; OwnerError before anything was imported."""
    settings = workspace.settings()
    dataset = open_dataset(workspace.data)
    training = dataset.training
    return Challenge(
        name=settings.log.origin,
        tiles=Tiles(
            version=dataset.version,
            task=dataset.task,
            shape=dataset.shape,
            dtype=dataset.dtype,  # type: ignore[arg-type]  # checked once more by the model
            classes=dataset.classes,
            rare=dataset.rare,
            unit=dataset.unit,
            range=dataset.range,
            holdout=dataset.holdout.size,
            training=training.size if training else 0,
            commitment=hashlib.sha256(dataset.commitment.read_bytes()).hexdigest(),
        ),
        resources=_resources(settings),
        limits=_limits(settings),
        peaks=Peaks(
            cpu=known_peak(workspace.calibration),
            gpu=settings.resources.gpu_peak_flops or None,
        ),
        policies=_policies(workspace.sandbox_policy, workspace.admission_policy),
        window=Window(opens=str(settings.window.opens), closes=str(settings.window.closes)),
        keys=Keys(
            results=workspace.public_key.read_text(), log=workspace.log_vkey.read_text().strip()
        ),
    )


def _resources(settings: Settings) -> Resources:
    given = settings.resources
    return Resources(
        cpus=given.cpus,
        memory_bytes=given.memory_bytes,
        gpus=given.gpus,
        gpu_memory_bytes=given.gpu_memory_bytes,
    )


def _limits(settings: Settings) -> Limits:
    given = settings.limits
    budget = round(given.petaflops * MICRO)
    return Limits(
        submissions=given.submissions,
        submissions_per_day=given.submissions_per_day,
        submission_bytes=given.submission_bytes,
        micro_petaflops=budget,
        charge_step=settings.publish.charge_step(budget),
    )


def _policies(sandbox_policy: Path, admission_policy: Path) -> Policies:
    """The texts as they stand, after the programs that run by them have read them."""
    sandbox.load_policy(sandbox_policy)
    load_admission_policy(admission_policy)
    texts = sandbox_policy.read_bytes().decode(), admission_policy.read_bytes().decode()
    both = [Policy(sha256=hashlib.sha256(t.encode()).hexdigest(), text=t) for t in texts]
    return Policies(sandbox=both[0], admission=both[1])


CROPS = (
    "barley",
    "corn",
    "cotton",
    "oats",
    "potato",
    "rapeseed",
    "soybean",
    "sugar beet",
    "wheat",
)


def sample_challenge() -> Challenge:
    """The use case's numbers under the policies that this program brings: for a first try."""
    policies = shipped("policies")
    return Challenge(
        name="submission-evaluator.example/sample",
        tiles=Tiles(
            version=1,
            task="classification",
            shape=(64, 64),
            dtype="uint8",
            classes=CROPS,
            rare=("cotton", "oats", "potato", "sugar beet"),
            unit=None,
            range=None,
            holdout=5000,
            training=25_000,
            commitment=None,
        ),
        resources=Resources(
            cpus=2.0, memory_bytes=8_590_000_000, gpus=0, gpu_memory_bytes=22_490_000_000
        ),
        limits=Limits(
            submissions=5,
            submissions_per_day=5,
            submission_bytes=21_474_836_480,
            micro_petaflops=100 * MICRO,
            charge_step=MICRO,
        ),
        peaks=Peaks(cpu=None, gpu=None),
        policies=_policies(policies / "sandbox.toml", policies / "admission.toml"),
        window=None,
        keys=None,
    )

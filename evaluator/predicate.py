"""What a result says, field by field: the predicate of the statement that is signed.

These models are the edge: they are read from files that others hand on, so they are strict,
frozen and closed. evaluator/schemas/result.json is generated from them. Nothing inside computes
with them; `Dataset.holdout` and `Steps.grid` lead to the values of `evaluator.scoring`.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from evaluator import leakage
from evaluator.error_phases import ErrorGain, ErrorPhase, ErrorSteps
from evaluator.fields import UNIT, ClassName, Model, Petaflops, Places, SomePetaflops, Step
from evaluator.petaflops import MICRO
from evaluator.regression import ErrorGrid
from evaluator.scoring import Difference, Grid, Holdout, Published, derive
from evaluator.status import UNTOUCHED, Failure


def _is_time(value: str) -> str:
    datetime.fromisoformat(value)
    return value


def _is_tenths(value: float) -> float:
    if leakage.total(value) != value:
        raise ValueError("bits are given in tenths")
    return value


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ImageId = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Word = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+~_-]{0,63}$")]
Rule = Annotated[str, Field(pattern=r"^EVA[0-9]{3}$")]
Technique = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{2,63}$")]
Time = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"),
    AfterValidator(_is_time),
]
Share = Annotated[float, Field(ge=0, le=1)]
Bits = Annotated[float, Field(ge=0, le=2**40), AfterValidator(_is_tenths)]
Interval = tuple[Share, Share]
Change = Annotated[float, Field(ge=-1, le=1)]
ChangeInterval = tuple[Change, Change]
RunName = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]

Peak = Annotated[float, Field(gt=0)]
VendorName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Origin = Annotated[str, Field(pattern=r"^[!-*,-~]{1,200}$")]
"""The name of a log: printable ASCII without a space or a plus (C2SP signed-note)."""


class DigestSet(Model):
    """An in-toto DigestSet with the one digest we use."""

    sha256: Sha256


class Subject(Model):
    """What was evaluated: the submission's own bytes, or its image's digest."""

    name: Literal["submission"]
    digest: DigestSet


class Submission(Model):
    """How the submission was handed in, and of which bytes of it the subject is the SHA-256.

    `file` is the file as handed in; an image named in a registry or an engine is known by its
    `manifest` or its `config` (OCI image spec).
    """

    kind: Literal["onnx", "image"]
    digest_of: Literal["file", "manifest", "config"]


class Evaluator(Model):
    """The program that evaluated."""

    version: Word


class Commitment(Model):
    """An in-toto ResourceDescriptor of the file that commits the owner to the holdout."""

    name: Literal["commitment.json"]
    digest: DigestSet


class Dataset(Model):
    """The holdout, as far as the owner publishes it.

    `unit` and `range` are those of the targets, there where a number is predicted for each tile.
    """

    version: Annotated[int, Field(ge=1)]
    task: Literal["classification", "regression"]
    unit: Annotated[str, Field(pattern=UNIT)] | None
    range: tuple[Places, Places] | None
    holdout_commitment: Commitment
    holdout_tiles: Annotated[int, Field(ge=1)]
    classes: Annotated[tuple[ClassName, ...], Field(min_length=1, max_length=255)]
    rare_classes: Annotated[tuple[ClassName, ...], Field(min_length=1)]
    class_sizes: tuple[Annotated[int, Field(ge=1)], ...] | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        rare, classes, sizes = self.rare_classes, self.classes, self.class_sizes
        if len({*classes}) < len(classes) or len({*rare}) < len(rare):
            raise ValueError("a class is listed twice")
        if not {*rare} <= {*classes}:
            raise ValueError("a rare class is not a class")
        if sizes is not None and (len(sizes), sum(sizes)) != (len(classes), self.holdout_tiles):
            raise ValueError("the class sizes do not add up to the holdout")
        numbers = self.task == "regression"
        if {self.unit is not None, self.range is not None} != {numbers}:
            raise ValueError("a unit and a range are there where numbers are predicted")
        if not numbers and len(classes) < 2:
            raise ValueError("there are two classes at least to tell apart")
        return self

    def holdout(self) -> Holdout:
        """Return what scoring and leakage need of this."""
        return Holdout(self.holdout_tiles, self.classes, self.rare_classes, self.class_sizes)


class Policy(Model):
    """SHA-256 of each policy file the run was under."""

    sandbox: DigestSet
    seccomp: DigestSet
    admission: DigestSet


class Wall(Model):
    """What was tried against the wall on this host, under the settings of this run, beforehand.

    `probe` is the image that tried, `stopped` names the techniques, every one of which was
    stopped, and `residual` the risks that only the host can take away (docs/attacks.md explains
    both). A host that was not SEALED runs nothing, so a result can say nothing else. It costs no
    bits: all of it was decided before the submission was received.
    """

    verdict: Literal["SEALED"]
    probe: ImageId
    stopped: tuple[Technique, ...]
    residual: tuple[Technique, ...]


class Sandbox(Model):
    """The wall as it was; `runner` and `trainer` are our images, null where a vendor's own ran.

    `co_resident` says whether runs of other submissions could stand beside it on its host, with
    CPUs or GPUs and a copy of the tiles of their own.
    """

    runtime: Word
    engine: Word
    runner: ImageId | None
    trainer: ImageId | None
    co_resident: bool
    device: Literal["cpu", "cuda"]
    cpus: Annotated[float, Field(gt=0)]
    memory_bytes: Annotated[int, Field(gt=0)]
    wall: Wall


class Compute(Model):
    """What a vendor may use in the window, in petaflops (1e15 operations), and how it is charged.

    A charge is the time that devices were busy times their peak, in operations a second, rounded
    up to whole steps: `evaluator.compute` has the formula.
    """

    budget: SomePetaflops
    step: SomePetaflops
    cpu_peak: Peak
    gpu_peak: Peak | None

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        if round(self.budget * MICRO) % round(self.step * MICRO):
            raise ValueError("the budget is not a whole number of steps")
        return self

    @property
    def charges(self) -> int:
        """How many values the charge of a phase can take."""
        return round(self.budget * MICRO) // round(self.step * MICRO) + 1


class Training(Model):
    """What the fine-tuned phase was trained on and by: `recipe` is the vendor's own, if any."""

    tiles: Annotated[int, Field(ge=1)]
    recipe: DigestSet | None


class Steps(Model):
    """The published grid: every figure of that name is a whole number of these."""

    accuracy: Step
    recall: Step
    rare_accuracy: Step

    @classmethod
    def of(cls, grid: Grid) -> Self:
        """Return the grid as decimals."""
        return cls(**{name: 1 / steps for name, steps in asdict(grid).items()})

    def grid(self) -> Grid:
        """Return how many of each step make 1."""
        return Grid(**{name: round(1 / step) for name, step in self.model_dump().items()})


class ScoredPhase(Model):
    """Figures of a phase whose predictions were classes.

    Independent: accuracy, recall and rare_accuracy, counts rounded half up to the grid. The
    others follow from these, rounded half up to four decimals: macro_recall is the mean of
    recall, rare_recall the mean over rare_classes, and each interval the 95 % Wilson score
    interval (z = 1.959963984540054) over the tiles of the holdout or of the class.
    """

    status: Literal["OK"]
    task: Literal["classification"]
    charge: Petaflops
    accuracy: Share
    accuracy_interval: Interval
    macro_recall: Share
    rare_accuracy: Share
    rare_accuracy_interval: Interval | None
    rare_recall: Share
    recall: dict[ClassName, Share]
    recall_interval: dict[ClassName, Interval] | None

    @classmethod
    def of(cls, published: Published, grid: Grid, holdout: Holdout, charge: float) -> Self:
        """Return the phase with everything that follows from the published steps."""
        figures = asdict(derive(published, grid, holdout))
        return cls(status="OK", task="classification", charge=charge, **figures)


class RefusedPhase(Model):
    """An admission rule was broken, so nothing ran."""

    status: Literal["REFUSED"]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]


class FailedPhase(Model):
    """The phase failed; its status is all that is said, and what it used up to then."""

    status: Failure
    charge: Petaflops


Scored = Annotated[ScoredPhase | ErrorPhase, Field(discriminator="task")]
SCORED = (ScoredPhase, ErrorPhase)
Phase = Annotated[Scored | RefusedPhase | FailedPhase, Field(discriminator="status")]


class Gain(Model):
    """Fine-tuned minus baseline; everything in it follows from the figures of the two phases.

    Intervals are Newcombe's hybrid score intervals (method 10), as if the phases had been measured
    on different tiles.
    """

    accuracy: Change
    accuracy_interval: ChangeInterval
    macro_recall: Change
    rare_accuracy: Change
    rare_accuracy_interval: ChangeInterval | None
    rare_recall: Change
    recall: dict[ClassName, Change]

    @classmethod
    def of(cls, gained: Difference) -> Self:
        """Return the differences as they are published."""
        return cls(**asdict(gained))


class Phases(Model):
    """As submitted, and fine-tuned on the owner's training tiles; null for what was not run.

    `gain` is there where both were scored. Without a baseline it is a model that an earlier run,
    `adapted`, has trained, on today's holdout.
    """

    baseline: Phase | None
    tuned: Phase | None
    gain: Gain | ErrorGain | None
    adapted: RunName | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        scored = [isinstance(each, SCORED) for each in (self.baseline, self.tuned)]
        if (self.gain is not None) != all(scored):
            raise ValueError("a gain is there where both phases were scored, and nowhere else")
        late = isinstance(self.tuned, RefusedPhase) and not self.adapted
        if late or (isinstance(self.baseline, RefusedPhase) and self.tuned):
            raise ValueError("a submission is refused before any phase of it")
        if (self.baseline is None) != (self.adapted is not None):
            raise ValueError("a run without a baseline names the run that trained")
        if self.baseline is None and self.tuned is None:
            raise ValueError("there is no phase")
        return self

    def tasks(self) -> set[str]:
        """Return what was predicted, of all that was scored."""
        tasks: set[str] = {part.task for part in self.all() if isinstance(part, SCORED)}
        if self.gain is not None:
            tasks |= {"regression" if isinstance(self.gain, ErrorGain) else "classification"}
        return tasks

    def all(self) -> tuple[ScoredPhase | ErrorPhase | RefusedPhase | FailedPhase, ...]:
        """Those that there are, in order."""
        return tuple(phase for phase in (self.baseline, self.tuned) if phase)


class Release(Model):
    """When the result leaves: `at` the end of a slot, slots being counted from 1970 in UTC.

    `longest_seconds` is how long a submission can make a run last: which slot it reaches is
    counted in bits.
    """

    at: Time
    every_hours: Annotated[int, Field(ge=1, le=24 * 31)]
    longest_seconds: Annotated[int, Field(ge=1, le=2**32)]

    @model_validator(mode="after")
    def _ends_a_slot(self) -> Self:
        if datetime.fromisoformat(self.at).timestamp() % self.slot:
            raise ValueError("a result is released at the end of a slot")
        return self

    @property
    def slot(self) -> int:
        """Seconds between two releases."""
        return 3600 * self.every_hours


class LogPosition(Model):
    """Which log this run is in: `received` is the position of its submission's own entry."""

    origin: Origin
    received: Annotated[int, Field(ge=0)]


class Offer(Model):
    """What a vendor asks for a licence, for each square kilometre."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    per_km2: Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,4})?$")]


class About(Model):
    """What a result says whatever came of the run."""

    run: RunName
    vendor: VendorName
    log: LogPosition
    release: Release
    submission: Submission
    evaluator: Evaluator
    dataset: Dataset
    policy: Policy
    sandbox: Sandbox
    compute: Compute
    training: Training | None
    grid: Steps | ErrorSteps

    @model_validator(mode="after")
    def _one_task(self) -> Self:
        if isinstance(self.grid, ErrorSteps) != (self.dataset.range is not None):
            raise ValueError("the grid is of another task than the data set")
        self.published_grid()
        return self

    def published_grid(self) -> Grid | ErrorGrid:
        """Return what the published figures are rounded to."""
        if isinstance(self.grid, Steps):
            return self.grid.grid()
        assert self.dataset.range is not None  # noqa: S101 - validated above
        return self.grid.grid(self.dataset.range)


class LeakageBits(Model):
    """Bits this record can carry, in tenths, and what has been spent of the budget for them.

    `baseline` and `tuned` are the phases, 0 for one that is not there or met no tile, `release` the
    slot of its release, `run` their sum. `dataset` is the
    sum over all results of this data set so far, of all vendors and versions, with this one;
    `budget` is what it may become. It tells nothing that those results do not.
    """

    baseline: Bits
    tuned: Bits
    release: Bits
    run: Bits
    dataset: Bits
    budget: Annotated[int, Field(ge=0, le=2**40)]

    @model_validator(mode="after")
    def _within_budget(self) -> Self:
        if not self.run <= self.dataset <= self.budget:
            raise ValueError("the bits of the data set are below the run's, or beyond the budget")
        return self

    @classmethod
    def of(cls, phases: Phases, about: About, account: leakage.Account) -> Self:
        """Return the bits of a record; a phase has none where it never met a tile."""
        holdout, grid = about.dataset.holdout(), about.published_grid()
        one = leakage.phase_bits(holdout, grid, about.compute.charges)
        baseline, tuned = (
            0.0 if phase is None or phase.status in UNTOUCHED else one
            for phase in (phases.baseline, phases.tuned)
        )
        release = leakage.release_bits(about.release.longest_seconds, about.release.slot)
        run = leakage.total(baseline, tuned, release)
        return cls(
            baseline=baseline,
            tuned=tuned,
            release=release,
            run=run,
            dataset=leakage.total(account.released, run),
            budget=account.budget,
        )


class Predicate(About):
    """What the evaluator states about the submission."""

    phases: Phases
    leakage_bits: LeakageBits

    @model_validator(mode="after")
    def _trained(self) -> Self:
        if self.phases.tuned and not self.phases.adapted and self.training is None:
            raise ValueError("a phase was fine-tuned on no tiles")
        if not self.phases.tasks() <= {self.dataset.task}:
            raise ValueError("a phase is of another task than the data set")
        return self

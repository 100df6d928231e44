"""What is known of a submission after its rehearsal: the only thing that rules look at.

Everything here was read, counted or measured by this program. Text of the vendor's own (variables,
history, logs) is here too, because `validate` shows vendors their own words; who prints it makes
it harmless first (`evaluator.reports.plain`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evaluator.challenge import Challenge

Phase = Literal["baseline", "tuned"]
Output = Literal["", "right", "missing", "short", "long", "out of range"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the official intake says: the id of its rule, and its sentence without the id."""

    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The settings of an image as it was handed in, and what its layers hold; sizes in bytes.

    `history` has what a builder noted of each step. `marks` are counts by name, made while the
    layers were read; `evaluator/intake/marks.py` has the names and what each counts.
    """

    size: int
    unpacked: int
    layers: int
    entries: int
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    working_directory: str
    user: str
    volumes: tuple[str, ...]
    ports: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    health_check: bool
    history: tuple[str, ...]
    marks: tuple[tuple[str, int], ...]

    def mark(self, name: str) -> int:
        """How often something was seen in the layers; KeyError for a name that nobody counts."""
        return dict(self.marks)[name]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """An ONNX file: `input` and `output` as (element type, shape), -1 a free dimension."""

    size: int
    input: tuple[str, tuple[int, ...]]
    output: tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class StepFacts:
    """One container of the rehearsal, in the order in which they ran. Seconds and bytes.

    `tiles` is how many it was given. `start` is the time until the engine had it running. `log` is
    what it printed, standard output and error together as they came, bounded; `cut` says that it
    printed more. `output` says what was found in /output/predictions, "" for a `train`.
    """

    phase: Phase
    verb: str
    tiles: int
    status: str
    exit_code: int | None
    start: float
    seconds: float
    cpu_seconds: float
    gpu_seconds: float
    peak_memory: int
    log: str
    cut: bool
    output: Output = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One phase on the owner's tiles and resources, from what was measured here.

    `load` is what a container takes before its first tile, `per_tile` for each after that;
    `petaflops` is the charge, in whole steps. `status` is what an official run would answer.
    """

    phase: Phase
    status: str
    start: float
    load: float
    per_tile: float
    seconds: float
    peak_memory: int
    petaflops: float


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything. `dockerfile` is its text where the vendor gave one, else ""."""

    kind: Literal["onnx", "image"]
    digest: str
    size: int
    challenge: Challenge
    refusals: tuple[Refusal, ...] = ()
    image: ImageFacts | None = None
    model: ModelFacts | None = None
    steps: tuple[StepFacts, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    dockerfile: str = ""

    def ran(self, verb: str) -> tuple[StepFacts, ...]:
        """The containers that were started with this verb."""
        return tuple(step for step in self.steps if step.verb == verb)

    def document(self) -> dict[str, Any]:
        """As JSON, for rules in other languages (`validate --facts-out`)."""
        found = {name: value for name, value in asdict(self).items() if name != "challenge"}
        return {"schemaVersion": 1, "challenge": self.challenge.model_dump(mode="json"), **found}

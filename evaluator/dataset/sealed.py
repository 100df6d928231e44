"""A sealed dataset: where its files are, what they hold, and whether they are still the same.

Each version is a directory `data/N` that is written once and never changed:

    seal.json        what the owner knows of it, and the SHA-256 of every other file
    secret           32 bytes, the seed of the commitment's salts
    commitment.json  the public commitment to the holdout
    holdout/tiles/tiles.npy       (N, H, W) or (N, H, W, C), in a secret random order
    holdout/tiles/manifest.json   what a submission is told of them
    holdout/labels/labels.npy     (N,) uint8, positions in `classes`
    training/...                  the same, unless every tile is held out

Where numbers are predicted, either side has targets.npy beside its labels: (N,) float32.
Either side may have groups.npy beside its labels: (N, 16) uint8, a keyed digest of each tile's
group, zero for none, for the owner alone.
"""

import errno
import os
import re
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluator.errors import OwnerError

SIDES: Final = ("holdout", "training")
FILES: Final = ("tiles/tiles.npy", "tiles/manifest.json", "labels/labels.npy")
TARGETS: Final = "labels/targets.npy"
GROUPS: Final = "labels/groups.npy"
GROUP_BYTES: Final = 16
"""Length of a group's keyed digest in groups.npy."""

MAX_CLASSES: Final = 255
"""Labels are uint8, and 255 stays free for "no answer"."""

Dtype = Literal["uint8", "uint16", "float32"]
BYTES: Final = {"uint8": 1, "uint16": 2, "float32": 4}
"""Of one value of each type."""
Task = Literal["classification", "regression"]
Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=MAX_CLASSES)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, defer_build=True
    )


class Band(_Strict):
    """One band over all tiles of both sides; the standard deviation is the population's."""

    mean: float
    std: float
    minimum: float
    maximum: float


class Moments(_Strict):
    """One band over all tiles of one class, of both sides."""

    mean: float
    std: float


class Seal(_Strict):
    """seal.json: owner-private, since it holds class sizes. `files` are hex SHA-256 by path."""

    format: Literal[1] = 1
    version: int = Field(ge=1)
    task: Task = "classification"
    unit: str | None = None
    range: tuple[float, float] | None = None
    classes: tuple[str, ...] = Field(min_length=1, max_length=MAX_CLASSES)
    rare: tuple[str, ...] = Field(min_length=1)
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=2, max_length=3)
    dtype: Dtype
    holdout: Counts
    training: Counts | None
    bands: tuple[Band, ...]
    # In the order of `classes`; seals that were made before there was any have none.
    class_bands: tuple[tuple[Moments, ...], ...] | None = None
    files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Tie the parts together, so that no path but the known ones is ever opened."""
        sides = SIDES if self.training else SIDES[:1]
        numbers = self.task == "regression"
        files = (*FILES, TARGETS) if numbers else FILES
        needed = {"secret", "commitment.json"} | {f"{s}/{file}" for s in sides for file in files}
        allowed = needed | {f"{side}/{GROUPS}" for side in sides}
        if not needed <= self.files.keys() <= allowed:
            raise ValueError("the files are not those of a dataset")
        if len({len(self.classes), len(self.holdout), len(self.training or self.classes)}) > 1:
            raise ValueError("the counts are not one per class")
        if not set(self.rare) <= set(self.classes):
            raise ValueError("a rare class is no class")
        shape = [len(self.bands)] * len(self.classes)
        if self.class_bands is not None and [*map(len, self.class_bands)] != shape:
            raise ValueError("the class statistics are not one for each band of each class")
        if {self.unit is not None, self.range is not None} != {numbers}:
            raise ValueError("a unit and a range are there where numbers are predicted")
        if len(self.classes) < 2 and not numbers:
            raise ValueError("there are two classes at least to tell apart")
        return self


@dataclass(frozen=True, slots=True)
class Split:
    """One side of a dataset. `counts` is its tiles per class, in the order of `classes`.

    `targets` is there where numbers are predicted.
    """

    tiles: Path
    manifest: Path
    labels: Path
    counts: tuple[int, ...]
    targets: Path | None = None

    @property
    def size(self) -> int:
        """How many tiles there are."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One sealed version. `shape` is a tile's, (H, W) or (H, W, C).

    `unit` and `range` are those of the targets, None where classes are predicted.
    """

    folder: Path
    version: int
    classes: tuple[str, ...]
    rare: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    holdout: Split
    training: Split | None
    commitment: Path
    task: Task = "classification"
    unit: str | None = None
    range: tuple[float, float] | None = None


def versions(data: Path) -> list[int]:
    """Return the numbers of the versions in `data`, lowest first."""
    names = (entry.name for entry in data.iterdir()) if data.is_dir() else ()
    return sorted(int(name) for name in names if re.fullmatch("[1-9][0-9]*", name))


def open_dataset(data: Path) -> Dataset:
    """Open the current version, which is the highest.

    Raises OwnerError if there is none, or if its seal.json or a sealed file is missing or not
    what it must be. The contents are `check_seal`'s business.
    """
    try:
        numbers = versions(data)
    except OSError as error:
        raise OwnerError(f"{data} cannot be read: {error.strerror}.") from error
    if not numbers:
        raise OwnerError(
            f"There is no dataset in {data}. Bring your tiles in with "
            "`evaluator data import SOURCE`."
        )
    folder = data / str(numbers[-1])
    seal = read_seal(folder)
    for name in seal.files:
        if not (folder / name).is_file():
            raise OwnerError(
                f"{folder / name} is missing from the sealed dataset. Restore it from a backup, "
                "or import the tiles again."
            )
    predicts = seal.task == "regression"
    training = None
    if seal.training is not None:
        training = _split(folder / "training", seal.training, numbers=predicts)
    return Dataset(
        folder=folder,
        version=seal.version,
        classes=seal.classes,
        rare=seal.rare,
        shape=seal.shape,
        dtype=seal.dtype,
        holdout=_split(folder / "holdout", seal.holdout, numbers=predicts),
        training=training,
        commitment=folder / "commitment.json",
        task=seal.task,
        unit=seal.unit,
        range=seal.range,
    )


def read_seal(folder: Path) -> Seal:
    """Read the seal.json of one version; OwnerError if it is missing, malformed or another's."""
    path = folder / "seal.json"
    advice = "Restore it from a backup, or import the tiles again."
    try:
        seal = Seal.model_validate_json(path.read_bytes())
    except OSError as error:
        raise OwnerError(f"{path} cannot be read: {error.strerror}. {advice}") from error
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "as a whole"
        raise OwnerError(f"{path} is malformed ({where}). {advice}") from error
    if str(seal.version) != folder.name:
        raise OwnerError(f"{path} is the seal of version {seal.version}. {advice}")
    return seal


def check_seal(dataset: Dataset) -> None:
    """Hash every sealed file again; OwnerError names the first that is not as it was sealed."""
    for name, digest in read_seal(dataset.folder).files.items():
        path = dataset.folder / name
        try:
            found = _digest(path)
        except OSError as error:
            raise OwnerError(f"{path} cannot be read: {error.strerror}.") from error
        if found != digest:
            raise OwnerError(
                f"{path} has changed since version {dataset.version} was sealed, so no result "
                "would be comparable. Restore it from a backup, or import the tiles again."
            )


def _digest(path: Path) -> str:
    """The SHA-256 of a file, read from the disk whatever is in memory.

    Which pages were in memory before could be a message of an earlier run to the next. Reading
    them all does not wipe it out: pages that were there stay faster. So they are dropped first.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link")
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file_digest(file, "sha256").hexdigest()


def _split(folder: Path, counts: tuple[int, ...], *, numbers: bool) -> Split:
    tiles, manifest, labels = (folder / file for file in FILES)
    return Split(tiles, manifest, labels, counts, folder / TARGETS if numbers else None)


@dataclass(frozen=True, slots=True)
class ClassDescription:
    """One class; shares are of all tiles of a side, None where there is no training set."""

    name: str
    rare: bool
    holdout: int
    holdout_share: float
    training: int
    training_share: float | None


@dataclass(frozen=True, slots=True)
class Description:
    """Aggregates of a dataset, for its owner's eyes: no tile, no name, no digest."""

    version: int
    shape: tuple[int, ...]
    dtype: str
    holdout: int
    training: int
    classes: tuple[ClassDescription, ...]
    bands: tuple[Band, ...]
    task: Task
    unit: str | None
    range: tuple[float, float] | None


def describe(dataset: Dataset) -> Description:
    """Sum a dataset up from its seal, without reading a tile."""
    seal = read_seal(dataset.folder)
    trained = seal.training or (0,) * len(seal.classes)
    holdout, training = sum(seal.holdout), sum(trained)
    return Description(
        version=seal.version,
        shape=seal.shape,
        dtype=seal.dtype,
        holdout=holdout,
        training=training,
        classes=tuple(
            ClassDescription(
                name=name,
                rare=name in seal.rare,
                holdout=held,
                holdout_share=held / holdout,
                training=kept,
                training_share=kept / training if training else None,
            )
            for name, held, kept in zip(seal.classes, seal.holdout, trained, strict=True)
        ),
        bands=seal.bands,
        task=seal.task,
        unit=seal.unit,
        range=seal.range,
    )

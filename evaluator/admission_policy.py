"""policies/admission.toml, read strictly: what a submission must be, no wider than built for."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator.errors import OwnerError

if TYPE_CHECKING:
    from pathlib import Path


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


class ImageRules(_Section):
    """Budgets of a submitted image; sizes in bytes. The bounds are what no file can widen."""

    unpacked_bytes: Annotated[int, Field(ge=1, le=2**40)]
    ratio: Annotated[int, Field(ge=1, le=1000)]
    entries: Annotated[int, Field(ge=1, le=10_000_000)]
    layers: Annotated[int, Field(ge=1, le=127)]
    document_bytes: Annotated[int, Field(ge=1024, le=2**22)]
    kept: Annotated[int, Field(ge=0, le=1000)]


class OnnxRules(_Section):
    """Limits of a submitted ONNX file, enforced by our runner inside the sandbox."""

    bytes: Annotated[int, Field(ge=1, le=2**31)]
    opset_min: Annotated[int, Field(ge=1)]
    opset_max: Annotated[int, Field(ge=1, le=26)]
    domains: list[Annotated[str, Field(pattern=r"^(|ai\.onnx|ai\.onnx\.ml|com\.microsoft)$")]]
    refused_operators: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,128}$")]]
    nodes: Annotated[int, Field(ge=1, le=1_000_000)]
    initializers: Annotated[int, Field(ge=1, le=1_000_000)]
    dimension: Annotated[int, Field(ge=1, le=2**40)]


class RecipeBounds(_Section):
    """The most that a vendor's hyperparameters.json may ask for; each key is one of its own."""

    mode: Annotated[list[Literal["auto", "head", "full"]], Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    weight_decay: Annotated[float, Field(ge=0, le=10)]
    label_smoothing: Annotated[float, Field(ge=0, le=0.9)]
    crop: Annotated[int, Field(ge=0, le=256)]
    validation: Annotated[float, Field(ge=0, le=0.9)]


class WaiverRules(_Section):
    """What vendors may waive in `validate`: rules by id or name, or all of a severity."""

    allowed: list[Annotated[str, Field(pattern=r"^(EVA[0-9]{3}|[a-z]+(-[a-z0-9]+)*)$")]]


class AdmissionFile(_Section):
    """The file, whole: an unknown or missing key is an error."""

    image: ImageRules
    onnx: OnnxRules
    recipe: RecipeBounds
    # Files from before there were waivers have none, and then nothing may be waived.
    waivers: WaiverRules = WaiverRules(allowed=[])


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """The values of admission.toml, with the digest of the file they came from."""

    image: ImageRules
    onnx: OnnxRules
    recipe: RecipeBounds
    waivers: WaiverRules
    sha256: str


def load_admission_policy(path: Path) -> AdmissionPolicy:
    """Read `path`; an unknown, missing or too generous key is an OwnerError."""
    try:
        raw = path.read_bytes()
        read = AdmissionFile.model_validate(tomllib.loads(raw.decode()))
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()
        )
        raise OwnerError(f"{path}: {'; '.join(problems)}.") from error
    except (OSError, ValueError) as error:
        raise OwnerError(f"{path} cannot be read as TOML: {error}") from error
    digest = hashlib.sha256(raw).hexdigest()
    return AdmissionPolicy(read.image, read.onnx, read.recipe, read.waivers, digest)

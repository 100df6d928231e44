"""policies/sandbox.toml, read strictly: what an operator may narrow, and no further."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sandbox.spec import Limits, PolicyError

if TYPE_CHECKING:
    from pathlib import Path

RUNTIMES = ("runc", "runsc")

# No file can go beyond these.
CEILINGS = {
    "tmp_bytes": 64 * 2**30,
    "shm_bytes": 64 * 2**30,
    "model_bytes": 64 * 2**30,
    "processes": 4096,
    "open_files": 65536,
    "check_seconds": 3600,
    "predict_seconds": 7 * 24 * 3600,
    "train_seconds": 7 * 24 * 3600,
}
# Of our own program that keeps the model volume, and packs or unpacks it.
_PACK_SECONDS = 600
_PACK_BYTES = 2**26  # headers and padding of as many files as the volume can have


@dataclass(frozen=True, slots=True)
class SandboxPolicy:
    """The values of sandbox.toml, with the digest of the file they came from."""

    runtime: str
    tmp_bytes: int
    shm_bytes: int
    model_bytes: int
    processes: int
    open_files: int
    check_seconds: int
    predict_seconds: int
    train_seconds: int
    require: tuple[str, ...]
    sha256: str

    @property
    def pack_seconds(self) -> int:
        """The deadline of our own program that packs a model, or unpacks it."""
        return _PACK_SECONDS

    def limits(self, verb: str, cpus: float, memory: int) -> Limits:
        """The limits of one container that runs `verb`, of a submission or of our own."""
        seconds = {
            "check": self.check_seconds,
            "predict": self.predict_seconds,
            "train": self.train_seconds,
            "hold": self.train_seconds + self.predict_seconds + 2 * _PACK_SECONDS,
            "keep": _PACK_SECONDS,
            "restore": _PACK_SECONDS,
        }[verb]
        return Limits(
            cpus=cpus,
            memory=memory,
            tmp=self.tmp_bytes,
            shm=self.shm_bytes,
            processes=self.processes,
            open_files=self.open_files,
            seconds=seconds,
            model=self.model_bytes if verb in {"train", "restore"} else 0,
            archive=self.model_bytes + _PACK_BYTES if verb == "keep" else 0,
        )


def load_policy(path: Path) -> SandboxPolicy:
    """Read `path`; an unknown, missing or too generous key is a PolicyError."""
    try:
        raw = path.read_bytes()
        values = tomllib.loads(raw.decode())
    except (OSError, ValueError) as error:
        raise PolicyError(f"{path} cannot be read as TOML: {error}") from error
    problems = [*_names(values), *(_value(key, values[key]) for key in sorted(values))]
    if any(problems):
        raise PolicyError(f"{path}: " + "; ".join(filter(None, problems)) + ".")
    values["require"] = tuple(values["require"])
    return SandboxPolicy(**values, sha256=hashlib.sha256(raw).hexdigest())


def _names(values: dict[str, Any]) -> list[str]:
    known = {field.name for field in fields(SandboxPolicy)} - {"sha256"}
    return [
        *(f"unknown key {key!r}" for key in sorted(values.keys() - known)),
        *(f"missing key {key!r}" for key in sorted(known - values.keys())),
    ]


def _value(key: str, value: Any) -> str | None:  # noqa: ANN401 - whatever TOML holds
    if key == "runtime":
        return None if value in RUNTIMES else f"runtime must be one of {', '.join(RUNTIMES)}"
    if key == "require":
        named = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return None if named else "require must be a list of names of checks"
    ceiling = CEILINGS.get(key)
    if ceiling is None:
        return None
    whole = isinstance(value, int) and not isinstance(value, bool)
    return None if whole and 1 <= value <= ceiling else f"{key} must be 1 to {ceiling}"

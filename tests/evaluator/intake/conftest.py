"""Archives in every form that builders write, and the door they go through."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from evaluator.admission_policy import ImageRules
from evaluator.errors import Refused
from evaluator.intake.door import unpacked

if TYPE_CHECKING:
    from pathlib import Path

RULES = ImageRules(
    unpacked_bytes=2**30, ratio=200, entries=1000, layers=20, document_bytes=65536, kept=2
)


@dataclass(frozen=True)
class Rebuilt:
    """What came out of the door: settings, and the members of each layer."""

    settings: dict[str, Any]
    layers: list[list[tarfile.TarInfo]]
    digests: list[str]

    def member(self, name: str) -> tarfile.TarInfo:
        """The one member of this name."""
        (found,) = [m for layer in self.layers for m in layer if m.name == name]
        return found


Intake = Callable[..., Rebuilt]


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    """A function that rebuilds an archive in the confined child."""

    def run(archive: bytes, **rules: int) -> Rebuilt:
        (tmp_path / "submission").write_bytes(archive)
        with unpacked(tmp_path / "submission", tmp_path, RULES.model_copy(update=rules)) as image:
            layers = [b"".join(layer.chunks()) for layer in image.layers]
            assert [left.name for left in tmp_path.iterdir()] == ["submission"]
            return Rebuilt(
                image.settings,
                [_members(layer) for layer in layers],
                [hashlib.sha256(layer).hexdigest() for layer in layers],
            )

    return run


def _members(layer: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return archive.getmembers()


@pytest.fixture
def rule_of(intake: Intake) -> Callable[..., str]:
    """A function that names the rule an archive breaks, or says that it is accepted."""

    def rule(archive: bytes, **rules: int) -> str:
        try:
            intake(archive, **rules)
        except Refused as refusal:
            return refusal.rule
        return "accepted"

    return rule


def as_it_is(content: bytes) -> bytes:
    """No compression."""
    return content


def zstd(content: bytes) -> bytes:
    """As buildx and podman write layers."""
    return zstandard.compress(content)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": as_it_is,
    "gzip": gzip.compress,
    "zstd": zstd,
}


@pytest.fixture(params=COMPRESSIONS)
def compress(request: pytest.FixtureRequest) -> Callable[[bytes], bytes]:
    """Each compression that is read."""
    return COMPRESSIONS[str(request.param)]

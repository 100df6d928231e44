"""Admitted images that the engine keeps: known bytes need no second unpacking.

What is known is the sha256 of every submitted byte, the admission policy, the code of the
intake and the architecture; what it stands for is the id that was computed here. An image's
own config digest proves nothing: an archive may name another vendor's (attacks.md, "layer
theft by reference").
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

import sandbox
from evaluator import __version__, image_settings, rebuild
from evaluator.files import sync, write_new

if TYPE_CHECKING:
    from evaluator.admission_policy import AdmissionPolicy

_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Known(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    bytes: _Hex
    image: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Record(RootModel[tuple[_Known, ...]]):
    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class KeptImages:
    """The admitted images of a slot, least recently used first; at most `most` after a run.

    The caller holds the slot, so no image in use is ever dropped by another run.
    """

    record: Path
    policy: str  # its sha256
    most: int

    @property
    def owner(self) -> str:
        """The label's value: two workspaces on one host keep their images apart."""
        return hashlib.sha256(bytes(self.record.resolve())).hexdigest()[:16]

    def find(self, content: str) -> str | None:
        """The id of the image that bytes of this sha256 became, where the engine still has it."""
        key = self._key(content)
        known = next((each for each in self._read() if each.bytes == key), None)
        if known is None or sandbox.find_image(known.image) != known.image:
            return None
        return known.image

    def remember(self, content: str, image: str) -> None:
        """Note what bytes of this sha256 became, as the most recently used."""
        key, known = self._key(content), self._read()
        now = [*(each for each in known if each.bytes != key), _Known(bytes=key, image=image)]
        if now != [*known]:
            self._write(now)

    def prune(self) -> None:
        """Drop what is more than `most`, and every admitted image that nothing remembers."""
        known = self._read()
        images = list(dict.fromkeys(each.image for each in reversed(known)))[: self.most]
        left = [each for each in known if each.image in images]
        if len(left) != len(known):
            self._write(left)
        sandbox.remove_admitted(self.owner, images)

    def _key(self, content: str) -> str:
        if len(content) != 64:
            raise ValueError("A key needs the sha256 of all bytes.")  # else all images are one
        parts = (content, self.policy, __version__, _code(), image_settings.ARCHITECTURE)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _read(self) -> tuple[_Known, ...]:
        """What is known; nothing where the file is missing or damaged."""
        try:
            return _Record.model_validate_json(self.record.read_bytes()).root
        except (OSError, ValidationError):
            return ()

    def _write(self, known: list[_Known]) -> None:
        part = self.record.with_name(f".{self.record.name}.part")
        content = json.dumps([each.model_dump() for each in known], indent=1)
        try:
            part.unlink(missing_ok=True)
            write_new(part, content.encode(), 0o600)
            part.replace(self.record)
            sync(self.record.parent)
        except OSError as error:
            raise sandbox.SandboxError(
                f"The record of admitted images ({self.record.name}) cannot be written in the "
                f"workspace: {error.strerror}."
            ) from error


def kept_images(record: Path | None, scratch: Path, admission: AdmissionPolicy) -> KeptImages:
    """The kept images of a workspace under its policy; without a record, none outlives its run."""
    if record is None:
        return KeptImages(scratch / "intake.json", admission.sha256, 0)
    return KeptImages(record, admission.sha256, admission.image.kept)


def _code() -> str:
    """A digest of the code that admits an image: what it let through once, it may not now."""
    intake = sorted((Path(__file__).parent / "intake").glob("*.py"))
    sources = [*intake, Path(image_settings.__file__), Path(rebuild.__file__)]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()

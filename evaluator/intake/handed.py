"""What `marks` said in the child, as this process takes it: strictly, and for a report alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from evaluator.intake.marks import MARKS, MOST_CHARACTERS, MOST_TEXTS
from evaluator.lint.facts import ImageFacts

if TYPE_CHECKING:
    from evaluator.intake.door import Unpacked

_Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]
_Texts = Annotated[list[_Text], Field(max_length=MOST_TEXTS)]
_Pair = Annotated[list[_Text], Field(min_length=2, max_length=2)]
_Count = Annotated[int, Field(ge=0, le=2**50)]


class Handed(BaseModel):
    """The settings of an image before anything was dropped of them, and counts over its layers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    command: _Texts
    variables: _Texts
    user: _Text
    volumes: _Texts
    ports: _Texts
    labels: Annotated[list[_Pair], Field(max_length=MOST_TEXTS)]
    health_check: bool
    history: _Texts
    marks: dict[str, _Count]

    @field_validator("marks")
    @classmethod
    def _every_mark_and_no_other(cls, marks: dict[str, int]) -> dict[str, int]:
        if set(marks) != set(MARKS):
            raise ValueError("other marks than those that are counted")
        return marks


def image_facts(image: Unpacked, size: int) -> ImageFacts:
    """What rules are told of an image that was unpacked with `marks`; `size` is its archive's."""
    handed = image.handed
    assert handed is not None  # noqa: S101 - the caller asked for marks
    return ImageFacts(
        size=size,
        unpacked=sum(layer.size for layer in image.layers),
        layers=len(image.layers),
        entries=handed.marks["entries"],
        entrypoint=tuple(image.settings["Entrypoint"]),
        command=tuple(handed.command),
        variables=tuple((name, value) for name, _, value in map(_split, handed.variables)),
        working_directory=image.settings["WorkingDir"],
        user=handed.user,
        volumes=tuple(handed.volumes),
        ports=tuple(handed.ports),
        labels=tuple((name, value) for name, value in handed.labels),
        health_check=handed.health_check,
        history=tuple(handed.history),
        marks=tuple(handed.marks.items()),
    )


def _split(line: str) -> tuple[str, str, str]:
    return line.partition("=")

"""The lines of a Dockerfile that a finding points at; enough of its syntax for that and no more."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEREDOC = re.compile(r"<<-?[\"']?(\w{1,64})")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: the line it begins on, its word in capitals, and the rest of it."""

    line: int
    word: str
    rest: str


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions in order, continued lines joined, here-documents and comments left out."""
    begun, parts, end = 0, list[str](), ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if end:
            end = "" if line == end else end
        elif line and not line.startswith("#"):
            begun = begun or number
            parts.append(line.removesuffix("\\").strip())
            if line.endswith("\\"):
                continue
            yield from _instruction(begun, " ".join(parts))
            heredoc = _HEREDOC.search(line)
            end = heredoc[1] if heredoc else ""
            begun, parts = 0, []
    if parts:
        yield from _instruction(begun, " ".join(parts))


def _instruction(line: int, text: str) -> Iterator[Instruction]:
    word, _, rest = text.partition(" ")
    if word:
        yield Instruction(line, word.upper(), rest.strip())


def line_of(text: str, word: str, part: str = "") -> int | None:
    """The last line with this instruction, which is the one that counts; None without one."""
    found = [each.line for each in instructions(text) if each.word == word and part in each.rest]
    return found[-1] if found else None


def unpinned(text: str) -> Iterator[tuple[int, str]]:
    """Lines and names of base images that are named without a digest."""
    stages = {"scratch"}
    for each in instructions(text):
        if each.word != "FROM":
            continue
        words = [word for word in each.rest.split() if not word.startswith("--")]
        if not words:
            continue
        base = words[0]
        # A name that is an argument of the build is known to whoever builds, not here.
        if base.lower() not in stages and "@sha256:" not in base and "$" not in base:
            yield each.line, base
        if len(words) == 3 and words[1].upper() == "AS":
            stages.add(words[2].lower())

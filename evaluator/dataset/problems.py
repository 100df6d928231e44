"""What can be wrong with a source of tiles, all of it told at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluator.errors import OwnerError

SHOWN_PER_KIND = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the source; problems of one `kind` are shown together.

    `tiles` is how many tiles --skip-bad leaves out because of it, or None if leaving tiles
    out cannot mend it.
    """

    kind: str
    text: str
    tiles: int | None = 1


class ImportProblems(OwnerError):  # noqa: N818 - it is more than one
    """Why nothing was imported: `problems` has one text each, the message groups them."""

    def __init__(self, found: Sequence[Problem]) -> None:
        self.problems = tuple(f"{problem.kind}: {problem.text}" for problem in found)
        super().__init__(_message(found))


def shown(name: str) -> str:
    """Make a name from a file system, archive or table safe to print: no control characters."""
    name = name[:200]
    if name.isprintable():  # as good as every one is
        return name
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _message(found: Sequence[Problem]) -> str:
    kinds: dict[str, list[str]] = {}
    for problem in found:
        kinds.setdefault(problem.kind, []).append(problem.text)
    lines = [f"Nothing was imported: {len(found)} problem{'s' if len(found) > 1 else ''}."]
    for kind, texts in kinds.items():
        lines.append(f"{kind} ({len(texts)}):")
        lines += [f"  {text}" for text in texts[:SHOWN_PER_KIND]]
        if len(texts) > SHOWN_PER_KIND:
            lines.append(f"  ... and {len(texts) - SHOWN_PER_KIND} more")
    return "\n".join([*lines, _advice(found)])


def _advice(found: Sequence[Problem]) -> str:
    stubborn = sorted({problem.kind for problem in found if problem.tiles is None})
    if stubborn:
        return (
            f"Mend the source and import again; --skip-bad cannot help with: {', '.join(stubborn)}."
        )
    return "Mend the source and import again, or leave these tiles out with --skip-bad."

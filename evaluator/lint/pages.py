"""docs/rules: a page for each rule and an index, made from the rules themselves.

python -m evaluator.lint.pages        # writes docs/rules anew
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.lint.catalogue import RULES

if TYPE_CHECKING:
    from evaluator.lint.rule import Rule

_AREAS = {
    "1": "Settings of an image",
    "2": "What its layers hold",
    "3": "ONNX files and their training",
    "4": "The contract: how the verbs end, and why",
    "9": "`validate` itself",
}
_OF = {"image": "images", "onnx": "ONNX files", "both": "images and ONNX files"}


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    made = {f"{rule.id}.md": page(rule) for rule in RULES.values()}
    return {"README.md": index()} | made


def page(rule: Rule) -> str:
    """What a vendor reads of one rule, in Markdown."""
    decides = (
        "An official run answers `REFUSED` with this id, before anything is charged."
        if rule.refuses
        else "`evaluator validate` alone; an official run does not ask it."
    )
    return "\n".join(
        (
            f"# {rule.id} {rule.name}",
            "",
            f"{rule.title}.",
            "",
            f"- Severity: {rule.severity}, of {_OF[rule.applies]}",
            f"- Who decides: {decides}",
            "",
            "## Why",
            "",
            rule.why,
            "",
            "## How to fix",
            "",
            rule.fix,
            "",
            "## How to waive",
            "",
            _waiving(rule),
            "",
        )
    )


def _waiving(rule: Rule) -> str:
    if rule.refuses:
        return "Not at all: an official run would refuse the submission."
    if rule.id.startswith("EVA9"):
        return "Mend what it says: it is about the check, not about the submission."
    return "\n".join(
        (
            "Where the data owner's `admission.toml` allows it (`[waivers]`), in",
            "`.evaluatorignore.toml` beside the submission:",
            "",
            "```toml",
            "[[waiver]]",
            f'rule = "{rule.id}"    # {rule.name}',
            'reason = "why it stays"',
            "expires = 2027-01-31",
            "```",
        )
    )


def index() -> str:
    """The list of all rules, by area."""
    lines = [
        "# Rules",
        "",
        "What `evaluator validate` asks of a submission, and what an official run refuses by",
        "(**refuses**). An id never changes its meaning and is never used again. With",
        "`evaluator rule ID` a terminal shows a page.",
        "`python -m evaluator.lint.pages` writes these pages.",
    ]
    for area, title in _AREAS.items():
        lines += ["", f"## {title}", "", "| id | name | severity | asks |", "|---|---|---|---|"]
        for rule in RULES.values():
            if rule.id[3] == area:
                how = "**refuses**" if rule.refuses else rule.severity
                row = f"[{rule.id}]({rule.id}.md) | {rule.name} | {how} | {rule.title}"
                lines.append(f"| {row} |")
    return "\n".join([*lines, ""])


def main(folder: Path) -> None:
    """Write every page, and remove those of rules that are not."""
    made = pages()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/rules"))

"""The parts of the benchmarks, in the order in which they are run and reported."""

from __future__ import annotations

import ast
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

Results = dict[str, Any]

PARTS = {
    "startup": "The command line",
    "loop": "The loop of the runner",
    "commands": "Whole runs",
    "overhead": "What a run adds",
    "intake": "Taking in an image",
    "importing": "Importing tiles",
    "scoring": "Scoring",
    "training": "Fine-tuning",
    "throughput": "Many submissions",
    "scale": "How costs grow",
    "image_sizes": "Sizes of the images",
}
"""Modules of this package, and their headings in the report."""


def part_of(name: str) -> ModuleType | None:
    """Return the module of a part, or None where there is none."""
    spec = find_spec(f"benchmarks.{name}")
    return import_module(f"benchmarks.{name}") if spec else None


def about(name: str) -> str:
    """Return what a part says of itself; it is read, not run."""
    spec = find_spec(f"benchmarks.{name}")
    source = Path(spec.origin).read_text() if spec and spec.origin else ""
    return ast.get_docstring(ast.parse(source)) or ""


def read_results(path: Path) -> Results:
    """Return what was measured so far: {part: {"run": how, "machine": where, "found": [...]}}."""
    return json.loads(path.read_text()) if path.exists() else {}


def write_results(path: Path, results: Results) -> None:
    """Replace the file in one step, so that whoever ends the program loses one part at most."""
    partial = path.with_name(path.name + ".partial")
    ordered = {name: results[name] for name in (*PARTS, *results) if name in results}
    partial.write_text(json.dumps(ordered, indent=1) + "\n")
    partial.replace(path)

"""Who may import whom, and how long the way to the wall is."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKER_SDK = {"docker", "requests"}  # requests is how the SDK reports a broken connection


def modules(folder: str) -> list[Path]:
    """Every Python file below `folder`."""
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The full names of what a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("path", modules("sandbox"), ids=str)
def test_the_sandbox_knows_docker_and_nothing_else(path: Path) -> None:
    """The trusted base: standard library, Docker SDK, itself."""
    tops = {name.partition(".")[0] for name in imported(path)}

    assert tops <= sys.stdlib_module_names | DOCKER_SDK | {"sandbox"}


@pytest.mark.parametrize("path", modules("evaluator"), ids=str)
def test_the_evaluator_sees_the_sandbox_through_its_front(path: Path) -> None:
    """Nothing behind sandbox/__init__.py, and neither Docker nor a model's runtime."""
    names = imported(path)

    assert not [name for name in names if name.startswith("sandbox.")]
    assert not {name.partition(".")[0] for name in names} & {"docker", "onnxruntime", "torch"}


@pytest.mark.parametrize("path", modules("images"), ids=str)
def test_what_lives_in_containers_imports_nothing_of_ours(path: Path) -> None:
    """A vendor could copy it."""
    assert not {name.partition(".")[0] for name in imported(path)} & {"evaluator", "sandbox"}


def test_the_walls_literals_are_in_one_file() -> None:
    """No other file of the sandbox can say what a container may do."""
    wall = {"NetworkMode", "CapDrop", "Privileged", "SecurityOpt", "ReadonlyRootfs"}
    said = {
        path.name: wall
        & {
            n.value
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
        for path in modules("sandbox")
    }

    assert {name for name, words in said.items() if words} == {"wall.py"}


def test_a_forbidden_import_is_seen(tmp_path: Path) -> None:
    """The control: a planted import is found, also inside a function."""
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    from sandbox.wall import x\n    import numpy.linalg\n")

    assert imported(planted) == {"sandbox.wall", "numpy.linalg"}

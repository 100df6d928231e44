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


def listens(source: str) -> bool:
    """Whether a program hands the sandbox something that gets what a container prints."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = {"Steps": 4, "run": 5}  # and how many values come before it
    for call in calls:
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        starred = any(isinstance(value, ast.Starred) for value in call.args)
        by_name = any(keyword.arg in {"log", None} for keyword in call.keywords)
        many = len(call.args) > named.get(name, len(call.args))
        if name in named and _of_the_sandbox(call) and (starred or by_name or many):
            return True
    return False


def _of_the_sandbox(call: ast.Call) -> bool:
    """`sandbox.Steps(...)`, `sandbox.run(...)`, and whatever has these names without a dot."""
    if isinstance(call.func, ast.Attribute):
        return isinstance(call.func.value, ast.Name) and call.func.value.id == "sandbox"
    return True


def test_only_a_rehearsal_hears_what_a_container_prints() -> None:
    """On private tiles nobody listens: a program that printed them would have told somebody."""
    found = {path for path in modules("evaluator") if listens(path.read_text())}

    assert {path.parent for path in found} == {ROOT / "evaluator" / "rehearsal"}


@pytest.mark.parametrize(
    ("source", "heard"),
    [
        ("sandbox.Steps(a, b, log=c)", True),
        ("Steps(a, b, log=c)", True),
        ("sandbox.Steps(a, b, c, d, e)", True),
        ("sandbox.run(*everything)", True),
        ("sandbox.run(a, b, c, **more)", True),
        ("sandbox.Steps(a, b, c, d)", False),
        ("steps.run(spec)", False),
        ("subprocess.run(command, **options)", False),
    ],
)
def test_whoever_listens_is_seen(source: str, *, heard: bool) -> None:
    """The control: by name, by place, or behind stars."""
    assert listens(source) is heard


def test_a_forbidden_import_is_seen(tmp_path: Path) -> None:
    """The control: a planted import is found, also inside a function."""
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    from sandbox.wall import x\n    import numpy.linalg\n")

    assert imported(planted) == {"sandbox.wall", "numpy.linalg"}

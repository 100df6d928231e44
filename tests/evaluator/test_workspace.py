"""A workspace is made once, and its settings are read strictly."""

import datetime as dt
import stat
from pathlib import Path

import pytest

from evaluator.errors import OwnerError
from evaluator.workspace import Workspace, init, shipped


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A new one."""
    return init(tmp_path / "farm", class_sizes=False)


def test_a_new_workspace_has_valid_settings(workspace: Workspace) -> None:
    """The use case's numbers, no larger than this host."""
    settings = workspace.settings()

    assert settings.limits.submissions == 5
    assert settings.limits.petaflops == 100
    assert settings.resources.cpus <= 2
    assert settings.resources.memory_bytes <= 8_590_000_000
    assert settings.resources.gpu_memory_bytes == 22_490_000_000
    assert settings.window.opens <= dt.datetime.now(dt.UTC).date() <= settings.window.closes


def test_nobody_else_enters_a_workspace(workspace: Workspace) -> None:
    """Every directory is its owner's alone."""
    directories = [workspace.root, *(p for p in workspace.root.rglob("*") if p.is_dir())]

    assert {stat.S_IMODE(path.stat().st_mode) for path in directories} == {0o700}


def test_a_workspace_is_not_made_twice(workspace: Workspace) -> None:
    """Settings and key would be lost."""
    with pytest.raises(OwnerError, match="is a workspace already"):
        init(workspace.root, class_sizes=False)


def test_a_place_that_is_no_workspace_says_so(tmp_path: Path) -> None:
    """And how to make one."""
    with pytest.raises(OwnerError, match="evaluator init"):
        Workspace(tmp_path).settings()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rare = 4", "rare = 4\nunknown = 1", "dataset.unknown: Extra inputs are not permitted"),
        ("rare = 4", "", "dataset.rare: Field required"),
        ("rare = 4", "rare = 0", "dataset.rare"),
        ("tile = [64, 64]", "tile = [64]", "dataset.tile"),
        ("submissions = 5", 'submissions = "5"', "limits.submissions"),
        ("closes = ", "closes = 2001-01-01 #", "the window closes before it opens"),
        ("gpu_devices = []", 'gpu_devices = ["--all; rm"]', "resources.gpu_devices"),
        ("gpu_devices = []", f'gpu_devices = ["{"g" * 129}"]', "at most 128 characters"),
        ("classes = []", f'classes = ["{"é" * 65}"]', "at most 64 characters"),
        ("classes = []", 'classes = ["-rye"]', "dataset.classes.0: String should match pattern"),
        ("[limits]", "[limits", "cannot be read as TOML"),
    ],
)
def test_a_wrong_setting_is_named(workspace: Workspace, old: str, new: str, words: str) -> None:
    """Unknown, missing, out of range, of another type, not TOML."""
    path = workspace.root / "evaluator.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(OwnerError) as refusal:
        workspace.settings()

    assert words in str(refusal.value)


def test_names_have_letters_of_any_script_and_a_length(workspace: Workspace) -> None:
    """The longest that there can be, counted in characters."""
    path, longest, device = workspace.root / "evaluator.toml", "é" * 64, "g" * 128
    text = path.read_text().replace("classes = []", f'classes = ["{longest}", "गेहूँ", "W 1.a-b"]')
    path.write_text(text.replace("gpu_devices = []", f'gpu_devices = ["{device}"]'))

    settings = workspace.settings()

    assert settings.dataset.classes == [longest, "गेहूँ", "W 1.a-b"]
    assert settings.resources.gpu_devices == [device]


@pytest.mark.parametrize("name", ["images/CONTRACT.md", "policies/seccomp.json"])
def test_what_is_shipped_is_found(name: str) -> None:
    """In a checkout as in an installed package."""
    folder, _, file = name.partition("/")

    assert (shipped(folder) / file).is_file()

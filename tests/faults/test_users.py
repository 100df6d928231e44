"""Ordinary users: one of the engine's group, and one of none."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.engine import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.conftest import Images

    Evaluator = Callable[..., tuple[int, str]]

pytestmark = pytest.mark.docker

USER, STRANGER = 54322, 54323  # no account has these


def as_user(uid: int, *groups: int) -> tuple[str, ...]:
    """A prefix that runs a command as an ordinary user."""
    listed = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", listed, "--")


@pytest.fixture
def home() -> Iterator[Path]:
    """A user's home: outside pytest's own directory, which is closed to users."""
    path = Path(tempfile.mkdtemp(prefix="home-"))
    path.chmod(0o755)
    os.chown(path, USER, USER)
    yield path
    shutil.rmtree(path)


def test_without_the_engines_group_a_sentence_says_how_to_join(
    evaluator: Evaluator, images: Images, sealed: Path, home: Path
) -> None:
    """Exit 3: the host is not as it must be."""
    farm = _given(sealed, home)
    arguments = ("run", _given(images.quick, home), "--vendor", "acme", "--workspace", farm)
    code, said = evaluator(*arguments, prefix=as_user(USER), HOME=str(home))

    assert (code, 'sudo usermod -aG docker "$USER"' in said) == (3, True), said
    assert list((farm / "tmp").iterdir()) == []


@pytest.mark.parametrize("umask", ["022", "077"])
def test_a_whole_workspace_is_an_ordinary_users(
    umask: str,
    evaluator: Evaluator,
    images: Images,
    home: Path,
    write_tiles: Callable[[Path, int], Path],
    set_values: Callable[..., None],
) -> None:
    """From `init` to `verify`; and of all of it another user can read nothing."""
    prefix = ("sh", "-c", f'umask {umask}; exec "$@"', "sh", *as_user(USER, OPERATORS))
    farm = home / "farm"
    farm.mkdir(mode=0o755)  # made by hand before `init`, as a careless operator would
    os.chown(farm, USER, USER)
    tiles = write_tiles(home / "tiles", 48)
    submission = _given(images.quick, home)

    def command(*arguments: object) -> None:
        code, said = evaluator(*arguments, prefix=prefix, HOME=str(home))
        assert code == 0, said

    command("init", farm, "--class-sizes")
    set_values(farm / "evaluator.toml", tile=[8, 8], rare=1, memory_bytes=2**29, cpus=1.0)
    set_values(farm / "policies" / "sandbox.toml", tmp_bytes=2**20, shm_bytes=2**20)
    command("data", "import", tiles, "--holdout", 12, "--workspace", farm)
    command("vendors", "add", "acme", "--workspace", farm)
    command("run", submission, "--vendor", "acme", "--workspace", farm)
    (signed,) = (farm / "results").rglob("*.json")
    command("verify", signed, "--workspace", farm)

    assert _readable(farm, STRANGER) == []
    assert signed in _readable(farm, USER)


def _given(source: Path, home: Path) -> Path:
    """A copy that belongs to the user."""
    target = home / source.name
    copy = shutil.copytree if source.is_dir() else shutil.copy
    copy(source, target)
    for path in (target, *target.rglob("*")):
        os.chown(path, USER, USER)
    return target


def _readable(folder: Path, uid: int) -> list[Path]:
    """The files below a folder that a user can read."""
    command = [*as_user(uid), "find", str(folder), "-type", "f", "-readable", "-print"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return [Path(line) for line in listed.stdout.splitlines()]

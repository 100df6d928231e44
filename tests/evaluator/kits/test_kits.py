"""What `evaluator new` writes: whole, readable, and nothing of the directory's name is executed."""

from __future__ import annotations

import itertools
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import __version__, kits
from evaluator.errors import OwnerError
from evaluator.kits import Kit, write_kit
from evaluator.workspace import shipped

KITS = get_args(Kit)
WORDS = {"KIT_NAME": "a-model", "EVALUATOR_VERSION": __version__}
CHALLENGE = b'{"sample": true}\n'


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a kit, by its path inside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("kit", KITS)
def test_a_kit_is_the_shipped_files_with_two_words_replaced(kit: Kit, tmp_path: Path) -> None:
    """And the challenge; the owner's or the sample, as the command has read it."""
    write_kit(kit, tmp_path / "A model", CHALLENGE)
    expected = files(shipped("images") / "kits" / kit)
    for word, value in WORDS.items():
        expected = {
            name: content.replace(word.encode(), value.encode())
            for name, content in expected.items()
        }

    assert files(tmp_path / "A model") == expected | {"challenge.json": CHALLENGE}
    assert {".gitignore", ".gitlab-ci.yml", "README.md", "validate.sh"} <= set(expected)
    assert ".github/workflows/validate.yml" in expected


@pytest.mark.parametrize("kit", KITS)
def test_a_kit_is_readable_whatever_the_umask(kit: Kit, tmp_path: Path) -> None:
    """A build copies these modes into an image, whose user has no name."""
    before = os.umask(0o077)
    try:
        write_kit(kit, tmp_path / "kit", CHALLENGE)
    finally:
        os.umask(before)
    modes = {
        (path.suffix if path.is_file() else "/"): stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "kit", *(tmp_path / "kit").rglob("*"))
    }

    assert modes.pop("/") == modes.pop(".sh") == 0o755
    assert set(modes.values()) == {0o644}
    assert names(tmp_path) == ["kit"]


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    """Neither a directory, a file nor a link that leads nowhere; the control is a new name."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("directory", "file", "link"):
        with pytest.raises(OwnerError, match="nothing is ever overwritten"):
            write_kit("onnx", tmp_path / name, CHALLENGE)

    assert names(tmp_path) == ["directory", "file", "link"]
    assert names(tmp_path / "directory") == []
    write_kit("onnx", tmp_path / "new", CHALLENGE)
    assert (tmp_path / "new").is_dir()


def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No half of a kit; and a parent that is not there is said."""
    with monkeypatch.context() as patch:
        patch.setattr(kits, "_let_everyone_read", lambda made: (made / "nowhere").stat())
        with pytest.raises(OwnerError, match="cannot be made"):
            write_kit("onnx", tmp_path / "kit", CHALLENGE)
    with pytest.raises(OwnerError, match="No such file"):
        write_kit("onnx", tmp_path / "nowhere" / "kit", CHALLENGE)

    assert names(tmp_path) == []


HOSTILE = st.text(
    st.sampled_from("aZ09 -_.;$`'\"\\\n|&<>(){}*?[]#!%@=:é\u202e"), min_size=1, max_size=60
).filter(lambda name: name not in {".", ".."})


@given(name=HOSTILE)
def test_a_directory_of_any_name_makes_a_plain_one_in_the_files(name: str) -> None:
    """Lower-case letters, digits and hyphens: one word for a shell, YAML, Docker and Python."""
    made = kits._image_name(name).decode()  # noqa: SLF001 - what every file gets of the name

    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", made)


def test_a_kit_with_a_hostile_name_has_none_of_it(tmp_path: Path) -> None:
    """As above, for the whole of what is written."""
    write_kit("container", tmp_path / "x'; touch owned; $(reboot)\n#", CHALLENGE)
    (folder,) = tmp_path.iterdir()

    assert b"".join(files(folder).values()).count(b"x-touch-owned-reboot") >= 2
    assert not re.search(rb"touch owned|\$\(reboot\)", b"".join(files(folder).values()))


@pytest.mark.parametrize("script", sorted((shipped("images") / "kits").rglob("*.sh")), ids=str)
def test_every_script_is_one_for_a_plain_shell(script: Path) -> None:
    """Dash reads it, and it stops at the first error."""
    subprocess.run(["sh", "-n", script], check=True)

    assert "\nset -eu\n" in script.read_text()


@pytest.mark.parametrize("kit", KITS)
def test_the_readme_names_every_file(kit: Kit, tmp_path: Path) -> None:
    """And no other."""
    write_kit(kit, tmp_path / "kit", CHALLENGE)
    table = re.findall(r"^\| (`.*?) \|", (tmp_path / "kit" / "README.md").read_text(), re.MULTILINE)
    named = {name for row in table for name in re.findall(r"`([\w./-]+)`", row)}
    there = {path.name for path in (tmp_path / "kit").iterdir()} - {"README.md", ".gitignore"}

    assert named == there


def keys(text: str, below: str, indent: int) -> set[str]:
    """The keys of a YAML mapping that stands, so far indented, below a line."""
    lines = text.partition(f"{below}\n")[2].splitlines()
    mapping = itertools.takewhile(lambda line: not line or line.startswith(" " * indent), lines)
    return set(re.findall(rf"^ {{{indent}}}([\w-]+):", "\n".join(mapping), re.MULTILINE))


@pytest.mark.parametrize("kit", KITS)
def test_the_ci_files_ask_for_what_there_is(kit: Kit) -> None:
    """Every input is one that the action, or the component, has."""
    folder, root = shipped("images") / "kits" / kit, Path(__file__).parents[3]
    asked = keys((folder / ".github/workflows/validate.yml").read_text(), "        with:", 10)
    known = keys((root / "action.yml").read_text(), "inputs:", 2)
    assert "submission" in asked
    assert asked <= known

    asked = keys((folder / ".gitlab-ci.yml").read_text(), "    inputs:", 6)
    known = keys((root / "templates/validate/template.yml").read_text(), "  inputs:", 4)
    assert "submission" in asked
    assert asked <= known


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    """From the command line, with the sample, and once more where it is refused."""
    command = [sys.executable, "-m", "evaluator", "new", "container", "my-model"]
    made, again = (
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        for _ in range(2)
    )

    assert (made.returncode, made.stdout) == (0, ""), made.stderr
    assert "sh validate.sh" in made.stderr
    assert (again.returncode, again.stdout) == (2, ""), again.stderr
    assert "Error: There is something of that name already" in again.stderr

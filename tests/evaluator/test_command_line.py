"""The command line starts light: a command is imported when it is asked for, and no other."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from evaluator.cli import cli
from evaluator.cli.commands import outlines
from evaluator.cli.reference import commands

CONTEXT = click.Context(cli, info_name="evaluator")
NAMES = [command.name or "" for command in outlines()]
HEAVY = {"cryptography", "docker", "numpy", "PIL", "pydantic", "requests", "rich", "sandbox"}

# What a process has imported after some words of Python.
LOADED = """
import sys
{program}
print(*sorted({{name.partition(".")[0] for name in sys.modules}} | {{*sys.modules}}))
"""
# The command line, with an error in place of a command.
FAILING = """
from evaluator.cli import cli, main

def fail(**_):
    {failure}

cli.main = fail
main()
"""


def loaded(program: str) -> set[str]:
    """The modules in a process of its own that has run a program, and their packages."""
    command = [sys.executable, "-c", LOADED.format(program=program)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return {*ended.stdout.splitlines()[-1].split()}


def real(name: str) -> click.Command:
    """The command itself."""
    found = cli.get_command(CONTEXT, name)
    assert found is not None
    return found


def whole() -> click.Group:
    """The same group, with the commands themselves in it."""
    return click.Group("evaluator", commands={name: real(name) for name in NAMES})


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_its_own_name_and_first_sentence(name: str) -> None:
    """The table of commands says no more and no less than their modules."""
    command, outline = real(name), cli.commands[name]

    assert command.name == name
    assert not command.hidden
    assert outline.get_short_help_str(1000) == command.get_short_help_str(1000)


@pytest.mark.parametrize("width", [40, 61, 80, 200])
def test_the_help_is_that_of_the_commands_themselves(width: int) -> None:
    """Cut where click cuts it, on any terminal."""
    light, heavy = (click.HelpFormatter(width=width) for _ in range(2))
    cli.format_commands(CONTEXT, light)
    whole().format_commands(CONTEXT, heavy)

    assert light.getvalue() == heavy.getvalue()
    assert light.getvalue().count("\n") > len(NAMES)


def test_a_name_that_is_almost_one_is_told() -> None:
    """As click does where it knows the commands."""
    ended = CliRunner().invoke(cli, ["rum"])

    assert ended.exit_code == 2
    assert "No such command 'rum'. Did you mean 'run'?" in ended.output


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_starting_imports_no_command(option: str) -> None:
    """Nothing of ours but the command line, and no library but click."""
    found = loaded(f"from evaluator.cli import cli\ncli.main([{option!r}], standalone_mode=False)")

    assert not HEAVY & found
    ours = {name for name in found if name.startswith("evaluator.")}
    assert {name for name in ours if not name.startswith("evaluator.cli")} == {"evaluator.errors"}
    assert "evaluator.cli.runs" not in ours


def test_the_help_of_every_command_is_light() -> None:
    """Each imports what it needs when it runs."""
    lines = [[*words.split(), "--help"] for words, _ in commands()]
    program = f"from evaluator.cli import cli\nfor line in {lines!r}:\n    "
    found = loaded(program + "cli.main(line, standalone_mode=False)")

    assert not HEAVY & found
    assert "evaluator.cli.runs" in found


def test_a_run_imports_no_attacks_and_nothing_of_key_services() -> None:
    """The wall is tried where it has not been, and a key in a file is signed by as it is.

    Numbers are for later: numpy comes while the container starts.
    """
    found = loaded("import evaluator.official, evaluator.tables")

    assert not {name for name in found if name.startswith("evaluator.attacks")}
    assert not {"rich", "securesystemslib", "numpy"} & found
    assert {"docker", "pydantic"} <= found  # the control


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        ("import sandbox; raise sandbox.PolicyError('No.')", 2, "Error: No."),
        ("import sandbox; raise sandbox.SandboxError('No.')", 3, "Error: No."),
        ("from evaluator.errors import OwnerError; raise OwnerError('No.')", 2, "Error: No."),
        ("raise OSError('No.')", 3, "Error: No."),
        ("raise KeyboardInterrupt", 130, "Interrupted; nothing unfinished is left."),
    ],
)
def test_every_error_has_its_code_whatever_was_imported(
    failure: str, code: int, words: str
) -> None:
    """The sandbox's own are known where a command has imported it, and only there."""
    command = [sys.executable, "-c", FAILING.format(failure=failure)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr.strip()) == (code, words)

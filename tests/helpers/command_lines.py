"""Command lines of `evaluator` as documents show them, held against the commands that there are."""

from __future__ import annotations

import re
import shlex
from itertools import groupby
from typing import TYPE_CHECKING

import click

from evaluator.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"\w+=.*", re.DOTALL)
_BEFORE = {"sudo", "nice", "exec", "time", "if", "then", "do", "!"}


def shown(document: str) -> list[str]:
    """The lines of a document's blocks that are meant to be typed, continued ones joined."""
    found = []
    for _, language, block in _BLOCK.findall(document):
        lines = block.replace("\\\n", " ").splitlines()
        if language == "console":
            lines = [line.strip().removeprefix("$ ") for line in lines if line.strip()[:2] == "$ "]
        if language in {"console", "sh", "bash"}:
            found += [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    return found


def calls(line: str) -> Iterator[list[str]]:
    """The arguments of each `evaluator` on a line of a shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for punctuation, words in groupby(lexer, lambda word: set(word) <= set("|;&()<>")):
        command = [word for word in words if not punctuation]
        while command and (command[0] in _BEFORE or _ASSIGNMENT.fullmatch(command[0])):
            command.pop(0)
        if command[:1] == ["evaluator"]:
            yield command[1:]
        elif command[1:3] == ["-m", "evaluator"]:
            yield command[3:]


def check(arguments: list[str]) -> None:
    """Raise click's UsageError unless the words are a command, its options and its arguments."""
    command: click.Command = cli
    left = list(arguments)
    while isinstance(command, click.Group) and "".join(left) not in {"--help", "--version"}:
        name = left.pop(0) if left else ""
        found = command.get_command(click.Context(command), name)
        if found is None:
            raise click.UsageError(f"there is no command {name!r} in {' '.join(arguments)!r}")
        command = found
    if "--help" in left or isinstance(command, click.Group):
        return
    context = click.Context(command, info_name=" ".join(arguments))
    given, rest, _ = command.make_parser(context).parse_args(left)
    if rest:
        raise click.UsageError(f"{rest} is too much in {' '.join(arguments)!r}")
    for parameter in command.params:
        value = given.get(parameter.name)
        if parameter.required and not (isinstance(value, str | tuple | list) and value):
            raise click.UsageError(f"{parameter.name} is missing in {' '.join(arguments)!r}")
        if isinstance(parameter.type, click.Choice):
            for each in [value] if isinstance(value, str) else value or ():
                parameter.type.convert(each, parameter, context)

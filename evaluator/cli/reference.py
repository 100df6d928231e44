"""docs/commands.md, made from the commands themselves.

`python -m evaluator.cli.reference > docs/commands.md` writes it.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

import click

from evaluator.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """\
# Commands

Made by `python -m evaluator.cli.reference`; a test holds it against the program. Every command has
`--help`. What each exit code means is in [exit-codes.md](exit-codes.md).
"""

_SHARED = "workspace", "as_json", "passphrase_file", "signer", "public_key"

EXAMPLES = {
    "init": "init farm --no-class-sizes --passphrase-file pass",
    "new container": "new container my-model",
    "new onnx": "new onnx my-model --challenge challenge.json",
    "challenge": "challenge --workspace farm",
    "validate": "validate model.onnx --challenge challenge.json",
    "rule": "rule EVA105",
    "data import": "data import tiles.tar --grayscale --holdout 5000 --workspace farm",
    "data split": "data split --holdout 0.2 --workspace farm",
    "data eda": "data eda --html data.html --workspace farm",
    "images build": "images build --trainer --example perl",
    "doctor": "doctor --full --workspace farm",
    "run": "run model.onnx --vendor acme --workspace farm",
    "submit": "submit image.tar --vendor zenith --recipe hyperparameters.json --workspace farm",
    "work": "work --wait --workspace farm",
    "watch": "watch https://registry.example --credentials config.json --workspace farm",
    "status": "status --vendor acme --workspace farm",
    "vendors add": "vendors add acme --submissions 3 --fee 250.00 --price 0.25 --workspace farm",
    "ledger export": "ledger export --format json --workspace farm",
    "invoice": "invoice acme --opens 2030-01-01 --closes 2030-01-31 --workspace farm",
    "log audit": "log audit --since checkpoint --workspace farm",
    "log withdraw": 'log withdraw 0123456789abcdef --reason "A wrong label." --workspace farm',
    "log monitor": "log monitor https://owner.example/public/log --state seen --trust trust.toml",
    "witness key": "witness key witness --name witness.example/w1",
    "leaderboard show": "leaderboard show --metric rare_recall --workspace farm",
    "leaderboard publish": "leaderboard publish --workspace farm",
    "leaderboard verify": "leaderboard verify public/board --log public/log --trust trust.toml",
    "decide": "decide assumptions.toml --board --html decision.html --workspace farm",
    "verify": "verify RUN.sigstore.json --proof RUN.tlog-proof --trust trust.toml",
    "key rotate": 'key rotate --reason "The yearly change." --workspace farm',
}


def commands(group: click.Group = cli, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command with its words after `evaluator`, in the order of the program's help."""
    context = click.Context(group)
    for name in group.commands:
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        elif command and not command.hidden:
            yield f"{above}{name}", command


def reference() -> str:
    """Return docs/commands.md."""
    found = dict(commands())
    index = [
        f"- [`evaluator {words}`](#evaluator-{words.replace(' ', '-')}): {_first(command)}"
        for words, command in found.items()
    ]
    chapters = [_chapter(words, command) for words, command in found.items()]
    return "\n".join([_HEAD, *index, "", _shared(found), *chapters])


def _first(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").partition("\n\n")[0].replace("\n", " ")


def _shared(found: dict[str, click.Command]) -> str:
    """The options that mean the same wherever they are, once."""
    options = {
        option.name: option
        for command in found.values()
        for option in command.params
        if isinstance(option, click.Option) and option.name in _SHARED
    }
    lines = [_option(options[name]) for name in _SHARED]
    return "\n".join(["## Options of many commands", "", *lines, ""])


def _chapter(words: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"evaluator {words}")
    shown = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    own = [_option(option) for option in shown if option.name not in _SHARED]
    shared = [f"`{option.opts[0]}`" for option in shown if option.name in _SHARED]
    lines = [f"## evaluator {words}", "", "```", context.get_usage()[7:], "```", ""]
    lines += [_prose(command.help or ""), ""]
    lines += [*own, ""] if own else []
    lines += [f"And {', '.join(shared)}.", ""] if shared else []
    if words in EXAMPLES:
        lines += ["```console", f"$ evaluator {EXAMPLES[words]}", "```", ""]
    return "\n".join(lines)


def _prose(text: str) -> str:
    """Paragraphs that click leaves as they are become blocks."""
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        f"```\n{part[2:]}\n```" if part.startswith("\b\n") else part for part in parts
    )


def _option(option: click.Option) -> str:
    """As `--help` has it."""
    names, text = option.get_help_record(click.Context(click.Command(""))) or ("", "")
    return f"- `{names}`: {text.replace('  [', ' [')}"


if __name__ == "__main__":
    sys.stdout.write(reference())

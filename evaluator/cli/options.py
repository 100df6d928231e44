"""Options that several commands share, and how they print."""

from __future__ import annotations

import json
from pathlib import Path

import click


class Holdout(click.ParamType[int | float]):
    """A number of tiles, or a share between 0 and 1."""

    name = "N|SHARE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """An int of 1 or more, or a float below 1."""
        text = str(value)
        try:
            number = float(text) if "." in text else int(text)
        except ValueError:
            self.fail("give a number of tiles (5000) or a share (0.2).", param, ctx)
        if number <= 0 or (isinstance(number, float) and number >= 1):
            self.fail("a share lies between 0 and 1, a number of tiles is 1 or more.", param, ctx)
        return number


workspace_option = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
    default=".",
    envvar="EVALUATOR_WORKSPACE",
    show_envvar=True,
    help="The data owner's directory (default: this one).",
)
holdout_option = click.option(
    "--holdout",
    type=Holdout(),
    required=True,
    help="Tiles held out, or their share; stratified, groups kept whole.",
)
skip_bad_option = click.option(
    "--skip-bad", is_flag=True, help="Leave out tiles with problems instead of stopping."
)
passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="EVALUATOR_PASSPHRASE_FILE",
    show_envvar=True,
    help="The signing key's passphrase: the first line of this file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def read_passphrase(path: Path | None) -> bytes | None:
    """The first line of a passphrase file, or None without one."""
    return path.read_bytes().partition(b"\n")[0].rstrip(b"\r") if path else None


def print_json(document: dict[str, object]) -> None:
    """Print one document with a schemaVersion."""
    click.echo(json.dumps({"schemaVersion": 1, **document}, indent=2))


def say(line: str) -> None:
    """A line for people, on stderr."""
    click.echo(line, err=True)

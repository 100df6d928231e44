"""`evaluator new`: a submission to start from, with all that it takes to try it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import say

if TYPE_CHECKING:
    from evaluator.kits import Kit

directory_argument = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
challenge_option = click.option(
    "--challenge",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The owner's challenge.json; without it the kit has a sample.",
)


@click.group("new")
def new() -> None:
    """Write a whole submission to start from: code, build, CI, and one command to try it."""


@new.command("container")
@directory_argument
@challenge_option
def container_command(directory: Path, *, challenge: Path | None) -> None:
    """Make DIR, a container image in Python that predicts and trains: `sh validate.sh` tries it."""
    _write("container", directory, challenge)


@new.command("onnx")
@directory_argument
@challenge_option
def onnx_command(directory: Path, *, challenge: Path | None) -> None:
    """Make DIR, a script that writes model.onnx: `sh validate.sh` makes and tries it."""
    _write("onnx", directory, challenge)


def _write(kit: Kit, directory: Path, challenge: Path | None) -> None:
    from evaluator.challenge import read_challenge, sample_challenge
    from evaluator.kits import write_kit

    said = read_challenge(challenge) if challenge else sample_challenge()
    write_kit(kit, directory, said.dump())
    say("Made. In that directory: README.md says what is what, and `sh validate.sh` tries it.")

"""`evaluator challenge`: what vendors need to try a submission before they hand it in."""

from __future__ import annotations

from pathlib import Path

import click

from evaluator.cli.options import say, workspace_option
from evaluator.workspace import Workspace


@click.command("challenge")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    default="challenge.json",
    show_default=True,
    help="The file to write, or - for standard output.",
)
@workspace_option
def challenge_command(output: Path, *, workspace: Path) -> None:
    """Write challenge.json, for vendors: shape, classes, limits, policies, public keys.

    It holds no secret and no figure of the tiles but how many there are. Vendors give it to
    `evaluator validate --challenge`. Write it anew after a change of policies, limits or data.
    """
    from evaluator.challenge import challenge_of
    from evaluator.errors import OwnerError
    from evaluator.files import replace

    written = challenge_of(Workspace(workspace))
    if str(output) == "-":
        click.echo(written.dump(), nl=False)
        return
    try:
        replace(output.absolute(), written.dump(), 0o644)
    except OSError as error:
        raise OwnerError(f"{output} cannot be written: {error.strerror}.") from error
    say(f"{output} is for vendors: evaluator validate SUBMISSION --challenge {output.name}")
    if written.peaks.cpu is None:
        say("It says no peak of this host yet, so vendors cannot foresee their charge: run")
        say("`evaluator calibrate`, then write it again.")

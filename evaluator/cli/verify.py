"""`evaluator verify`: who signed a result, and that it adds up."""

from __future__ import annotations

from pathlib import Path

import click

from evaluator.cli.options import json_option, print_json, workspace_option
from evaluator.errors import OwnerError
from evaluator.workspace import Workspace

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("verify")
@click.argument("result", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--proof", type=_FILE, help="Its .tlog-proof: that the log has it, and witnesses.")
@click.option(
    "--trust",
    type=_FILE,
    help="The owner's trust.toml: keys and when they were valid, log, witnesses (default: that of "
    "the workspace).",
)
@click.option("--key", type=_FILE, help="The owner's public key alone, instead.")
@json_option
@workspace_option
def verify_command(  # noqa: PLR0913 - one per option of the command
    *,
    result: Path,
    proof: Path | None,
    trust: Path | None,
    key: Path | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Check who signed RESULT, that it adds up, and, with --proof, that the log has it.

    RESULT is a signed result or the receipt of a submission. `python -m evaluator.verify` does the
    same where only `cryptography` is installed.
    """
    from evaluator.proven import document
    from evaluator.tables import print_verified
    from evaluator.trust import load_trust
    from evaluator.verify import read_bounded, verify

    if key and trust:
        raise click.UsageError("Give --trust or --key: the trust file names the keys.")
    owned = Workspace(workspace)
    if not (key or trust) and owned.trust.is_file():
        trust = owned.trust
    public = None if trust else key or owned.public_key
    if public and not public.is_file():
        raise OwnerError("Whose signature? Give the owner's --trust file, or the public --key.")
    believed = read_bounded(public) if public else load_trust(read_bounded(Path(str(trust))))
    verified = verify(read_bounded(result), believed, read_bounded(proof) if proof else None)
    if as_json:
        print_json(document(verified))
    else:
        print_verified(verified, result, public)

"""`evaluator key`: the keys that sign results."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from evaluator.cli.options import (
    Moment,
    asking,
    json_option,
    open_signers,
    print_json,
    say,
    signer_options,
    workspace_option,
)
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.cli.options import Signing
    from evaluator.keys import Elsewhere, NewFile


@click.group()
def key() -> None:
    """The keys that sign results, and when each of them was valid."""


@key.command("show")
@json_option
@workspace_option
def show_command(workspace: Path, *, as_json: bool) -> None:
    """List the keys of this workspace, as keys/trust.toml has them."""
    from evaluator.key_tables import keys_document, print_keys
    from evaluator.keys import read_trust

    trust = read_trust(Workspace(workspace))
    if as_json:
        print_json(keys_document(trust))
    else:
        print_keys(trust)


@key.command("rotate")
@click.option(
    "--to",
    metavar="URI",
    help="A key that something else holds, such as hsm:2?label=TOKEN, awskms:alias/results or "
    "file:PATH (default: a new one is made in keys/signing.pem).",
)
@click.option(
    "--to-public-key",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The public key of --to, in PEM.",
)
@click.option("--reason", metavar="TEXT", help="Why, for everyone to read in the log: one line.")
@click.option(
    "--compromised",
    metavar="TIME",
    type=Moment(),
    help="Since when somebody else may have had the old key, as 2030-12-31T00:00:00Z: what it "
    "signed is believed only where witnesses had seen it before.",
)
@signer_options
@workspace_option
def rotate_command(
    workspace: Path,
    *,
    to: str | None,
    to_public_key: Path | None,
    reason: str | None,
    compromised: datetime | None,
    **signing: Unpack[Signing],
) -> None:
    """Let the key of results hand over to a new one, and enter that in the log.

    The old key is --signer, or keys/signing.pem. The new one is made in keys/signing.pem, or is
    --to. A change that was interrupted is completed instead, whatever the options say.
    """
    from evaluator.journal import key_changed
    from evaluator.keys import complete, elsewhere, finish, prepare
    from evaluator.signers import Signers

    if (to is None) != (to_public_key is None):
        raise click.UsageError("--to and --to-public-key are given together.")
    owned, secret = Workspace(workspace), asking(signing["passphrase_file"])
    new: NewFile | Elsewhere
    signers = None
    if owned.coming_key.exists():
        say("A change of the key that was interrupted is completed, as it was asked for then.")
    else:
        old = open_signers(owned, **signing, secret=secret)
        if to is not None and to_public_key is not None:
            new = _given(to, to_public_key, signing["passphrase_file"])
            signers = Signers(new.signer, old.log)  # opened once: a token asks each time
        else:
            new = _made(owned, secret)
        now = datetime.now(UTC).replace(microsecond=0)
        prepare(owned, old.result, new, now, reason=reason, compromised=compromised)
    change, uri = complete(owned), elsewhere(owned)
    signers = signers or open_signers(owned, None, uri, None, secret=secret)
    key_changed(owned, signers, change)
    finish(owned)
    say(f"Results are now signed by {signers.result.public_key.keyid}.")
    if uri:
        say(f"From now on give --signer {shlex.quote(uri)}, or EVALUATOR_SIGNER.")
    elif signing["signer"]:
        say("From now on leave out --signer and EVALUATOR_SIGNER: the key is keys/signing.pem.")
    say("Give vendors the new trust.toml; it lists the old key with the time until it is valid.")
    say("Old results stay valid. What keys/ had of the old key is in keys/retired: keep it safe.")


def _made(workspace: Workspace, secret: Callable[[str], str]) -> NewFile:
    """A new key in keys/, encrypted as the others there, and opened by the same passphrase."""
    from evaluator.keys import NewFile
    from evaluator.signing import is_encrypted

    encrypted = is_encrypted(workspace.key) or is_encrypted(workspace.log_key)
    return NewFile(secret("passphrase").encode(errors="surrogateescape") if encrypted else None)


def _given(uri: str, public_key: Path, passphrase_file: Path | None) -> Elsewhere:
    """A key that is there already; it has signed something before it is believed to be that."""
    from evaluator.keys import Elsewhere
    from evaluator.signers import FILE, load_signer

    scheme, _, path = uri.partition(":")
    if scheme == FILE:
        uri = f"{FILE}:{Path(path).resolve()}"  # a rerun may begin in another directory
    secret = asking(passphrase_file, "the new signing key")
    return Elsewhere(uri, load_signer(uri, public_key, secret))

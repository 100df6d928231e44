"""`evaluator watch`: what vendors push to a registry is evaluated, and answered there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import click

from evaluator.cli.options import open_signers, say, signer_options, workspace_option
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from evaluator.cli.options import Signing

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("watch")
@click.argument("registry")
@click.option(
    "--prefix",
    default="",
    metavar="PATH",
    help="Repositories are PATH/VENDOR/ANYTHING (default: VENDOR/ANYTHING).",
)
@click.option(
    "--repository",
    "repositories",
    multiple=True,
    metavar="NAME",
    help="Look at this one alone (repeatable), where the registry lists none.",
)
@click.option(
    "--credentials",
    type=_FILE,
    envvar="EVALUATOR_REGISTRY_CREDENTIALS",
    show_envvar=True,
    help="A config.json as `docker login` writes it, or one line USER:PASSWORD (default: "
    "EVALUATOR_REGISTRY_USER and _PASSWORD, or Docker's own config.json).",
)
@click.option("--ca", type=_FILE, help="The CA certificate of the registry, in PEM.")
@click.option(
    "--interval",
    type=click.FloatRange(1, 86_400),
    default=60.0,
    show_default=True,
    help="Seconds between two rounds.",
)
@click.option(
    "--phase",
    type=click.Choice(["baseline", "both"]),
    help="As submitted alone, or fine-tuned as well (default: both, where there are training "
    "tiles).",
)
@click.option("--no-work", is_flag=True, help="Run nothing: `evaluator work` does that elsewhere.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Serve /healthz and /metrics at this address, which must be loopback.",
)
@click.option(
    "--notify-token-file",
    type=_FILE,
    help="Take notifications of the registry at /notify, from whoever sends this token.",
)
@signer_options
@workspace_option
def watch_command(  # noqa: PLR0913 - one per option of the command
    registry: str,
    *,
    prefix: str,
    repositories: tuple[str, ...],
    credentials: Path | None,
    ca: Path | None,
    interval: float,
    phase: Literal["baseline", "both"] | None,
    no_work: bool,
    listen: str | None,
    notify_token_file: Path | None,
    workspace: Path,
    **signing: Unpack[Signing],
) -> None:
    """Hand in what vendors push to REGISTRY, run it, and attach to each digest what it is due.

    REGISTRY is https://HOST[:PORT]. Every image and every ONNX file in a repository of a vendor's
    is a submission, once for each digest; receipts, results and proofs come back as OCI referrers
    of that digest, at the ends of the release slots. Runs until it is stopped, as a service:
    docs/watch.md.
    """
    from evaluator.errors import OwnerError
    from evaluator.registry import Registry, found_credentials, read_credentials
    from evaluator.watch.listening import parse_address
    from evaluator.watch.service import Plan, watch

    owned = Workspace(workspace)
    signers = open_signers(owned, **signing)
    token = notify_token_file.read_bytes().strip() if notify_token_file else None
    if notify_token_file and (not listen or not token):
        raise OwnerError("--notify-token-file is a file with a token in it, and needs --listen.")
    known = read_credentials(credentials, registry) if credentials else found_credentials(registry)
    if credentials and known is None:
        raise OwnerError(
            "The file of --credentials has nothing for this registry. `docker login` writes it "
            "there; so does one line USER:PASSWORD."
        )
    plan = Plan(
        prefix=prefix,
        repositories=repositories,
        phases=phase,
        interval=interval,
        work=() if no_work else _work(workspace, **signing),
        listen=parse_address(listen) if listen else None,
        token=token,
    )
    watch(owned, Registry(registry, known, ca), signers, plan, say)


def _work(
    workspace: Path, passphrase_file: Path | None, signer: str | None, public_key: Path | None
) -> tuple[str, ...]:
    """The command of a worker: it signs as this command does, and ends when this is gone."""
    command = [sys.executable, "-m", "evaluator", "work", "--wait", "--beside", str(os.getpid())]
    for option, value in (
        ("--workspace", workspace),
        ("--passphrase-file", passphrase_file),
        ("--signer", signer),
        ("--public-key", public_key),
    ):
        command += [option, str(value)] if value else []
    return tuple(command)

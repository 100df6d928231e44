"""Options that several commands share, and how they print and end."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.signers import Signers
    from evaluator.workspace import Workspace

SUBMISSION_FAILED = 1


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


class Moment(click.ParamType[datetime]):
    """A time in UTC, in whole seconds, as 2030-12-31T00:00:00Z."""

    name = "TIME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The time that the text names."""
        try:
            return datetime.strptime(str(value), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            self.fail("give a time in UTC as 2030-12-31T00:00:00Z.", param, ctx)


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
_signer_option = click.option(
    "--signer",
    metavar="URI",
    envvar="EVALUATOR_SIGNER",
    show_envvar=True,
    help="What signs results, such as hsm:2?label=TOKEN or awskms:alias/results (default: the "
    "workspace's keys/signing.pem).",
)
_public_key_option = click.option(
    "--public-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="EVALUATOR_PUBLIC_KEY",
    show_envvar=True,
    help="The public key of --signer (default: the workspace's keys/signing.pub).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


class Signing(TypedDict):
    """What `signer_options` gives a command, for `open_signers`."""

    passphrase_file: Path | None
    signer: str | None
    public_key: Path | None


def signer_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that signs: passphrase_file, signer and public_key."""
    for option in (_public_key_option, _signer_option, passphrase_option):
        command = option(command)
    return command


def open_signers(
    workspace: Workspace,
    passphrase_file: Path | None,
    signer: str | None,
    public_key: Path | None,
    *,
    secret: Callable[[str], str] | None = None,
) -> Signers:
    """The workspace's two keys, opened before anything runs; `secret` is as `asking` makes it."""
    from evaluator.errors import OwnerError
    from evaluator.signers import FILE, Signers, load_signer
    from evaluator.signing import is_encrypted, load_log_key

    origin = workspace.settings().log.origin  # "not a workspace" is clearer than "no key"
    if not signer and workspace.public_key.exists() and not workspace.key.exists():
        raise OwnerError(
            "The key that signs results is not in keys/ but held elsewhere: say by --signer URI "
            "(or EVALUATOR_SIGNER) what signs by it."
        )
    secret = secret or asking(passphrase_file)
    opener = secret("passphrase") if is_encrypted(workspace.log_key) else ""
    return Signers(
        result=load_signer(
            signer or f"{FILE}:{workspace.key}", public_key or workspace.public_key, secret
        ),
        log=load_log_key(
            workspace.log_key, origin, opener.encode(errors="surrogateescape") or None
        ),
    )


def asking(passphrase_file: Path | None, whose: str = "the signing key") -> Callable[[str], str]:
    """A function that gives the "passphrase" of key files, or the "pin" of a token.

    The first line of a passphrase file is either. Without one each is asked for once, on a
    terminal; where there is none, it is empty.
    """
    given = read_passphrase(passphrase_file)

    def secret(name: str) -> str:
        raw = given or ask_secret(name, whose)
        return "" if raw is None else raw.decode(errors="surrogateescape")

    return lru_cache(secret)


def ask_secret(name: str, whose: str) -> bytes | None:
    """A secret typed on a terminal; None where there is none."""
    if not sys.stdin.isatty():
        return None
    typed: str = click.prompt(f"{name.capitalize()} of {whose}", hide_input=True, err=True)
    return typed.encode()


def read_passphrase(path: Path | None) -> bytes | None:
    """The first line of a passphrase file, or None without one."""
    return path.read_bytes().partition(b"\n")[0].rstrip(b"\r") if path else None


def print_json(document: dict[str, object]) -> None:
    """Print one document with a schemaVersion."""
    click.echo(json.dumps({"schemaVersion": 1, **document}, indent=2))


def say(line: str) -> None:
    """A line for people, on stderr."""
    click.echo(line, err=True)

"""`evaluator init`, `run` and `verify`: from an empty directory to a result one can check."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import (
    json_option,
    passphrase_option,
    print_json,
    read_passphrase,
    say,
    workspace_option,
)
from evaluator.errors import OwnerError
from evaluator.workspace import Workspace, init

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

SUBMISSION_FAILED = 1


@click.command("init")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--class-sizes/--no-class-sizes",
    default=None,
    help="Whether results may say how many holdout tiles each class has (asked on a terminal).",
)
@passphrase_option
def init_command(
    directory: Path, *, class_sizes: bool | None, passphrase_file: Path | None
) -> None:
    """Make a workspace: settings to edit, and a new signing key."""
    from evaluator.signing import generate_key

    if class_sizes is None:
        class_sizes = sys.stdin.isatty() and click.confirm(
            "May results say how many holdout tiles each class has?", default=False, err=True
        )
    passphrase = read_passphrase(passphrase_file)
    if passphrase is None and sys.stdin.isatty():
        typed = click.prompt(
            "Passphrase of the signing key (empty for none)",
            default="",
            hide_input=True,
            confirmation_prompt=True,
            show_default=False,
            err=True,
        )
        passphrase = typed.encode() or None
    workspace = init(directory, class_sizes=class_sizes)
    fingerprint = generate_key(workspace.key, workspace.public_key, passphrase)
    say(f"{directory} is a workspace. Its rules are in evaluator.toml: read them through.")
    say(f"Results will be signed by {fingerprint}; vendors verify with keys/signing.pub.")
    if passphrase is None:
        say("The signing key has no passphrase; only its file permissions protect it.")
    say(f"Next: evaluator data import TILES --holdout 0.2 --workspace {directory}")


@click.command("run")
@click.argument("submission")
@click.option("--vendor", required=True, help="Whose submission it is: lower-case, hyphens.")
@click.option(
    "--phase",
    type=click.Choice(["baseline"]),
    default="baseline",
    show_default=True,
    help="As submitted; fine-tuning is not in this version.",
)
@passphrase_option
@json_option
@workspace_option
@click.pass_context
def run_command(  # noqa: PLR0913 - one per option of the command
    context: click.Context,
    *,
    submission: str,
    vendor: str,
    phase: str,  # noqa: ARG001 - the only phase there is
    passphrase_file: Path | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Evaluate SUBMISSION on the holdout and write its signed result.

    SUBMISSION is model.onnx, an archive made by `docker save`, a local image id, or
    name@sha256:digest.
    """
    from evaluator.official import run_officially
    from evaluator.progress import stages
    from evaluator.submission import parse_submission
    from evaluator.tables import print_record, record_document

    parsed = parse_submission(submission)
    signer = _signer(Workspace(workspace), passphrase_file)
    with stages() as stage:
        record = run_officially(Workspace(workspace), parsed, vendor, signer, stage)
    if as_json:
        print_json(record_document(record))
    else:
        print_record(record)
    context.exit(0 if record.evaluation.counts else SUBMISSION_FAILED)


@click.command("verify")
@click.argument("result", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The evaluator's public key (default: that of the workspace).",
)
@json_option
@workspace_option
def verify_command(result: Path, key: Path | None, workspace: Path, *, as_json: bool) -> None:
    """Check who signed RESULT, and that every figure in it follows from the published ones."""
    from evaluator.bundle import SIZE_CAP
    from evaluator.tables import print_verified, verified_document
    from evaluator.verify import verify

    public = key or Workspace(workspace).public_key
    if not public.is_file():
        raise OwnerError("Whose signature? Give the evaluator's public key with --key.")
    with result.open("rb") as file:
        raw = file.read(SIZE_CAP + 1)  # one more than any result has: enough to refuse it
    verified = verify(raw, public.read_bytes())
    if as_json:
        print_json(verified_document(verified))
    else:
        print_verified(verified, result, public)


def _signer(workspace: Workspace, passphrase_file: Path | None) -> Signer:
    """The workspace's key, opened before anything runs."""
    from evaluator.signing import is_encrypted, load_key

    workspace.settings()  # "not a workspace" is clearer than "no key"
    passphrase = read_passphrase(passphrase_file)
    if passphrase is None and sys.stdin.isatty() and is_encrypted(workspace.key):
        prompt = "Passphrase of the signing key"
        passphrase = click.prompt(prompt, hide_input=True, err=True).encode()
    return load_key(workspace.key, passphrase)

"""The command line: options become values, one call is made, and its answer is printed.

stdout carries results only, stderr everything else. Exit codes: `evaluator --help`.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from evaluator import __version__
from evaluator.errors import EvaluatorError, OwnerError, SubmissionError, VerificationError
from evaluator.workspace import Workspace, init

if TYPE_CHECKING:
    from types import FrameType

    from securesystemslib.signer import Signer

    from evaluator.dataset.importing import ImportRules

SUBMISSION_FAILED, OWNER, HOST, UNVERIFIED, INTERRUPTED = 1, 2, 3, 4, 130

EPILOG = """\b
Exit codes:
  0    done
  1    the submission failed or was refused (a signed result says so)
  2    the command line, the workspace or its data are not as they must be
  3    this host or this program failed: no result, nothing charged
  4    a result does not verify
  130  interrupted
"""


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


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="evaluator")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(*, debug: bool) -> None:
    """Run submissions on private image tiles in a sealed sandbox, and sign their scores."""


@cli.command("init")
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
    passphrase = _read_passphrase(passphrase_file)
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
    _say(f"{directory} is a workspace. Its rules are in evaluator.toml: read them through.")
    _say(f"Results will be signed by {fingerprint}; vendors verify with keys/signing.pub.")
    if passphrase is None:
        _say("The signing key has no passphrase; only its file permissions protect it.")
    _say(f"Next: evaluator data import TILES --holdout 0.2 --workspace {directory}")


@cli.group()
def data() -> None:
    """Import tiles, split them, and look at their aggregates."""


@data.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@holdout_option
@click.option("--grayscale", is_flag=True, help="Turn RGB tiles into one band.")
@skip_bad_option
@click.option("--add", is_flag=True, help="Add a season to the tiles that are there.")
@workspace_option
def import_command(  # noqa: PLR0913 - one per option of the command
    source: Path,
    workspace: Path,
    holdout: float,
    *,
    grayscale: bool,
    skip_bad: bool,
    add: bool,
) -> None:
    """Import SOURCE as a new sealed version: pixels and labels, and nothing else.

    SOURCE is a folder or tar of class folders, a folder with tiles.npy and labels.npy, or a
    folder with labels.csv (file, label and optionally group, field or scene).
    """
    from evaluator.dataset.importing import import_tiles
    from evaluator.progress import progress_bar
    from evaluator.tables import print_import

    rules = _import_rules(Workspace(workspace))
    with progress_bar() as progress:
        report = import_tiles(
            Workspace(workspace).data,
            source,
            rules,
            holdout=holdout,
            grayscale=grayscale,
            skip_bad=skip_bad,
            add=add,
            progress=progress,
        )
    print_import(report)


@data.command("split")
@holdout_option
@skip_bad_option
@workspace_option
def split_command(workspace: Path, holdout: float, *, skip_bad: bool) -> None:
    """Make a new sealed version of the same tiles with another holdout."""
    from evaluator.dataset.importing import split_again
    from evaluator.progress import progress_bar
    from evaluator.tables import print_import

    rules = _import_rules(Workspace(workspace))
    with progress_bar() as progress:
        report = split_again(
            Workspace(workspace).data, rules, holdout=holdout, skip_bad=skip_bad, progress=progress
        )
    print_import(report)


@data.command("show")
@json_option
@workspace_option
def show_command(workspace: Path, *, as_json: bool) -> None:
    """Print counts, shares and band statistics: aggregates only."""
    from evaluator.dataset.sealed import describe, open_dataset
    from evaluator.tables import dataset_document, print_dataset

    description = describe(open_dataset(Workspace(workspace).data))
    if as_json:
        _print_json(dataset_document(description))
    else:
        print_dataset(description)


@cli.group()
def images() -> None:
    """Build and find the images that travel with the product."""


@images.command("build")
@click.option("--gpu", is_flag=True, help="Also the ONNX runner for NVIDIA GPUs (1.4 GB more).")
@click.option(
    "--example",
    "examples",
    multiple=True,
    type=click.Choice(["perl", "torch"]),
    help="Also an example submission (repeatable).",
)
def build_command(examples: tuple[str, ...], *, gpu: bool) -> None:
    """Build the ONNX runner unless it is there; print the ids of what was asked for."""
    from evaluator.images import build_example, build_onnx_runner
    from evaluator.progress import stages

    built = {}
    with stages() as say:
        built["onnx-runner"] = build_onnx_runner(say)
        if gpu:
            built["onnx-runner-gpu"] = build_onnx_runner(say, gpu=True)
        built |= {f"example-{name}": build_example(name, say) for name in examples}
    for name, image in built.items():
        click.echo(f"{name} {image}")


@cli.command("run")
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
    with stages() as say:
        record = run_officially(Workspace(workspace), parsed, vendor, signer, say)
    if as_json:
        _print_json(record_document(record))
    else:
        print_record(record)
    context.exit(0 if record.evaluation.counts else SUBMISSION_FAILED)


@cli.command("verify")
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
        _print_json(verified_document(verified))
    else:
        print_verified(verified, result, public)


def _import_rules(workspace: Workspace) -> ImportRules:
    """The part of the settings that an import obeys."""
    from evaluator.dataset.importing import ImportRules

    rules = workspace.settings().dataset
    rare = rules.rare if isinstance(rules.rare, int) else tuple(rules.rare)
    return ImportRules(tuple(rules.classes), rare, (rules.tile[0], rules.tile[1]))


def _signer(workspace: Workspace, passphrase_file: Path | None) -> Signer:
    """The workspace's key, opened before anything runs."""
    from evaluator.signing import is_encrypted, load_key

    workspace.settings()  # "not a workspace" is clearer than "no key"
    passphrase = _read_passphrase(passphrase_file)
    if passphrase is None and sys.stdin.isatty() and is_encrypted(workspace.key):
        prompt = "Passphrase of the signing key"
        passphrase = click.prompt(prompt, hide_input=True, err=True).encode()
    return load_key(workspace.key, passphrase)


def _read_passphrase(path: Path | None) -> bytes | None:
    return path.read_bytes().partition(b"\n")[0].rstrip(b"\r") if path else None


def _print_json(document: dict[str, object]) -> None:
    click.echo(json.dumps({"schemaVersion": 1, **document}, indent=2))


def _say(line: str) -> None:
    click.echo(line, err=True)


def main() -> NoReturn:
    """Run the command line; every way it can end has its exit code."""
    _handle_signals()
    os.umask(0o077)  # what a workspace holds is its owner's alone
    from sandbox import SandboxError

    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = OWNER
    except (click.Abort, KeyboardInterrupt):
        _say("Interrupted; nothing unfinished is left.")
        code = INTERRUPTED
    except VerificationError as error:
        code = _failed(error, UNVERIFIED)
    except SubmissionError as error:
        code = _failed(error, SUBMISSION_FAILED)
    except EvaluatorError as error:
        code = _failed(error, OWNER)
    except SandboxError as error:
        code = _failed(error, HOST)
    except OSError as error:
        code = _failed(_host_trouble(error), HOST)
    sys.exit(code or 0)


def _handle_signals() -> None:
    """Let Ctrl-C, SIGTERM and a closed terminal interrupt a command, once."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_signum: int, _frame: FrameType | None) -> NoReturn:
        for number in signals:  # from here on it cleans up, and a second Ctrl-C must not stop that
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in signals:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(number, interrupt)


def _host_trouble(error: OSError) -> Exception:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OSError("The disk is full. Free some space, then run again: nothing was kept.")
    return error


def _failed(error: Exception, code: int) -> int:
    if "--debug" in sys.argv[1:]:
        raise error
    _say(f"Error: {error}")
    return code

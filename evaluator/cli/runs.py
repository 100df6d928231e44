"""`evaluator init`, `run`, `submit`, `work`: from an empty directory to a signed result."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import click

from evaluator.cli.options import (
    SUBMISSION_FAILED,
    json_option,
    open_signers,
    passphrase_option,
    print_json,
    read_passphrase,
    say,
    signer_options,
    workspace_option,
)
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.cli.options import Signing
    from evaluator.official import Told
    from evaluator.queue import Request
    from evaluator.record import Record

_POLL = 2.0  # seconds between two looks into an empty queue
_DIGEST_OF = {
    "file": "The file is",
    "manifest": "The image's manifest is",
    "config": "The image's configuration is",
}


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
    from evaluator.founding import found

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
    founded = found(directory, class_sizes=class_sizes, passphrase=passphrase)
    say(f"{directory} is a workspace. Its rules are in evaluator.toml: read them through.")
    say(f"Results will be signed by {founded.keyid}; give vendors keys/trust.toml, by a channel")
    say("that they can trust: it has the keys of results and of the log.")
    if passphrase is None:
        say("The keys have no passphrase; only their file permissions protect them.")
    say(f"Next: evaluator data import TILES --holdout 0.2 --workspace {directory}")


vendor_option = click.option("--vendor", help="Whose submission it is; see `evaluator vendors`.")
phase_option = click.option(
    "--phase",
    type=click.Choice(["baseline", "both"]),
    help="As submitted alone, or fine-tuned on the training tiles as well (default: both, where "
    "there are training tiles).",
)
recipe_option = click.option(
    "--recipe",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The vendor's hyperparameters.json for the training.",
)


@click.command("run")
@click.argument("submission", required=False)
@vendor_option
@phase_option
@recipe_option
@click.option(
    "--adapted",
    metavar="RUN",
    help="Instead of a SUBMISSION: predict with the model that the training of RUN left.",
)
@signer_options
@json_option
@workspace_option
@click.pass_context
def run_command(  # noqa: PLR0913 - one per option of the command
    context: click.Context,
    *,
    submission: str | None,
    vendor: str | None,
    phase: Literal["baseline", "both"] | None,
    recipe: Path | None,
    adapted: str | None,
    workspace: Path,
    as_json: bool,
    **signing: Unpack[Signing],
) -> None:
    """Evaluate SUBMISSION on the holdout and write its signed result.

    SUBMISSION is model.onnx, an archive made by `docker save`, a local image id, or
    name@sha256:digest. It is handed in and run at once; `evaluator submit` and `evaluator work`
    do the two apart.
    """
    from evaluator.official import run_adapted, run_officially

    owned = Workspace(workspace)
    if adapted and (submission or vendor or phase or recipe):
        raise click.UsageError("--adapted stands alone: the run says the rest.")
    request = None if adapted else _request(submission, vendor, phase, recipe)
    signers = open_signers(owned, **signing)
    with _told() as told:
        if request is None:
            record = run_adapted(owned, str(adapted), signers, told)
        else:
            record = run_officially(owned, request, signers, told)
    _print_record(record, as_json=as_json)
    context.exit(_exit_code(record))


@click.command("submit")
@click.argument("submission")
@vendor_option
@phase_option
@recipe_option
@signer_options
@json_option
@workspace_option
def submit_command(  # noqa: PLR0913 - one per option of the command
    *,
    submission: str,
    vendor: str | None,
    phase: Literal["baseline", "both"] | None,
    recipe: Path | None,
    workspace: Path,
    as_json: bool,
    **signing: Unpack[Signing],
) -> None:
    """Hand SUBMISSION in: it takes a slot of its vendor's quota, and waits for `work`.

    Its vendor's receipt, the log's entry and a proof that it is there, lies in outbox/VENDOR. The
    copy of a file of 64 MiB or more that was interrupted goes on where it was when the same file is
    submitted again within a week; until then it has no slot.
    """
    from evaluator.progress import receiving
    from evaluator.queue import taken_in

    owned, request = Workspace(workspace), _request(submission, vendor, phase, recipe)
    signers = open_signers(owned, **signing)
    with receiving() as (stage, advance):
        taken = taken_in(owned, request, signers, stage, advance)
    say(f"{_DIGEST_OF[taken.digest_of]} sha256:{taken.sha256}, {taken.size:,} bytes.")
    receipt = owned.outbox(request.vendor) / f"submission-{taken.id}.sigstore.json"
    proof = receipt.with_name(f"submission-{taken.id}.tlog-proof")
    if as_json:
        said = {"submission": taken.id, "sha256": taken.sha256, "digest_of": taken.digest_of}
        print_json(said | {"size": taken.size, "receipt": str(receipt), "proof": str(proof)})
    else:
        click.echo(f"Submission {taken.id} waits for its run; `evaluator work` takes it.")
        click.echo(f"Receipt for its vendor: {receipt}")
        click.echo(f"Proof that the log has it: {proof}")


@click.command("work")
@click.option("--wait", is_flag=True, help="Go on waiting when nobody waits any more.")
@click.option("--beside", type=int, hidden=True, help="End, between two runs, with this parent.")
@signer_options
@workspace_option
@click.pass_context
def work_command(
    context: click.Context,
    *,
    wait: bool,
    beside: int | None,
    workspace: Path,
    **signing: Unpack[Signing],
) -> None:
    """Run what waits, fair between vendors, one after the other; one of these for each slot.

    A submission that fails is done, like any other. Trouble of this host or of the workspace
    stops the work: what was running is aborted and charged to nobody, and the rest still waits.
    """
    import os
    import time

    from evaluator.official import run_next

    owned = Workspace(workspace)
    signers = open_signers(owned, **signing)
    failed = False
    while beside in {None, os.getppid()}:
        with _told() as told:
            record = run_next(owned, signers, told)
        if record is not None:
            _print_record(record, as_json=False)
            failed |= bool(_exit_code(record))
        elif wait:
            time.sleep(_POLL)
        else:
            break
    context.exit(SUBMISSION_FAILED if failed else 0)


def _request(
    submission: str | None,
    vendor: str | None,
    phase: Literal["baseline", "both"] | None,
    recipe: Path | None,
) -> Request:
    from evaluator.queue import Request
    from evaluator.recipe import MAX_BYTES
    from evaluator.submission import parse_submission

    if not submission:
        raise click.UsageError("Name a SUBMISSION, or a run with --adapted.")
    if vendor is None:
        raise click.UsageError("Whose submission is it? Give --vendor.")
    raw = None
    if recipe:
        with recipe.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)  # one more than is read: enough to refuse it
    return Request(parse_submission(submission), vendor, phase, raw)


@contextmanager
def _told() -> Iterator[Told]:
    """Stages of a run on stderr, and on a terminal the numbers of our own trainer."""
    from evaluator.official import Told
    from evaluator.progress import Live, stages

    with stages() as stage:
        live = Live(stage)
        yield Told(live.say, live.frame, live.charged) if sys.stderr.isatty() else Told(stage)


def _print_record(record: Record, *, as_json: bool) -> None:
    from evaluator.tables import print_record, record_document

    if as_json:
        print_json(record_document(record))
    else:
        print_record(record)


def _exit_code(record: Record) -> int:
    return 0 if all(phase.counts for phase in record.evaluation.phases) else SUBMISSION_FAILED

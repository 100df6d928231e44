"""`evaluator validate`: a vendor tries a submission as its owner will run it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import click

from evaluator.cli.options import asking, say, signer_options

if TYPE_CHECKING:
    from evaluator.challenge import Challenge
    from evaluator.cli.options import Signing
    from evaluator.lint.rule import Severity, Waiver
    from evaluator.lint.verdict import Verdict
    from evaluator.rehearsal import Rehearsal
    from evaluator.signing import Signer
    from evaluator.submission import Submission

FORMATS = ("text", "json", "sarif", "junit", "github", "gitlab", "markdown")
WAIVERS = ".evaluatorignore.toml"
FOUND = 1
_MOST = 2**20  # bytes of a Dockerfile

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_new_file = click.Path(dir_okay=False, path_type=Path)


class Report(click.ParamType[tuple[str, Path]]):
    """FORMAT=FILE."""

    name = "FORMAT=FILE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path]:
        """A format's name, and a file whose directory is there."""
        name, _, path = str(value).partition("=")
        if name not in FORMATS or not path:
            self.fail(f"give one of {', '.join(FORMATS)}, then =, then a file.", param, ctx)
        if not Path(path).parent.is_dir():
            self.fail(f"{Path(path).parent} is no directory.", param, ctx)
        return name, Path(path)


@click.command("validate")
@click.argument("submission")
@click.option(
    "--challenge",
    type=_file,
    help="The challenge.json of the data owner (default: a sample with the use case's numbers).",
)
@click.option(
    "--phase",
    type=click.Choice(["baseline", "both"]),
    help="As submitted alone, or fine-tuned as well (default: both, where the challenge has "
    "training tiles).",
)
@click.option("--recipe", type=_file, help="A hyperparameters.json for the training.")
@click.option("--dockerfile", type=_file, help="Findings then point at its lines.")
@click.option(
    "--waivers", type=_file, help=f"Findings that are known (default: {WAIVERS}, if there is one)."
)
@click.option(
    "--tiles",
    type=click.IntRange(1, 100_000),
    default=256,
    show_default=True,
    help="Made-up tiles on either side; more make estimates better.",
)
@click.option(
    "--gpu",
    "gpus",
    multiple=True,
    metavar="DEVICE",
    help="A GPU of this host, as in gpu_devices of evaluator.toml; may be repeated.",
)
@click.option(
    "--format",
    "shown",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="What is printed.",
)
@click.option(
    "--report",
    "reports",
    type=Report(),
    multiple=True,
    help="Also write a report; may be repeated.",
)
@click.option("--facts-out", type=_new_file, help="Write all that was seen, as JSON.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep what containers were given, so that the lines of --verbose work there.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "note"]),
    default="error",
    show_default=True,
    help="The least finding that makes the exit code 1.",
)
@click.option("--exit-zero", is_flag=True, help="Exit with 0 whatever was found.")
@click.option(
    "--attest",
    type=_new_file,
    help="Write the verdict, signed by --signer, as an in-toto test-result.",
)
@click.option("--verbose", is_flag=True, help="Print logs in full, and each step's docker line.")
@signer_options
@click.pass_context
def validate_command(  # noqa: PLR0913 - one per option of the command
    context: click.Context,
    *,
    submission: str,
    challenge: Path | None,
    phase: Literal["baseline", "both"] | None,
    recipe: Path | None,
    dockerfile: Path | None,
    waivers: Path | None,
    tiles: int,
    gpus: tuple[str, ...],
    shown: str,
    reports: tuple[tuple[str, Path], ...],
    facts_out: Path | None,
    keep: Path | None,
    fail_on: Severity,
    exit_zero: bool,
    attest: Path | None,
    verbose: bool,
    **signing: Unpack[Signing],
) -> None:
    """Try SUBMISSION as its owner will run it, on tiles that are made up, and say what to mend.

    SUBMISSION is model.onnx, an archive made by `docker save`, a local image's id or tag, or
    name@sha256:digest. The same code as in an official run admits it and runs both verbs behind the
    same wall; only the tiles differ, and that you see what your program prints.
    """
    from evaluator.challenge import read_challenge, sample_challenge
    from evaluator.lint.judge import judge
    from evaluator.progress import stages
    from evaluator.recipe import MAX_BYTES
    from evaluator.rehearsal import Asked, rehearse

    signer = _signer(attest, signing)
    given = read_challenge(challenge) if challenge else sample_challenge()
    if challenge is None:
        say("No --challenge: a sample of the use case's shape and limits stands in for it.")
    known = _waivers(waivers, given)
    asked = Asked(
        phases=phase,
        recipe=_start_of(recipe, MAX_BYTES + 1) if recipe else None,
        tiles=tiles,
        gpus=gpus,
        keep=keep,
        name=submission if _is_name(submission) else "IMAGE",
    )
    said = _start_of(dockerfile, _MOST).decode(errors="replace") if dockerfile else ""
    with stages() as stage:
        rehearsal = rehearse(_submission(submission), given, asked, stage)
    say("The wall of this host was not tried (`evaluator doctor` does): this says what a run")
    say("answers, not that this host is safe for private tiles.")
    _show_steps(rehearsal, keep, verbose=verbose)
    facts = replace(rehearsal.facts, dockerfile=said)
    verdict = judge(facts, known, _named(submission), _named(str(dockerfile or "")))
    _write(verdict, shown, reports, facts_out, attest, signer)
    context.exit(FOUND if verdict.fails(fail_on) and not exit_zero else 0)


def _is_name(text: str) -> bool:
    """Whether the engine knows it by this word, and no file does."""
    return not Path(text).exists()


def _submission(text: str) -> Submission:
    """As `run` takes it; a tag of the local engine's as well, by the id that it has now."""
    import sandbox
    from evaluator.submission import parse_submission

    if _is_name(text) and "@" not in text and not text.startswith("-"):
        image = sandbox.find_image(text)
        if image is not None:
            return parse_submission(image)
    return parse_submission(text)


def _named(text: str) -> str:
    """What reports call a file: relative to here where it is below, else by its name alone."""
    from evaluator.reports.plain import plain

    path = Path(text)
    if path.is_absolute():
        here = Path.cwd()
        text = str(path.relative_to(here)) if path.is_relative_to(here) else path.name
    return plain(text)


def _start_of(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)


def _waivers(path: Path | None, challenge: Challenge) -> tuple[Waiver, ...]:
    import datetime as dt
    from tempfile import TemporaryDirectory

    from evaluator.lint.waivers import read_waivers

    found = path or (Path(WAIVERS) if Path(WAIVERS).is_file() else None)
    if found is None:
        return ()
    with TemporaryDirectory() as folder:
        _, admission = challenge.policies_in(Path(folder))
    return read_waivers(found, admission.waivers.allowed, dt.datetime.now(dt.UTC).date())


def _signer(attest: Path | None, signing: Signing) -> Signer | None:
    """Who signs the verdict, opened before anything runs."""
    from evaluator.signers import load_signer

    if attest is None:
        return None
    signer, public_key = signing["signer"], signing["public_key"]
    if not signer or not public_key:
        raise click.UsageError(
            "--attest needs a key of yours: --signer file:KEY.pem --public-key KEY.pub, say."
        )
    return load_signer(signer, public_key, asking(signing["passphrase_file"]))


def _show_steps(rehearsal: Rehearsal, keep: Path | None, *, verbose: bool) -> None:
    """Each container, what it printed, and how to repeat it: in full where it failed."""
    from evaluator.rehearsal.showing import shown_steps

    for line in shown_steps(rehearsal, str(keep) if keep else "", verbose=verbose):
        say(line)


def _write(  # noqa: PLR0913, PLR0917 - every place that a verdict goes to
    verdict: Verdict,
    shown: str,
    reports: tuple[tuple[str, Path], ...],
    facts_out: Path | None,
    attest: Path | None,
    signer: Signer | None,
) -> None:
    """Print the verdict, and write each file whole or not at all."""
    import json

    from evaluator.attest import attested
    from evaluator.errors import OwnerError
    from evaluator.files import replace as written
    from evaluator.reports import FORMATS as MADE

    files = [(path, MADE[name](verdict).encode()) for name, path in reports]
    if facts_out:
        files.append((facts_out, json.dumps(verdict.facts.document(), indent=2).encode() + b"\n"))
    if attest and signer:
        files.append((attest, attested(verdict, signer)))
    click.echo(MADE[shown](verdict).rstrip("\n"))
    for path, content in files:
        try:
            written(path.absolute(), content, 0o644)
        except OSError as error:
            raise OwnerError(f"{path} cannot be written: {error.strerror}.") from error

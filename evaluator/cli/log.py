"""`evaluator log`, `trust` and `witness`: the public log, and those who watch it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from evaluator.cli.options import (
    asking,
    json_option,
    open_signers,
    passphrase_option,
    print_json,
    say,
    signer_options,
    workspace_option,
)
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from evaluator.audit import Audit
    from evaluator.cli.options import Signing
    from evaluator.log.store import LogReader

FINDINGS = 1


@click.group()
def log() -> None:
    """The public log: what was received, what came of it, and that nothing was dropped."""


@log.command("create")
@passphrase_option
@workspace_option
def create_command(workspace: Path, passphrase_file: Path | None) -> None:
    """Begin the log of a workspace that is older than logs; `evaluator init` does it for new ones.

    Its key is encrypted by the same passphrase as the key of results, if that is.
    """
    from evaluator.founding import found_log
    from evaluator.signing import is_encrypted

    owned = Workspace(workspace)
    owned.settings()  # what [log] must say comes first
    encrypted = is_encrypted(owned.key)
    secret = asking(passphrase_file)("passphrase") if encrypted or passphrase_file else ""
    if encrypted and not secret:
        raise click.UsageError("The signing key is encrypted: give --passphrase-file.")
    found_log(owned, secret.encode(errors="surrogateescape") or None)
    say(f"{owned.log} is an empty log, and {owned.trust} says whom to trust: give that to vendors.")


@log.command("publish")
@signer_options
@json_option
@workspace_option
def publish_command(workspace: Path, *, as_json: bool, **signing: Unpack[Signing]) -> None:
    """Enter what is due, have the log witnessed, and serve it from public/.

    Run it at the end of each release slot. Until `evaluator leaderboard publish`, what is served
    names nobody: a signed checkpoint, hashes, and the keys to check them with.
    """
    from evaluator.journal import publish_log

    owned = Workspace(workspace)
    served = publish_log(owned, open_signers(owned, **signing))
    for failure in served.failures:
        say(failure)
    for run in served.missing:
        say(f"The signed result of run {run} is missing from results/; put it back.")
    if as_json:
        print_json({"size": served.size, "witnesses": len(served.witnesses)})
    else:
        click.echo(
            f"The log has {served.size} entries, signed by {len(served.witnesses)} witnesses; "
            f"{owned.public} may be served."
        )


@log.command("show")
@json_option
@workspace_option
def show_command(workspace: Path, *, as_json: bool) -> None:
    """List the entries of the log: for the operator's eyes until it is published."""
    from evaluator.log.entries import read_log
    from evaluator.log_tables import entry_document, print_entries

    reader = _reader(Workspace(workspace))
    entries = read_log(reader.entries(0, reader.checkpoint.size))
    if as_json:
        print_json({"entries": [entry_document(entry) for entry in entries]})
    else:
        print_entries(entries, reader.checkpoint)


@log.command("audit")
@click.option(
    "--since",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An earlier checkpoint, or a .tlog-proof, that the log must continue (repeatable).",
)
@json_option
@workspace_option
@click.pass_context
def audit_command(
    context: click.Context, since: tuple[Path, ...], workspace: Path, *, as_json: bool
) -> None:
    """Hold the log against ledger, results, rules and keys, and say what is missing or altered.

    Ends with 1 where there are findings, with 4 where it is no continuation of an earlier state.
    """
    from evaluator.audit import audit

    found = audit(Workspace(workspace), [_checkpoint(path) for path in since], datetime.now(UTC))
    if as_json:
        print_json(_audit_document(found))
    else:
        _print_audit(found)
    context.exit(FINDINGS if found.findings else 0)


@log.command("withdraw")
@click.argument("run")
@click.option("--reason", required=True, help="One line, for everybody to read.")
@signer_options
@workspace_option
def withdraw_command(run: str, reason: str, workspace: Path, **signing: Unpack[Signing]) -> None:
    """Say in the log that the result of RUN should no longer be relied on, and why."""
    from evaluator.journal import withdraw

    owned = Workspace(workspace)
    position = withdraw(owned, open_signers(owned, **signing), run, reason)
    click.echo(f"Withdrawn, as entry {position} of the log; the result stays in it.")


@log.command("monitor")
@click.argument("source")
@click.option(
    "--state",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="What was seen last; made by the first call.",
)
@click.option(
    "--trust",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The owner's trust.toml.",
)
@click.option("--full", is_flag=True, help="Read every hash again, not only what is new.")
@json_option
def monitor_command(source: str, state: Path, trust: Path, *, full: bool, as_json: bool) -> None:
    """Check that the log served at SOURCE (a URL or a folder) only grew since the last call.

    It needs no entry, only hashes, so anyone can do it before the window is published.
    """
    from evaluator.log.monitor import monitor
    from evaluator.trust import load_trust

    seen = monitor(source, state, load_trust(trust.read_bytes()).log, full=full)
    if as_json:
        print_json({"size": seen.size, "root": seen.root.hex()})
    else:
        click.echo(f"The log only grew: {seen.size} entries, root {seen.root.hex()}.")


@click.group()
def trust() -> None:
    """What a reader has to believe, as a file."""


@trust.command("export")
@workspace_option
def export_command(workspace: Path) -> None:
    """Print trust.toml: the keys that sign results and when, the log's key, and its witnesses."""
    from evaluator.outbox import published_trust
    from evaluator.trust import dump_trust

    owned = Workspace(workspace)
    click.echo(dump_trust(published_trust(owned, owned.settings())), nl=False)


@click.group()
def witness() -> None:
    """Watch logs of others, and sign that they only grow: anyone can."""


@witness.command("key")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", required=True, help="An address without its scheme: witness.example/w1")
def witness_key_command(folder: Path, name: str) -> None:
    """Make a witness's key in FOLDER and print its public half, for the owner's evaluator.toml."""
    from evaluator.log.witness import generate_key

    click.echo(str(generate_key(folder, name)))


@witness.command("serve")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--log",
    "vkeys",
    multiple=True,
    required=True,
    metavar="VKEY",
    help="The `log` line of the owner's trust.toml (repeatable).",
)
@click.option("--listen", default="127.0.0.1:8099", show_default=True, metavar="HOST:PORT")
def serve_command(folder: Path, vkeys: tuple[str, ...], listen: str) -> None:
    """Answer C2SP add-checkpoint requests by the key in FOLDER, until interrupted.

    FOLDER remembers what was signed, so keep it: without that, a witness could sign two pasts.
    """
    from evaluator.log.note import parse_vkey
    from evaluator.log.witness import load_signer, serve

    logs = {key.name: key for key in map(parse_vkey, vkeys)}
    serve(folder, load_signer(folder), logs, listen)


def _reader(workspace: Workspace) -> LogReader:
    from evaluator.log.note import parse_vkey
    from evaluator.log.store import LogReader

    workspace.settings()  # "not a workspace" is clearer than "no log"
    return LogReader(workspace.log, parse_vkey(workspace.log_vkey.read_text()))


def _checkpoint(path: Path) -> bytes:
    """The signed checkpoint in a file: it is one, or a proof that has one."""
    from evaluator.log.proof import HEADER, parse_proof

    raw = path.read_bytes()
    return parse_proof(raw).note if raw.startswith(HEADER.encode()) else raw


def _audit_document(found: Audit) -> dict[str, object]:
    return {
        "size": found.size,
        "root": found.root.hex(),
        "received": found.received,
        "ended": found.ended,
        "open": list(found.open),
        "findings": list(found.findings),
    }


def _print_audit(found: Audit) -> None:
    click.echo(f"log     {found.size} entries, root {found.root.hex()}")
    click.echo(
        f"ends    {found.received} submissions received, {found.ended} ended, "
        f"{len(found.open)} open"
    )
    for finding in found.findings:
        click.echo(f"FINDING {finding}")
    if not found.findings:
        click.echo("Nothing is missing, and nothing was altered.")

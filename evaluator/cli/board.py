"""`evaluator leaderboard`: who stands where, by the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from evaluator.cli.options import (
    json_option,
    open_signers,
    print_json,
    say,
    signer_options,
    workspace_option,
)
from evaluator.workspace import CONFIG, Workspace

if TYPE_CHECKING:
    from evaluator.cli.options import Signing
    from evaluator.log.store import LogReader

log_option = click.option(
    "--log",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A published log, or another workspace (default: this workspace's own).",
)
trust_option = click.option(
    "--trust",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The log owner's trust.toml (default: the workspace's).",
)


@click.group()
def leaderboard() -> None:
    """Who stands where, by the public log and nothing else."""


@leaderboard.command("show")
@click.option("--metric", metavar="NAME", help="Order by this (default: publish.rank_by).")
@click.option("--vendor", help="Only what this vendor may be told: before publication their own.")
@click.option(
    "--dataset-version", "version", type=int, help="Default: the newest that has results."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print every result as CSV.")
@log_option
@trust_option
@json_option
@workspace_option
def show_command(  # noqa: PLR0913  # its options
    *,
    metric: str | None,
    vendor: str | None,
    version: int | None,
    as_csv: bool,
    as_json: bool,
    log: Path | None,
    trust: Path | None,
    workspace: Path,
) -> None:
    """Show the board of a log, every entry of which is checked first.

    Your own log has the figures of all vendors, also before they may be published: that is the
    operator's view. Anyone can read a published log, by --log and --trust.
    """
    from evaluator.board.documents import board_csv, board_json
    from evaluator.board.own import read_own
    from evaluator.board.reading import read_board
    from evaluator.board.tables import print_board

    if as_csv and as_json:
        raise click.UsageError("Give --csv or --json.")
    if log is None and trust is None:
        Workspace(workspace).settings()  # "not a workspace" is clearer than "no trust file"
        board = read_own(Workspace(workspace), metric=metric, vendor=vendor, version=version)
    else:
        found, keys = open_log(Workspace(workspace), log, trust)
        board = read_board(found, keys, metric=metric, vendor=vendor, version=version)
    if board.published is None and board.vendor is None:
        say("Operator's view, not published: keep it to yourself.")
    if as_json:
        click.echo(board_json(board), nl=False)
    elif as_csv:
        click.echo(board_csv(board), nl=False)
    else:
        print_board(board)


@leaderboard.command("publish")
@click.option(
    "--early",
    metavar="REASON",
    help="Publish before the window is over; the log will state the reason.",
)
@signer_options
@json_option
@workspace_option
def publish_command(
    workspace: Path, *, early: str | None, as_json: bool, **signing: Unpack[Signing]
) -> None:
    """Enter the end of the window into the log, serve its entries, and make the site.

    What may be served is in public/: the log, trust.toml, and the pages in public/board.
    """
    from evaluator.publish import publish

    owned = Workspace(workspace)
    site = publish(owned, open_signers(owned, **signing), early)
    if as_json:
        print_json({"site": str(site)})
    else:
        click.echo(f"Published: {owned.public} may be served; the board is {site}/index.html.")


@leaderboard.command("verify")
@click.argument("board", type=click.Path(exists=True, path_type=Path))
@log_option
@trust_option
@json_option
@workspace_option
def verify_command(
    board: Path, *, log: Path | None, trust: Path | None, as_json: bool, workspace: Path
) -> None:
    """Make the board of a log anew and compare: BOARD is a site's folder or its board.json."""
    from evaluator.board.check import SIZE_CAP, require_same
    from evaluator.publish import JSON

    found, keys = open_log(Workspace(workspace), log, trust)
    path = board / JSON if board.is_dir() else board
    with path.open("rb") as file:
        same = require_same(file.read(SIZE_CAP + 1), found, keys)
    if as_json:
        print_json({"verified": True, "size": same.checkpoint.size, "results": len(same.all)})
    else:
        click.echo(
            f"Verified: {path} is what entries 0 to {same.checkpoint.size - 1} of the log "
            f"{same.checkpoint.origin} give: {len(same.all)} results, {len(same.open)} submissions "
            "without an end. The pages beside it were not compared."
        )


def open_log(
    workspace: Workspace, log: Path | None, trust: Path | None
) -> tuple[LogReader, list[bytes]]:
    """The log that is meant, and the keys to read it by."""
    from evaluator.board.check import open_published
    from evaluator.log.store import LogReader
    from evaluator.trust import load_trust
    from evaluator.verify import read_bounded

    if log is not None and (log / CONFIG).exists():
        workspace, log = Workspace(log), None
    if log is not None and trust is None:
        raise click.UsageError("Whom do you trust? Give the owner's trust.toml with --trust.")
    if trust is None:
        workspace.settings()  # "not a workspace" is clearer than "no trust file"
    known = load_trust(read_bounded(trust or workspace.trust))
    if log is not None:
        return open_published(log, known)
    return LogReader(workspace.log, known.log), [key.pem for key in known.keys]

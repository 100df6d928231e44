"""`evaluator decide`: what choosing a model costs, from signed results and one's own figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from evaluator.cli.options import json_option, print_json, say, workspace_option
from evaluator.errors import OwnerError
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from evaluator.board.values import Board
    from evaluator.trust import Trust
    from evaluator.verify import Verified

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("decide")
@click.argument("assumptions", type=_FILE, required=False)
@click.argument("results", metavar="[RESULT]...", type=_FILE, nargs=-1)
@click.option("--board", is_flag=True, help="The workspace's own leaderboard instead of RESULTs.")
@click.option(
    "--log",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The leaderboard of a published log instead; give its owner's --trust too.",
)
@click.option("--trust", type=_FILE, help="The owner's trust.toml (default: the workspace's).")
@click.option("--key", type=_FILE, help="The owner's public key alone, instead.")
@click.option(
    "--phase",
    type=click.Choice(["baseline", "tuned"]),
    help="Which figure counts (default: the fine-tuned phase's, else the baseline's).",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with plots to this file instead.",
)
@click.option(
    "--example", is_flag=True, help="Print a commented ASSUMPTIONS file, and nothing else."
)
@json_option
@workspace_option
def decide_command(  # noqa: PLR0913 - one per option of the command
    *,
    assumptions: Path | None,
    results: tuple[Path, ...],
    board: bool,
    log: Path | None,
    trust: Path | None,
    key: Path | None,
    phase: Literal["baseline", "tuned"] | None,
    html: Path | None,
    example: bool,
    as_json: bool,
    workspace: Path,
) -> None:
    """Say what each model would cost in a year, by ASSUMPTIONS and signed RESULTs.

    ASSUMPTIONS is a TOML file: the area, what errors cost, licence prices, today's internal model.
    Every RESULT is verified first; the receipt of a submission, named beside it, brings the price
    that its vendor offered. What nobody signed is called "not signed".
    """
    from evaluator.decision.assumptions import EXAMPLE, load_assumptions
    from evaluator.decision.candidates import Chosen, decision_of, from_board, from_results
    from evaluator.decision.tables import decision_document, print_decision

    if example:
        click.echo(EXAMPLE, nl=False)
        return
    if assumptions is None:
        raise click.UsageError("Name an ASSUMPTIONS file; --example prints one.")
    if (board or log) and results:
        raise click.UsageError("A leaderboard has the best RESULT of each vendor: name none.")
    if key and (trust or board or log):
        raise click.UsageError("A --key alone is for RESULTs: give --trust, or neither.")
    given = load_assumptions(assumptions)
    chosen = Chosen((), ())
    if board or log:
        chosen = from_board(_board(Workspace(workspace), log, trust), given, phase)
    elif results:
        believed = _believed(Workspace(workspace), trust, key)
        chosen = from_results([_verified(path, believed) for path in results], given, phase)
    decision = decision_of(given, chosen)
    if html:
        from evaluator.files import replace
        from evaluator.site.decide_page import decide_page

        replace(html, decide_page(decision).encode(), 0o644)
        say(f"Written: {html}")
    if as_json:
        print_json(decision_document(decision))
    elif not html:
        print_decision(decision)


def _believed(workspace: Workspace, trust: Path | None, key: Path | None) -> bytes | Trust:
    """Whose signature counts: the file that was given, else the workspace's own."""
    from evaluator.trust import load_trust
    from evaluator.verify import read_bounded

    if not (key or trust) and workspace.trust.is_file():
        trust = workspace.trust
    if trust:
        return load_trust(read_bounded(trust))
    public = key or workspace.public_key
    if not public.is_file():
        raise OwnerError("Whose signature? Give the owner's --trust file, or the public --key.")
    return read_bounded(public)


def _verified(path: Path, believed: bytes | Trust) -> Verified:
    """The statement in a file; VerificationError, which names the file, unless it is signed."""
    from evaluator.errors import VerificationError
    from evaluator.verify import read_bounded, verify

    try:
        return verify(read_bounded(path), believed)
    except VerificationError as error:
        raise VerificationError(f"{path}: {error}") from error


def _board(workspace: Workspace, log: Path | None, trust: Path | None) -> Board:
    """The leaderboard of a published log or of the workspace's own; every entry is checked."""
    from evaluator.board.own import read_own
    from evaluator.board.reading import read_board
    from evaluator.cli.board import open_log

    if log is None and trust is None:
        workspace.settings()  # "not a workspace" is clearer than "no trust file"
        return read_own(workspace)
    return read_board(*open_log(workspace, log, trust))

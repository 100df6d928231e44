"""`evaluator leakage`: what has left so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evaluator.cli.options import json_option, print_json, workspace_option
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path


@click.command("leakage")
@json_option
@workspace_option
def leakage_command(workspace: Path, *, as_json: bool) -> None:
    """Show how many bits about the tiles all results together may carry, and the budget."""
    from evaluator.spending import spending
    from evaluator.tables import print_spending, spending_document

    spent = spending(Workspace(workspace))
    if as_json:
        print_json(spending_document(spent))
    else:
        print_spending(spent)

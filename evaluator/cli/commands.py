"""Every command: where it is, and what `evaluator --help` says of it.

A command's module is imported when the command is asked for: starting costs no more than click.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

# By name, in the order of docs/commands.md: the module and its function, and the first sentence of
# that function's docstring, which a test holds against it.
_COMMANDS = {
    "new": (
        "new:new",
        "Write a whole submission to start from: code, build, CI, and one command to try it.",
    ),
    "init": (
        "runs:init_command",
        "Make a workspace: settings to edit, and a new signing key.",
    ),
    "data": (
        "data:data",
        "Import tiles, split them, and look at their aggregates.",
    ),
    "images": (
        "data:images",
        "Build and find the images that travel with the product.",
    ),
    "doctor": (
        "doctor:doctor_command",
        "Say whether this host is SEALED: its settings first, then its wall, by trying it.",
    ),
    "calibrate": (
        "calibrate:calibrate_command",
        "Measure what one CPU of this host can do, and show how long a petaflop takes.",
    ),
    "challenge": (
        "challenge:challenge_command",
        "Write challenge.json, for vendors: shape, classes, limits, policies, public keys.",
    ),
    "validate": (
        "validate:validate_command",
        "Try SUBMISSION as its owner will run it, on tiles that are made up, and say what to mend.",
    ),
    "run": (
        "runs:run_command",
        "Evaluate SUBMISSION on the holdout and write its signed result.",
    ),
    "submit": (
        "runs:submit_command",
        "Hand SUBMISSION in: it takes a slot of its vendor's quota, and waits for `work`.",
    ),
    "work": (
        "runs:work_command",
        "Run what waits, fair between vendors, one after the other; one of these for each slot.",
    ),
    "watch": (
        "watch:watch_command",
        "Hand in what vendors push to REGISTRY, run it, and attach to each digest what it is due.",
    ),
    "rule": (
        "rule:rule_command",
        "Explain a rule that a submission can break: `evaluator rule EVA103`, or by its name.",
    ),
    "status": (
        "ledger:status_command",
        "Show the window, its data set, and what every vendor has used of it.",
    ),
    "vendors": (
        "ledger:vendors",
        "Who may submit, and what differs for them.",
    ),
    "runs": (
        "ledger:runs_command",
        "List the window's submissions: state, statuses of phases, charge, fee and run.",
    ),
    "ledger": (
        "ledger:ledger",
        "The accounts as a file, for other programs.",
    ),
    "invoice": (
        "ledger:invoice_command",
        "Print what VENDOR owes for the window: each submission that has ended, and the sum.",
    ),
    "leakage": (
        "leakage:leakage_command",
        "Show how many bits about the tiles all results together may carry, and the budget.",
    ),
    "log": (
        "log:log",
        "The public log: what was received, what came of it, and that nothing was dropped.",
    ),
    "trust": (
        "log:trust",
        "What a reader has to believe, as a file.",
    ),
    "witness": (
        "log:witness",
        "Watch logs of others, and sign that they only grow: anyone can.",
    ),
    "leaderboard": (
        "board:leaderboard",
        "Who stands where, by the public log and nothing else.",
    ),
    "decide": (
        "decide:decide_command",
        "Say what each model would cost in a year, by ASSUMPTIONS and signed RESULTs.",
    ),
    "key": (
        "keys:key",
        "The keys that sign results, and when each of them was valid.",
    ),
    "verify": (
        "verify:verify_command",
        "Check who signed RESULT, that it adds up, and, with --proof, that the log has it.",
    ),
}


def outlines() -> Sequence[click.Command]:
    """Each command by its name and first sentence alone."""
    return [click.Command(name, help=sentence) for name, (_, sentence) in _COMMANDS.items()]


class LazyGroup(click.Group):
    """A group of outlines; a command is imported when it is got."""

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command itself, from its module."""
        if name not in self.commands:
            return None
        module, function = _COMMANDS[name][0].split(":")
        found: click.Command = getattr(import_module(f"evaluator.cli.{module}"), function)
        return found

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the outlines, in the words that the commands themselves would have."""
        click.Group(commands=self.commands).format_commands(context, formatter)

"""`evaluator rule`: what a rule asks, why, and what to do about it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import json_option, print_json

if TYPE_CHECKING:
    from evaluator.lint.rule import Rule


@click.command("rule")
@click.argument("rule", required=False, metavar="ID|NAME")
@click.option("--all", "every", is_flag=True, help="List every rule.")
@json_option
def rule_command(rule: str | None, *, every: bool, as_json: bool) -> None:
    """Explain a rule that a submission can break: `evaluator rule EVA103`, or by its name."""
    from evaluator.lint.catalogue import RULES, find
    from evaluator.lint.pages import page

    if every == (rule is not None):
        raise click.UsageError("Name one rule, by its id or its name, or ask for --all.")
    if rule is None:
        rules = list(RULES.values())
        if as_json:
            print_json({"rules": [_document(each) for each in rules]})
        else:
            click.echo("\n".join(_line(each) for each in rules))
        return
    found = find(rule)
    if found is None:
        raise click.UsageError(_unknown(rule, [*RULES, *(each.name for each in RULES.values())]))
    if as_json:
        print_json(_document(found))
    else:
        click.echo(page(found).rstrip())


def _line(rule: Rule) -> str:
    how = "refuses" if rule.refuses else rule.severity
    return f"{rule.id}  {how:<8} {rule.name}: {rule.title}"


def _document(rule: Rule) -> dict[str, object]:
    from evaluator.reports.document import rule_document

    return {"id": rule.id, **rule_document(rule), "applies": rule.applies}


def _unknown(said: str, known: list[str]) -> str:
    near = get_close_matches(said.lower(), known, n=1) or get_close_matches(
        said.upper(), known, n=1
    )
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"There is no such rule.{meant} `evaluator rule --all` lists them."

"""What the documents say is what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from evaluator import __version__
from evaluator.admission_policy import load_admission_policy
from evaluator.cli import EPILOG, cli
from evaluator.recipe import Recipe
from evaluator.status import STATUSES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRACT = (ROOT / "images" / "CONTRACT.md").read_text()


def commands(group: click.Group, prefix: str = "evaluator") -> list[str]:
    """Every command, as typed."""
    found = []
    for name, command in group.commands.items():
        path = f"{prefix} {name}"
        found += commands(command, path) if isinstance(command, click.Group) else [path]
    return found


@pytest.mark.parametrize("command", commands(cli))
def test_every_command_is_in_the_readme(command: str) -> None:
    """No command is a secret."""
    assert command in README


def test_the_readme_names_no_other_command() -> None:
    """Nothing is promised that is not there."""
    groups = "|".join({name.split()[1] for name in commands(cli) if name.count(" ") == 2})
    named = set(re.findall(rf"evaluator (?:(?:{groups}) )?[a-z]+", README))

    assert named - set(commands(cli)) == set()


def test_exit_codes_are_the_same_in_readme_and_help() -> None:
    """Both lists name the same numbers."""
    in_help = set(re.findall(r"^  (\d+)  ", EPILOG, re.MULTILINE))
    in_readme = set(re.findall(r"^\| (\d+) \|", README, re.MULTILINE))

    assert in_help == in_readme


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_explained_to_vendors(status: str) -> None:
    """In the contract and in the README."""
    assert f"`{status}`" in CONTRACT
    assert f"`{status}`" in README


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "images/CONTRACT.md"])
def test_every_link_leads_somewhere(document: str) -> None:
    """Relative links name files of the repository."""
    text = (ROOT / document).read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", text)

    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []


def test_every_path_in_the_code_map_exists() -> None:
    """ARCHITECTURE.md names files that are there."""
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("## Code map")[2].partition("##")[0]
    named = re.findall(r"`((?:sandbox|evaluator|images|policies)/[\w./]*)`", table)

    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_documents_stay_short() -> None:
    """A README of one sitting, an architecture of two pages."""
    assert len(README.splitlines()) < 250
    assert len((ROOT / "ARCHITECTURE.md").read_text().split()) < 1400


def test_every_policy_key_has_its_reason() -> None:
    """A comment stands above each key of sandbox.toml, and in each rule of seccomp.json."""
    text = (ROOT / "policies" / "sandbox.toml").read_text()
    groups = [group for group in text.split("\n\n") if re.search(r"^\w+ =", group, re.MULTILINE)]
    rules = json.loads((ROOT / "policies" / "seccomp.json").read_text())["syscalls"]

    assert [group for group in groups if not group.startswith("#")] == []
    assert all(rule["comment"] for rule in rules)


def test_the_changelog_is_about_this_version() -> None:
    """Unreleased, or the version of the package."""
    changelog = (ROOT / "CHANGELOG.md").read_text()

    assert "## Unreleased" in changelog or f"## {__version__}" in changelog


def test_every_key_of_a_recipe_is_in_the_contract_with_its_default() -> None:
    """Vendors write hyperparameters.json from that table."""
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", CONTRACT, re.MULTILINE)
    table = {
        key: default.strip("`") for keys, default in rows for key in re.findall(r"`(\w+)`", keys)
    }

    for key, field in Recipe.model_fields.items():
        assert table[key] == json.dumps(field.default), key


def test_the_contract_names_the_shipped_bounds_of_a_recipe() -> None:
    """Where the table says "at most"."""
    bounds = load_admission_policy(ROOT / "policies" / "admission.toml").recipe

    assert f"at most {bounds.epochs}" in CONTRACT
    assert f"at most {bounds.batch_size:,}" in CONTRACT

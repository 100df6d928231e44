"""What the documents say is what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from evaluator import __version__
from evaluator.admission_policy import load_admission_policy
from evaluator.cli import EPILOG
from evaluator.cli.main import HOST, INTERRUPTED, OWNER, UNVERIFIED
from evaluator.cli.options import SUBMISSION_FAILED
from evaluator.cli.reference import EXAMPLES, commands, reference
from evaluator.lint.catalogue import RULES
from evaluator.recipe import Recipe
from evaluator.status import STATUSES
from tests.helpers.command_lines import calls, check, shown

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("images/**/*.md"),
        *ROOT.glob("templates/**/*.md"),
    )
)
COMMANDS = dict(commands())
MAIN = (
    "init",
    "doctor",
    "data import",
    "challenge",
    "vendors add",
    "run",
    "submit",
    "work",
    "watch",
    "log publish",
    "leaderboard publish",
    "decide",
    "new",
    "validate",
    "verify",
)
README = (ROOT / "README.md").read_text()
CONTRACT = (ROOT / "images" / "CONTRACT.md").read_text()


def test_the_reference_of_commands_is_current() -> None:
    """docs/commands.md is what `python -m evaluator.cli.reference` prints."""
    assert (ROOT / "docs" / "commands.md").read_text() == reference()


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_in_the_reference(words: str) -> None:
    """No command is a secret, and none is without a sentence."""
    assert f"\n## evaluator {words}\n" in reference()
    assert COMMANDS[words].help


def test_examples_are_of_commands_that_are_there() -> None:
    """An example is of the command it stands under."""
    assert {*EXAMPLES} <= {*COMMANDS}
    for words, line in EXAMPLES.items():
        assert line.startswith(words)
        check(next(calls(f"evaluator {line}")))


@pytest.mark.parametrize("words", MAIN)
def test_the_readme_names_the_main_commands(words: str) -> None:
    """Who reads nothing else has seen these."""
    assert f"evaluator {words}" in README


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_line_can_be_typed(document: str) -> None:
    """Each command is there, with these options, and with all that it needs."""
    for line in shown((ROOT / document).read_text()):
        for arguments in calls(line):
            check(arguments)


@pytest.mark.parametrize(
    "line",
    [
        "evaluator frobnicate",
        "evaluator log",
        "evaluator doctor --fast",
        "evaluator doctor --runtime chroot",
        "evaluator doctor farm",
        "evaluator data import tiles.tar",
        "true && evaluator work --vendor acme",
        "echo $(evaluator status --jso)",
        "A=b python3 -m evaluator verify",
    ],
)
def test_a_command_line_that_cannot_be_typed_is_found(line: str) -> None:
    """Positive control of the test above."""
    found = shown(f"```console\n$ {line}\n```\n") + shown(f"```sh\n{line}\n```\n")

    assert found == [line, line]
    (arguments,) = calls(line)
    with pytest.raises(click.UsageError):
        check(arguments)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_prose_names_no_other_command(document: str) -> None:
    """Nothing is promised that is not there."""
    groups = "|".join({words.split()[0] for words in COMMANDS if " " in words})
    text = (ROOT / document).read_text()
    named = re.findall(rf"`evaluator ((?:(?:{groups}) )?[a-z]+)", text)

    assert {*named} - {*COMMANDS} - {*groups.split("|")} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_rule_that_is_named_exists(document: str) -> None:
    """Ids in prose and examples are those of rules."""
    assert {*re.findall(r"\bEVA\d{3}\b", (ROOT / document).read_text())} <= {*RULES}


def test_exit_codes_are_the_same_everywhere() -> None:
    """The program's constants, its help, the README and the page of exit codes."""
    codes = {0, SUBMISSION_FAILED, OWNER, HOST, UNVERIFIED, INTERRUPTED}
    page = (ROOT / "docs" / "exit-codes.md").read_text()

    assert {*map(int, re.findall(r"^  (\d+)  ", EPILOG, re.MULTILINE))} == codes
    assert {*map(int, re.findall(r"^\| (\d+) \|", README, re.MULTILINE))} == codes
    assert {*map(int, re.findall(r"^## (\d+):", page, re.MULTILINE))} == codes


def test_the_page_of_exit_codes_has_every_command() -> None:
    """In its table, once, with each code that it can end with."""
    page = (ROOT / "docs" / "exit-codes.md").read_text()
    rows = re.findall(r"^\| (`evaluator .*?`.*?) \|", page, re.MULTILINE)
    named = [words for row in rows for words in re.findall(r"`evaluator (.*?)`", row)]
    covered = [
        command
        for words in named
        for command in COMMANDS
        if command == words or command.startswith(f"{words} ")
    ]

    assert sorted(covered) == sorted(COMMANDS)


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_explained_to_vendors(status: str) -> None:
    """In the contract and in the README."""
    assert f"`{status}`" in CONTRACT
    assert f"`{status}`" in README


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    """Relative links name files of the repository, and headings or anchors in them."""
    broken = []
    for link, anchor in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", prose(document)):
        path = (ROOT / document).parent / link if link else ROOT / document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(f"{link}#{anchor}")

    assert broken == []


def prose(document: str) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """What a link into a page can name: headings as GitHub spells them, and ids."""
    text = path.read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    spelled = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
    return spelled | {*re.findall(r'<a id="([\w-]+)">', text)}


def test_every_path_in_the_code_map_exists() -> None:
    """ARCHITECTURE.md names files that are there."""
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("## Code map")[2].partition("##")[0]
    named = re.findall(r"`((?:sandbox|evaluator|images|policies)/[\w./]*)`", table)

    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_documents_stay_short() -> None:
    """A README of one sitting, an architecture of two pages."""
    assert len(README.splitlines()) < 200
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

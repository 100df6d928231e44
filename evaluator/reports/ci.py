"""A build's step: `evaluator validate` as a workflow asked for it, by environment variables.

    python -I -m evaluator.reports.ci

action.yml and templates/validate/template.yml both run this line and no other. What a workflow
says comes as the values of VALIDATE_ variables and goes on as arguments of a program: no shell
reads it. Exit codes are those of `validate`.

A build machine obeys lines of a log. While `validate` prints, GitHub is told not to.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OPTIONS = ("challenge", "phase", "recipe", "dockerfile", "waivers", "fail-on")
FILES = {
    "json": "report.json",
    "sarif": "report.sarif",
    "junit": "junit.xml",
    "github": "github.txt",
    "gitlab": "gitlab.json",
    "markdown": "report.md",
    "text": "report.txt",
}
_USUAL = "sarif junit"
_OWNER = 2


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Validate, then write what this kind of build reads; return the exit code."""
    on_github = environment.get("GITHUB_ACTIONS") == "true"
    try:
        formats = _formats(environment.get("VALIDATE_FORMATS") or _usual(on_github=on_github))
        folder = _folder(Path(environment.get("VALIDATE_REPORTS") or "evaluator-report"), formats)
    except ValueError as error:
        sys.stderr.write(f"Error: {error}\n")
        return _OWNER
    with _obeying_nothing(on_github=on_github):
        code = subprocess.run(_command(environment, formats, folder), check=False).returncode
    if on_github:
        _tell_github(environment, formats, folder)
    return code


def _usual(*, on_github: bool) -> str:
    return f"{_USUAL} github markdown" if on_github else f"{_USUAL} gitlab"


def _formats(said: str) -> list[str]:
    """The formats that were asked for; `json` is always among them, for the outputs."""
    asked = said.replace(",", " ").split()
    if not set(asked) <= FILES.keys():
        raise ValueError(f"formats are some of: {' '.join(FILES)}.")
    return [name for name in FILES if name in {*asked, "json"}]


def _folder(folder: Path, formats: list[str]) -> Path:
    """A folder of reports without one of an earlier build, or a link to somewhere else."""
    if folder.is_symlink():
        raise ValueError("the folder of the reports is a link. Remove it, or name another.")
    folder.mkdir(parents=True, exist_ok=True)
    for name in formats:
        (folder / FILES[name]).unlink(missing_ok=True)
    return folder


def _command(environment: Mapping[str, str], formats: list[str], folder: Path) -> list[str]:
    """The arguments: a value is never taken for an option, whatever it begins with."""
    command = [sys.executable, "-I", "-m", "evaluator", "validate"]
    for name in OPTIONS:
        value = environment.get(f"VALIDATE_{name.upper().replace('-', '_')}")
        if value:
            command.append(f"--{name}={value}")
    command += [f"--report={name}={folder / FILES[name]}" for name in formats]
    return [*command, "--", environment.get("VALIDATE_SUBMISSION", "")]


@contextmanager
def _obeying_nothing(*, on_github: bool) -> Iterator[None]:
    """Until a word that nobody can guess, no line of the log is a workflow command."""
    word = secrets.token_hex(16)
    if on_github:
        _print(f"::stop-commands::{word}")
    try:
        yield
    finally:
        if on_github:
            _print(f"::{word}::")


def _tell_github(environment: Mapping[str, str], formats: list[str], folder: Path) -> None:
    """The annotations on standard output, the summary of the step, and its outputs."""
    written = {name: folder / FILES[name] for name in formats if (folder / FILES[name]).exists()}
    if "github" in written:
        _print(written["github"].read_text(encoding="utf-8").rstrip("\n"))
    if "markdown" in written:
        _append(environment.get("GITHUB_STEP_SUMMARY"), written["markdown"].read_text("utf-8"))
    said = json.loads(written["json"].read_bytes()) if "json" in written else {}
    outputs = {
        "verdict": said.get("result", ""),
        "digest": f"sha256:{said['submission']['sha256']}" if said else "",
        "sarif-file": str(written.get("sarif", "")),
        "junit-file": str(written.get("junit", "")),
    }
    lines = "".join(f"{name}={value}\n" for name, value in outputs.items())
    _append(environment.get("GITHUB_OUTPUT"), lines)


def _append(path: str | None, text: str) -> None:
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # before what a child prints


if __name__ == "__main__":
    sys.exit(main())

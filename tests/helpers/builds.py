"""Build machines, as far as our own files need them: what they substitute, run, read and obey.

    run_action(path, inputs, ...)    a composite action, as GitHub's runner does it
    run_job(path, inputs, ...)       a CI component, as GitLab's does it

Expressions are pasted into scripts before a shell reads them, as both do: that is the danger.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
_INPUT = re.compile(r"\$\[\[\s*inputs\.([\w-]+)\s*\]\]")
_KNOWN = {"error", "warning", "notice", "debug", "add-mask", "set-output", "set-env", "add-path"}
_KNOWN |= {"group", "endgroup", "stop-commands", "echo", "save-state", "add-matcher"}


@dataclass
class Build:
    """What came of it: `commands` are those that the log made the machine obey."""

    code: int = 0
    log: str = ""
    summary: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    commands: list[tuple[str, str]] = field(default_factory=list)


def run_action(
    action: Path, inputs: Mapping[str, str], work: Path, path: str, **more: str
) -> Build:
    """Run each step in a shell of its own, and stop at the first that fails.

    `more` is what else the machine has in its environment.
    """
    said = yaml.safe_load(action.read_text())
    values = {f"inputs.{name}": str(each.get("default", "")) for name, each in _inputs(said)}
    values |= {f"inputs.{name}": value for name, value in inputs.items()}
    files = {
        name: work.parent / f"{work.name}-{name}"
        for name in ("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
    }
    done = Build()
    for step in said["runs"]["steps"]:
        for file in files.values():
            file.touch()
        environment = {
            **{name: _substituted(value, values) for name, value in step.get("env", {}).items()},
            **{name: str(file) for name, file in files.items()},
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(action.parent),
            "RUNNER_TEMP": str(work.parent),
            "PATH": path,
            "HOME": str(work.parent),
            **more,
        }
        shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
        _run(done, shell, _substituted(step["run"], values), environment, work)
        path = ":".join([*reversed(files["GITHUB_PATH"].read_text().split()), path])
        files["GITHUB_PATH"].unlink()
        for name, value in _outputs(files["GITHUB_OUTPUT"].read_text()):
            values[f"steps.{step.get('id')}.outputs.{name}"] = value
        if done.code:
            break
    done.summary = files["GITHUB_STEP_SUMMARY"].read_text()
    done.outputs = {
        name: _substituted(each["value"], values) for name, each in said["outputs"].items()
    }
    done.commands = [*obeyed(done.log.splitlines())]
    return done


def run_job(template: Path, inputs: Mapping[str, str], work: Path, path: str) -> Build:
    """Run the script of the one job that a component has, in one shell."""
    head, body = yaml.safe_load_all(template.read_text())
    values = {name: str(each.get("default", "")) for name, each in head["spec"]["inputs"].items()}
    values |= inputs
    ((_, job),) = body.items()
    environment = {name: _filled(value, values) for name, value in job["variables"].items()}
    environment |= {"PATH": path, "CI": "true", "CI_BUILDS_DIR": str(work.parent)}
    script = "\n".join(_filled(line, values) for line in [*job["before_script"], *job["script"]])
    done = Build()
    _run(done, ("sh", "-e"), script, environment, work)
    return done


def obeyed(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """The workflow commands in a log: those that begin a line, and the older ones anywhere."""
    stopped = ""
    for line in lines:
        newer = re.match(r"\s*::([\w-]+)(?: [^:]*(?::(?!:)[^:]*)*)?::(.*)", line)
        older = re.search(r"##\[([\w-]+)[^\]]*\](.*)", line)
        name, data = (newer or older or re.match("()()", line) or ("", "")).groups()  # type: ignore[union-attr]
        if stopped:
            stopped = "" if name == stopped else stopped
        elif name == "stop-commands":
            stopped = data
        elif name in _KNOWN:
            yield name, data


def _inputs(said: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    found: dict[str, dict[str, Any]] = said["inputs"]
    return found.items()


def _substituted(text: str, values: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda found: values.get(found[1], ""), str(text))


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _INPUT.sub(lambda found: values[found[1]], str(text))


def _run(
    done: Build, shell: tuple[str, ...], script: str, environment: Mapping[str, str], work: Path
) -> None:
    file = work.parent / f"{work.name}-script"
    file.write_text(script)
    found = subprocess.run(
        [*shell, str(file)],
        cwd=work,
        env={"LANG": os.environ.get("LANG", "C.UTF-8"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    done.code = found.returncode
    done.log += found.stdout.decode()


def _outputs(text: str) -> Iterable[tuple[str, str]]:
    """Both forms that a file of outputs can have: a line, or lines up to a word."""
    lines = iter(text.splitlines())
    for line in lines:
        name, more, end = line.partition("<<")
        if more and "=" not in name:
            yield name, "\n".join(iter(lambda: next(lines), end))
        else:
            name, _, value = line.partition("=")
            yield name, value

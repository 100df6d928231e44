"""The action, the component and the hook run `validate`, and nothing that a workflow says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from evaluator.cli.main import cli
from evaluator.reports import FORMATS, ci
from tests.helpers.builds import obeyed, run_action, run_job

ROOT = Path(__file__).parents[3]
ACTION = ROOT / "action.yml"
COMPONENT = ROOT / "templates/validate/template.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"

# Stands for the command: it notes its arguments, prints what a vendor wrote, and reports.
STAND_IN = """
import json, pathlib, sys
here = pathlib.Path(__file__).parent
(here / "arguments.json").write_text(json.dumps(sys.argv[1:]))
print("::error::a vendor's own line")
print("what it says: ##[add-path]/tmp/evil", flush=True)
for argument in sys.argv[1:]:
    if argument.startswith("--report="):
        name, _, file = argument.removeprefix("--report=").partition("=")
        pathlib.Path(file).write_text((here / name).read_text())
sys.exit(int((here / "code").read_text()))
"""
REPORTS = {
    "json": '{"result": "FAILED", "submission": {"sha256": "abc"}}',
    "sarif": "{}",
    "junit": "<testsuite/>",
    "github": "::error title=EVA103 no-entry-point-set::it has none\nFAILED: 1 error.\n",
    "gitlab": "[]",
    "markdown": "### FAILED\n",
    "text": "FAILED\n",
}
HOSTILE = (
    "$(touch planted)",
    "`touch planted`",
    '"; touch planted; echo "',
    "'; touch planted; '",
    "a\ntouch planted\n",
    "x && touch planted",
    "--help",
    "-o planted",
    "a b  c",
    "${{ github.token }}",
    "*",
    "$PATH",
    "\\",
    "модель.onnx",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A build machine with an `evaluator` that only notes what it is asked."""

    work: Path
    package: Path

    @property
    def path(self) -> str:
        """Where the programs are."""
        return f"{self.package.parent / 'venv/bin'}:/usr/bin:/bin"

    @property
    def arguments(self) -> list[str]:
        """What it was asked."""
        found: list[str] = json.loads((self.package / "arguments.json").read_text())
        return found

    def ends(self, code: int) -> None:
        """Let it exit so."""
        (self.package / "code").write_text(str(code))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """The real step, and a stand-in for everything behind it."""
    work, package = tmp_path / "a project", tmp_path / "evaluator"
    (package / "reports").mkdir(parents=True)
    work.mkdir()
    for name, content in {"__init__.py": "", "__main__.py": STAND_IN, **REPORTS}.items():
        (package / name).write_text(content)
    (package / "reports/__init__.py").touch()
    shutil.copy(Path(ci.__file__), package / "reports/ci.py")
    venv.create(tmp_path / "venv", symlinks=True)
    (site,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (site / "stand_in.pth").write_text(str(tmp_path))
    made = Machine(work, package)
    made.ends(0)
    return made


def test_the_action_passes_on_what_it_was_given(machine: Machine) -> None:
    """Every input, each as one argument, and the submission after all options."""
    given = {
        "submission": "my model.onnx",
        "challenge": "challenge.json",
        "phase": "baseline",
        "recipe": "hyperparameters.json",
        "dockerfile": "docker/Dockerfile",
        "waivers": ".evaluatorignore.toml",
        "fail-on": "warning",
        "formats": "sarif, junit",
        "version": "installed",
    }
    machine.ends(1)

    done = run_action(ACTION, given, machine.work, machine.path)

    assert done.code == 1
    assert machine.arguments == [
        "validate",
        "--challenge=challenge.json",
        "--phase=baseline",
        "--recipe=hyperparameters.json",
        "--dockerfile=docker/Dockerfile",
        "--waivers=.evaluatorignore.toml",
        "--fail-on=warning",
        "--report=json=evaluator-report/report.json",
        "--report=sarif=evaluator-report/report.sarif",
        "--report=junit=evaluator-report/junit.xml",
        "--",
        "my model.onnx",
    ]
    assert done.outputs == {
        "verdict": "FAILED",
        "digest": "sha256:abc",
        "sarif-file": "evaluator-report/report.sarif",
        "junit-file": "evaluator-report/junit.xml",
    }


def test_the_action_annotates_and_sums_up(machine: Machine) -> None:
    """And what a submission prints makes the machine do nothing."""
    given = {"submission": "m.onnx", "version": "installed"}
    done = run_action(ACTION, given, machine.work, machine.path)

    assert (done.code, done.summary) == (0, "### FAILED\n")
    assert done.commands == [("error", "it has none")]
    inside = [line for line in done.log.splitlines() if "stop-commands" not in line]
    assert ("error", "a vendor's own line") in [*obeyed(inside)], "the control"
    assert ("add-path", "/tmp/evil") in [*obeyed(inside)], "the control"


def test_a_submission_that_could_not_be_tried_has_no_verdict(machine: Machine) -> None:
    """The exit code says why, and no report of an earlier build stays."""
    given = {"submission": "m.onnx", "version": "installed"}
    run_action(ACTION, given, machine.work, machine.path)
    (machine.package / "__main__.py").write_text("import sys; sys.exit(3)")

    done = run_action(ACTION, given, machine.work, machine.path)

    assert (done.code, done.outputs["verdict"], done.commands) == (3, "", [])
    assert not any((machine.work / "evaluator-report").iterdir())


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("kind", ["action", "component"])
def test_no_input_is_read_by_a_shell(machine: Machine, kind: str, word: str) -> None:
    """Each input in turn would do something, were it part of a script."""
    names = [name.replace("-", "_") for name in (*ci.OPTIONS, "submission")]
    given = {name.replace("_", "-"): word for name in names}
    given |= {"formats": "json", "version": "installed"}
    run, file = (run_action, ACTION) if kind == "action" else (run_job, COMPONENT)

    assert run(file, given, machine.work, machine.path).code == 0

    assert [each.name for each in machine.work.iterdir()] == ["evaluator-report"]
    values = [argument.partition("=")[2] for argument in machine.arguments[1:7]]
    assert (values, machine.arguments[-1]) == ([word] * 6, word)


@pytest.mark.parametrize("word", HOSTILE[:6])
def test_an_input_pasted_into_a_script_is_run(machine: Machine, tmp_path: Path, word: str) -> None:
    """The control: the same machines, and files that are written as one must not."""
    naive = "python3 -I -m evaluator validate "
    quote = "'" if word.startswith("'") else '"'
    action, component = tmp_path / "action.yml", tmp_path / "component.yml"
    said = yaml.safe_load(ACTION.read_text())
    said["runs"]["steps"][-1]["run"] = naive + quote + "${{ inputs.submission }}" + quote
    if word.startswith(("a\n", "x &&")):
        said["runs"]["steps"][-1]["run"] = naive + "${{ inputs.submission }}"
    action.write_text(yaml.safe_dump(said))
    given = {"submission": word, "version": "installed"}

    run_action(action, given, machine.work, machine.path)

    assert (machine.work / "planted").exists()
    (machine.work / "planted").unlink()
    head, body = yaml.safe_load_all(COMPONENT.read_text())
    script = said["runs"]["steps"][-1]["run"].replace("${{", "$[[").replace("}}", "]]")
    body["evaluator-validate"]["script"] = [script]
    component.write_text(yaml.safe_dump_all([head, body]))
    run_job(component, given, machine.work, machine.path)
    assert (machine.work / "planted").exists()


def test_no_expression_stands_in_a_script() -> None:
    """Not in ours, whatever is added to them."""
    for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert "uses" not in step or re.search(r"@[0-9a-f]{40}$", step["uses"])
    _, body = yaml.safe_load_all(COMPONENT.read_text())
    job = body["evaluator-validate"]
    assert "$[[" not in "".join([*job["before_script"], *job["script"]])


def test_the_component_leaves_what_gitlab_reads(machine: Machine) -> None:
    """JUnit and Code Quality, under the names that it declares as artifacts."""
    machine.ends(1)
    given = {"submission": "m.onnx", "version": "installed"}
    done = run_job(COMPONENT, given, machine.work, machine.path)

    assert done.code == 1
    _, body = yaml.safe_load_all(COMPONENT.read_text())
    for file in body["evaluator-validate"]["artifacts"]["reports"].values():
        assert (machine.work / file).is_file()


@pytest.mark.parametrize("formats", ["pdf", "sarif html", "../json"])
def test_an_unknown_format_is_refused(machine: Machine, formats: str) -> None:
    """Before anything runs; it would be part of the name of a file."""
    given = {"submission": "m", "version": "installed", "formats": formats}
    done = run_action(ACTION, given, machine.work, machine.path)

    assert done.code == 2
    assert not (machine.package / "arguments.json").exists()


def test_reports_do_not_leave_by_a_link(machine: Machine, tmp_path: Path) -> None:
    """A project can hold a link under the name of our folder, or of a file in it."""
    given = {"submission": "m", "version": "installed"}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "kept").write_text("kept")
    folder = machine.work / "evaluator-report"
    folder.symlink_to(tmp_path / "elsewhere")
    assert run_action(ACTION, given, machine.work, machine.path).code == 2

    folder.unlink()
    folder.mkdir()
    (folder / "report.json").symlink_to(tmp_path / "kept")
    assert run_action(ACTION, given, machine.work, machine.path).code == 0
    assert (tmp_path / "kept").read_text() == "kept"
    assert not any((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("version", ["0.1.0; id", "@ file:///x", "--index-url=x", "latest"])
def test_a_version_is_a_number(machine: Machine, version: str) -> None:
    """Nothing else reaches pip."""
    given = {"submission": "m", "version": version}
    done = run_action(ACTION, given, machine.work, machine.path)

    assert (done.code, "version is a number" in done.log) == (2, True)
    head, _ = yaml.safe_load_all(COMPONENT.read_text())
    allowed = head["spec"]["inputs"]["version"]["regex"]
    assert not re.search(allowed, version)
    assert re.search(allowed, "0.1.0")


def test_a_project_brings_no_module_of_ours(machine: Machine) -> None:
    """A checkout is the working directory, and holds whatever its author likes."""
    (machine.work / "evaluator.py").write_text("open('planted', 'w')")
    (machine.work / "json.py").write_text("open('planted', 'w')")
    given = {"submission": "m", "version": "installed"}

    assert run_action(ACTION, given, machine.work, machine.path).code == 0
    assert not (machine.work / "planted").exists()


def test_every_format_has_a_file() -> None:
    """And the step knows no other."""
    assert ci.FILES.keys() == FORMATS.keys()


def test_the_hook_runs_a_command_that_there_is() -> None:
    """The entry's words, as pre-commit splits them; the files that call for it."""
    (hook,) = yaml.safe_load(HOOKS.read_text())

    program, *words = shlex.split(hook["entry"])
    assert (program, hook["language"], hook["pass_filenames"]) == ("evaluator", "python", False)
    assert words[0] in cli.commands
    for name in ("model.onnx", "a/b.onnx", "Dockerfile", "a/.evaluatorignore.toml"):
        assert re.search(hook["files"], name)
    assert not re.search(hook["files"], "src/main.py")


def test_the_step_needs_nothing_but_python() -> None:
    """It is read by whatever `evaluator` is installed, and imports none of it."""
    text = Path(ci.__file__).read_text()
    imported = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert imported <= {*sys.stdlib_module_names}

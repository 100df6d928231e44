"""A build with the action, for real: good and bad submissions, and what the forge gets of each."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from junitparser import Failure, JUnitXml

from evaluator.challenge import Tiles, sample_challenge
from tests.helpers.builds import run_action

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.builds import Build

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("runner_image")]

ACTION = Path(__file__).parents[2] / "action.yml"
TILES = {"shape": (16, 16), "classes": ("barley", "corn", "wheat"), "rare": (), "holdout": 30}
PLANTED = "::error title=planted,file=x::planted"
COUNT = """
manifest=$(cat /input/manifest.json)
n=${manifest#*'"tiles":'}; n=${n%%[!0-9 ]*}; n=$((n))
"""
SPEAKS = f"""
echo '{PLANTED}'; echo 'and ##[add-path]/planted'; echo ']]></failure><testcase name="planted"/>'
printf '\\033[31m\\342\\200\\256red\\n| planted | `id` | <script> |\\n' >&2
"""
WRITES = 'head -c "$n" /dev/zero > /output/predictions\n'


@dataclass(frozen=True, slots=True)
class Reports:
    """What a build left: its end, and the rules that each report names."""

    build: Build
    folder: Path

    def read(self, name: str) -> str:
        """A report as text."""
        return (self.folder / name).read_text(encoding="utf-8")

    @property
    def json(self) -> Any:  # noqa: ANN401 - a document
        """The whole verdict."""
        return json.loads(self.read("report.json"))

    @property
    def sarif(self) -> list[tuple[str, str]]:
        """The rule and the level of each result."""
        (run,) = json.loads(self.read("report.sarif"))["runs"]
        return [(each["ruleId"], each["level"]) for each in run["results"]]

    @property
    def failed(self) -> set[str]:
        """The rules that JUnit's report has as failures."""
        (suite,) = JUnitXml.fromstring(self.read("junit.xml").encode())
        return {
            case.name.split()[0]
            for case in suite
            if any(isinstance(result, Failure) for result in case.result)
        }


@pytest.fixture
def built(tmp_path: Path) -> Callable[..., Reports]:
    """A function from a submission to a build with the action, in a checkout of its own."""
    work = tmp_path / "checkout"
    work.mkdir()
    sample = sample_challenge()
    tiles = Tiles.model_validate(sample.tiles.model_dump() | TILES | {"training": 0})
    challenge = sample.model_copy(update={"tiles": tiles})
    (work / "challenge.json").write_bytes(challenge.dump())
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"HOME", "XDG_CACHE_HOME", "DOCKER_HOST"}
    }

    def build(submission: str, content: bytes | None = None, **inputs: str) -> Reports:
        if content is not None:
            (work / submission).write_bytes(content)
        given = {"submission": submission, "challenge": "challenge.json", "version": "installed"}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = run_action(ACTION, given | inputs, work, path, **kept)
        return Reports(done, work / "evaluator-report")

    return build


def require_same(reports: Reports, code: int, *rules: str) -> None:
    """Every report says the same, and the machine was made to do nothing but annotate."""
    findings = [(each["rule"], each["severity"]) for each in reports.json["findings"]]
    broken = {rule for rule, severity in findings if severity == "error"}
    assert reports.build.code == code, reports.build.log
    assert broken == {*rules}, reports.build.log
    assert reports.sarif == findings
    assert reports.failed == {rule for rule, severity in findings if severity != "note"}
    words = {"error": "error", "warning": "warning", "note": "notice"}
    assert [name for name, _ in reports.build.commands] == [words[kind] for _, kind in findings]
    assert reports.build.outputs["verdict"] == reports.json["result"]
    assert (reports.json["result"] == "FAILED") == bool(rules)
    rows = [line for line in reports.build.summary.splitlines() if "[EVA" in line]
    assert len(rows) == len(findings)
    assert all(row.startswith("| ") and row.count("|") == 5 for row in rows)


def require_words(reports: Reports) -> None:
    """What the submission planted is nowhere but in words."""
    assert "\x1b" not in reports.build.log
    assert "\u202e" not in reports.build.log
    assert "planted" in reports.build.log
    assert not any(
        line.startswith(("::error title=planted", "| planted")) for line in _all(reports)
    )


def _all(reports: Reports) -> list[str]:
    return [*reports.build.log.splitlines(), *reports.build.summary.splitlines()]


def test_a_good_model_passes(
    built: Callable[..., Reports], save_model: Callable[..., Path]
) -> None:
    """No finding, no annotation, the digest of the file, and exit code 0."""
    reports = built("model.onnx", save_model().read_bytes())

    require_same(reports, 0)
    assert reports.build.outputs["digest"] == f"sha256:{reports.json['submission']['sha256']}"
    assert reports.json["answers"] == {"baseline": "OK"}


BAD_MODELS: dict[str, tuple[bytes | dict[str, Any], str]] = {
    "not ONNX": (b"\x7fELF" + bytes(1000), "EVA302"),
    "an unknown operator": ({"operator": "NoSuch"}, "EVA304"),
    "five outputs": ({"outputs": 5}, "EVA305"),
    "another input": ({"shape": ("N", 3, 224, 224)}, "EVA306"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_bad_model_fails(
    built: Callable[..., Reports], save_model: Callable[..., Path], name: str
) -> None:
    """By the rule that an official run would name, whatever the file is called."""
    given, rule = BAD_MODELS[name]
    path = save_model(given) if isinstance(given, bytes) else save_model(**given)
    reports = built(f"{PLANTED} $(id) `id` | <b>\n{PLANTED}.onnx", path.read_bytes())

    require_same(reports, 1, rule)
    require_words(reports)
    assert reports.json["answers"] == {"baseline": "REFUSED"}


BAD_IMAGES = {
    "a refused variable": (COUNT + WRITES, ("ENV LD_PRELOAD=/x.so",), "EVA105"),
    "an exit status": (SPEAKS + "exit 3\n", (), "EVA405"),
    "too few bytes": (SPEAKS + "echo > /output/predictions\n", (), "EVA412"),
    "an unknown class": (
        COUNT + SPEAKS + "yes | head -c $n > /output/predictions\n",
        (),
        "EVA414",
    ),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_fails(
    built: Callable[..., Reports], make_image: Callable[..., str], name: str
) -> None:
    """By its rule; what it prints is shown, and does nothing."""
    script, changes, rule = BAD_IMAGES[name]
    reports = built(make_image(script, *changes))

    require_same(reports, 1, rule)
    if SPEAKS in script:
        require_words(reports)


def test_labels_and_variables_stay_words(
    built: Callable[..., Reports], make_image: Callable[..., str]
) -> None:
    """A good image whose every word is a command to somebody."""
    said = json.dumps(f"{PLANTED} ]]></failure> $(id) `id` | x |")
    image = make_image(
        COUNT + SPEAKS + WRITES,
        f"LABEL planted={said}",
        f"ENV API_TOKEN={said}",
        f"VOLUME [{said}]",
    )
    reports = built(image, formats="sarif junit github markdown gitlab text")

    require_same(reports, 0)
    require_words(reports)
    assert {"EVA113"} <= {rule for rule, _ in reports.sarif}
    assert built(image, **{"fail-on": "warning"}).build.code == 1

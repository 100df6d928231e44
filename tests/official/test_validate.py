"""`evaluator validate`: what a vendor sees before the submission is handed in."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import sandbox
from evaluator.rootfs import cache
from tests.helpers.onnx_files import linear

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("runner_image")]

# Writes a 0 for each tile; `train` leaves a file that the next `predict` reads.
GOOD = """
case "$1" in
  train) echo learnt > /opt/ml/model/note ;;
  predict)
    echo "predicting with $(cat /opt/ml/model/note 2>/dev/null || echo nothing)"
    n=$(tr -d ' \\n' < /input/manifest.json | tr ',{}' '\\n\\n\\n' | while read line; do
      case "$line" in '"tiles":'*) echo "${line#*:}" ;; esac; done)
    head -c "$n" /dev/zero > /output/predictions ;;
esac
"""


@pytest.fixture
def challenge(workspace: Path, command: Callable[..., Any], tmp_path: Path) -> Path:
    """The challenge of the workspace: 30 tiles of 16x16 on either side, three classes."""
    path = tmp_path / "challenge.json"
    ended = command("challenge", "--workspace", workspace, "--output", path)
    assert ended.code == 0, ended.stderr
    return path


@pytest.fixture
def validate(
    challenge: Path, command: Callable[..., Any], traces: Callable[[], list[str]]
) -> Callable[..., Any]:
    """Validate a submission; nothing is left of it in the engine or the cache."""

    def run(submission: object, *options: object) -> Any:  # noqa: ANN401 - the fixture's Ended
        ended = command("validate", submission, "--challenge", challenge, *options)
        assert "Traceback" not in ended.stderr
        assert traces() == []
        assert list((cache() / "rehearsals").iterdir()) == []
        return ended

    return run


def told(ended: Any) -> tuple[dict[str, str], set[str]]:  # noqa: ANN401 - as above
    """What an official run would answer, and the rules that are broken."""
    document = json.loads(ended.stdout)
    return document["answers"], {found["rule"] for found in document["findings"]}


def with_policy(challenge: Path, **values: object) -> None:
    """Change values of the challenge's sandbox policy, as its owner would."""
    document = json.loads(challenge.read_text())
    policy = document["policies"]["sandbox"]
    lines = policy["text"].splitlines()
    for name, value in values.items():
        lines = [f"{name} = {value}" if line.startswith(f"{name} =") else line for line in lines]
    policy["text"] = "\n".join(lines) + "\n"
    policy["sha256"] = hashlib.sha256(policy["text"].encode()).hexdigest()
    challenge.write_text(json.dumps(document))


def test_a_good_model_passes_both_phases(validate: Callable[..., Any], tmp_path: Path) -> None:
    """With times, memory and charge on the owner's tiles, and every report whole."""
    model = tmp_path / "model.onnx"
    model.write_bytes(linear().SerializeToString())
    reports = {name: tmp_path / name for name in ("sarif", "junit", "markdown", "gitlab")}
    options = [word for name, path in reports.items() for word in ("--report", f"{name}={path}")]
    facts = tmp_path / "facts.json"
    ended = validate(model, "--format", "json", "--facts-out", facts, *options)

    answers, _ = told(ended)
    assert ended.code == 0, ended.stdout
    assert answers == {"baseline": "OK", "tuned": "OK"}
    assert all(path.stat().st_size for path in reports.values())
    seen = json.loads(facts.read_text())
    predicted = [step["tiles"] for step in seen["steps"] if step["verb"] == "predict"]
    assert {30, 8} <= set(predicted)
    assert all(each["seconds"] > 0 for each in seen["estimates"])
    assert all(each["peak_memory"] > 0 for each in seen["estimates"])


@pytest.mark.gvisor
def test_a_rehearsal_runs_under_the_owners_runtime(
    validate: Callable[..., Any], challenge: Path, make_image: Callable[..., str]
) -> None:
    """GVisor says that it is another kernel; what it runs is heard there too."""
    with_policy(challenge, runtime='"runsc"')
    ended = validate(make_image(f"cat /proc/version; {GOOD}"), "--verbose", "--format", "json")

    assert told(ended)[0] == {"baseline": "OK", "tuned": "OK"}
    assert "Linux version 4.4.0" in ended.stderr
    assert "--runtime runsc" in ended.stderr


def test_a_good_container_passes_and_is_heard(
    validate: Callable[..., Any], make_image: Callable[..., str]
) -> None:
    """Its own words are shown, in full where they are asked for, with the line that repeats it."""
    ended = validate(make_image(GOOD), "--verbose")

    assert ended.code == 0, ended.stdout
    assert "predicting with nothing" in ended.stderr
    assert "predicting with learnt" in ended.stderr
    assert "docker run --rm" in ended.stderr
    assert "baseline OK, tuned OK" in ended.stdout


def test_a_tag_is_a_name_here(validate: Callable[..., Any], make_image: Callable[..., str]) -> None:
    """On a vendor's own machine; an official run takes none."""
    image, tag = make_image(GOOD), "submission-evaluator-test:latest"
    client = sandbox.connect()
    client.tag(image, tag)
    try:
        ended = validate(tag, "--phase", "baseline", "--format", "json")
    finally:
        client.remove_image(tag)

    assert told(ended)[0] == {"baseline": "OK"}


FAILING = {
    "no verb train": ('[ "$1" = predict ] || exit 2\n' + GOOD, {"tuned": "NONZERO_EXIT"}, "EVA404"),
    "exit status": ("echo reason >&2; exit 7", {"baseline": "NONZERO_EXIT"}, "EVA405"),
    "too short": ("printf 0 > /output/predictions", {"baseline": "OUTPUT_INVALID"}, "EVA412"),
    "nothing": ("true", {"baseline": "OUTPUT_MISSING"}, "EVA411"),
    "too long": (
        "head -c 4000 /dev/zero > /output/predictions",
        {"baseline": "OUTPUT_INVALID"},
        "EVA413",
    ),
    "no class": (
        GOOD.replace("head -c", "tr '\\0' 9 < /dev/zero | head -c").replace(" /dev/zero >", " >"),
        {"baseline": "OUTPUT_INVALID"},
        "EVA414",
    ),
    "out of memory": (
        "head -c 60000000 /dev/zero > /tmp/a; tail=$(cat /dev/zero | tr '\\0' x)",
        {"baseline": "OUT_OF_MEMORY"},
        "EVA408",
    ),
    "out of time": ("sleep 60", {"baseline": "TIMEOUT"}, "EVA407"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_each_failure_has_its_answer_and_its_rule(
    validate: Callable[..., Any], make_image: Callable[..., str], challenge: Path, kind: str
) -> None:
    """The status of an official run, and a finding that says what to do."""
    script, answers, rule = FAILING[kind]
    with_policy(challenge, predict_seconds=4, train_seconds=4)
    document = json.loads(challenge.read_text())
    document["resources"]["memory_bytes"] = 512 * 2**20
    challenge.write_text(json.dumps(document))
    phase = "both" if "tuned" in answers else "baseline"
    ended = validate(make_image(script), "--phase", phase, "--format", "json")

    said, rules = told(ended)
    assert answers.items() <= said.items(), ended.stdout
    assert rule in rules


def test_a_refused_image_is_refused_by_the_same_rule(
    validate: Callable[..., Any], make_image: Callable[..., str]
) -> None:
    """Without an entry point none of it runs."""
    ended = validate(make_image(GOOD, entrypoint=""), "--format", "json")

    assert ended.code == 1
    assert told(ended)[0] == {"baseline": "REFUSED"}
    assert "EVA103" in told(ended)[1]
    assert validate(make_image(GOOD, entrypoint=""), "--exit-zero").code == 0


def test_a_refused_model_is_refused_by_the_same_rule(
    validate: Callable[..., Any], save_model: Callable[..., Path]
) -> None:
    """And the sentence is that of the intake."""
    ended = validate(save_model(shape=("N", 8, 8)), "--format", "json")

    assert ended.code == 1
    assert told(ended) == ({"baseline": "REFUSED"}, {"EVA306"})


def test_without_a_challenge_a_sample_stands_in(
    command: Callable[..., Any], save_model: Callable[..., Path]
) -> None:
    """The use case's tiles are 64x64, so this model does not fit them."""
    ended = command("validate", save_model(), "--format", "json")

    assert (ended.code, told(ended)[1]) == (1, {"EVA306"})
    assert "No --challenge" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_however_it_ends_nothing_is_left(
    validate: Callable[..., Any],
    make_image: Callable[..., str],
    challenge: Path,
    traces: Callable[[], list[str]],
    number: signal.Signals,
) -> None:
    """Ctrl-C cleans up behind itself; behind SIGKILL the next one does."""
    words = ["validate", make_image("sleep 60"), "--challenge", str(challenge)]
    process = subprocess.Popen(
        [sys.executable, "-m", "evaluator", *words], stderr=subprocess.PIPE, env={**os.environ}
    )
    client = sandbox.connect()
    deadline = time.monotonic() + 60
    while not client.containers(filters={"label": "evaluator.verb=predict"}):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    process.communicate(timeout=60)

    if number is signal.SIGINT:
        assert process.returncode == 130
        assert traces() == []
        assert list((cache() / "rehearsals").iterdir()) == []
    else:
        assert traces() != []  # the control
        validate(make_image("exit 1"), "--phase", "baseline")

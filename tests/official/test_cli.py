"""The command line as its users meet it: exit codes, sentences, documents."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

import evaluator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def refused(command: Callable[..., Any]) -> Callable[..., str]:
    """Run a command that must fail with this code and say one clear thing."""

    def check(code: int, *arguments: object, **environment: str) -> str:
        ended = command(*arguments, **environment)
        assert (ended.code, ended.stdout) == (code, "")
        assert "Traceback" not in ended.stderr
        message: str = ended.stderr
        return message

    return check


def test_version_and_help_answer(command: Callable[..., Any]) -> None:
    """With exit codes in the help."""
    assert evaluator.__version__ in command("--version").stdout
    assert "130  interrupted" in command("--help").stdout
    assert command("run", "-h").code == 0


@pytest.mark.parametrize(
    "arguments",
    [("nope",), ("run",), ("run", "x.onnx"), ("data", "import"), ("verify", "/gone.json")],
)
def test_a_wrong_command_line_is_the_operators_fault(
    refused: Callable[..., str], arguments: tuple[str, ...]
) -> None:
    """Exit 2, and how it is used."""
    assert "Usage:" in refused(2, *arguments)


@pytest.mark.parametrize("share", ["0", "0.0", "1.0", "1.5", "-3", "many"])
def test_a_holdout_is_a_number_or_a_share(
    refused: Callable[..., str], workspace: Path, share: str
) -> None:
    """Anything else is told what it must be."""
    message = refused(
        2, "data", "import", workspace, f"--holdout={share}", "--workspace", workspace
    )

    assert "Invalid value for '--holdout'" in message


def test_a_place_without_workspace_is_named(refused: Callable[..., str], tmp_path: Path) -> None:
    """And how to make one."""
    (tmp_path / "m.onnx").touch()
    message = refused(2, "run", tmp_path / "m.onnx", "--vendor", "a", "--workspace", tmp_path)

    assert "evaluator init DIR" in message


@pytest.mark.parametrize(
    ("submission", "words"),
    [
        ("/gone/model.onnx", "There is no such file"),
        ("image:latest", "A tag can move"),
        ("ubuntu", "A tag can move"),
        ("/etc", "where it is an OCI image layout"),
        ("--privileged", "No such option"),
        ("a\nb", "There is no such file"),
    ],
)
def test_what_is_no_submission_is_told_what_is_one(
    refused: Callable[..., str], workspace: Path, submission: str, words: str
) -> None:
    """Exit 2."""
    assert words in refused(2, "run", submission, "--vendor", "a", "--workspace", workspace)


@pytest.mark.parametrize("vendor", ["", "../../etc", "Acme", "a b", "-x", "a" * 64])
def test_a_vendors_name_becomes_a_directory_only_if_it_is_plain(
    refused: Callable[..., str], workspace: Path, save_model: Callable[..., Path], vendor: str
) -> None:
    """Exit 2."""
    message = refused(2, "run", save_model(), f"--vendor={vendor}", "--workspace", workspace)

    assert "A vendor's name is" in message


def test_a_closed_window_runs_nothing(
    refused: Callable[..., str], workspace: Path, save_model: Callable[..., Path]
) -> None:
    """With its dates."""
    path = workspace / "evaluator.toml"
    path.write_text(re.sub("opens = .*", "opens = 2001-01-01", path.read_text()))
    path.write_text(re.sub("closes = .*", "closes = 2001-02-01", path.read_text()))
    message = refused(2, "run", save_model(), "--vendor", "a", "--workspace", workspace)

    assert "2001-01-01 to 2001-02-01" in message


@pytest.mark.docker
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("gpus", 99, "asks for 99 GPUs"),
        ("cpus", 10_000.0, "this host has"),
        ("mystery", 1, "mystery"),
        ("memory_bytes", 100_000_000, "together exceed half of it"),
    ],
)
def test_a_setting_that_cannot_be_had_is_named(
    refused: Callable[..., str],
    workspace: Path,
    save_model: Callable[..., Path],
    name: str,
    value: float,
    words: str,
) -> None:
    """More than the host has, or unknown."""
    path = workspace / "evaluator.toml"
    text = re.sub(f"(?m)^{name} = .*\n", "", path.read_text())
    path.write_text(text.replace("[resources]\n", f"[resources]\n{name} = {value}\n"))
    message = refused(2, "run", save_model(), "--vendor", "a", "--workspace", workspace)

    assert words in message


@pytest.mark.docker
@pytest.mark.parametrize(
    ("setting", "words"),
    [({"runtime": "kata"}, "runtime must be one of"), ({"accuracy_steps": 7}, "exact decimals")],
)
def test_a_policy_that_cannot_be_followed_is_the_operators(
    refused: Callable[..., str],
    workspace: Path,
    set_limit: Callable[..., None],
    save_model: Callable[..., Path],
    setting: dict[str, object],
    words: str,
) -> None:
    """Exit 2, before the submission is touched."""
    set_limit(**setting)

    assert words in refused(2, "run", save_model(), "--vendor", "a", "--workspace", workspace)


def test_no_engine_is_the_hosts_fault(
    refused: Callable[..., str], workspace: Path, save_model: Callable[..., Path]
) -> None:
    """Exit 3, and how to get one."""
    message = refused(
        3,
        *("run", save_model(), "--vendor", "a", "--workspace", workspace),
        DOCKER_HOST="unix:///gone.sock",
    )

    assert "apt-get install docker.io" in message


@pytest.mark.docker
def test_a_gpu_under_gvisor_runs_nothing(
    refused: Callable[..., str],
    workspace: Path,
    set_limit: Callable[..., None],
    save_model: Callable[..., Path],
) -> None:
    """It would be dropped in silence, and a CPU's result signed as a GPU's."""
    set_limit(runtime="runsc", gpus=1, gpu_devices=["vendor.example/gpu=0"])
    message = refused(2, "run", save_model(), "--vendor", "a", "--workspace", workspace)

    assert "under runc only" in message


@pytest.mark.docker
def test_a_changed_or_missing_file_of_the_dataset_stops_the_run(
    refused: Callable[..., str], workspace: Path, save_model: Callable[..., Path]
) -> None:
    """A tile changed, then the labels gone: the file is named, exit 2, no result."""
    tiles = workspace / "data" / "1" / "holdout" / "tiles" / "tiles.npy"
    tiles.chmod(0o600)
    content = bytearray(tiles.read_bytes())
    content[-1] ^= 1
    tiles.write_bytes(content)
    arguments = ("run", save_model(), "--vendor", "a", "--workspace", workspace)
    changed = refused(2, *arguments)
    (workspace / "data" / "1" / "holdout" / "labels" / "labels.npy").unlink()
    missing = refused(2, *arguments)

    assert "tiles.npy has changed since version 1 was sealed" in changed
    assert "labels.npy is missing" in missing
    assert not list((workspace / "results").rglob("*.json"))
    assert not list((workspace / "private").rglob("*.json"))


@pytest.mark.docker
@pytest.mark.usefixtures("runner_image")
def test_a_signed_result_verifies_until_a_byte_changes(
    command: Callable[..., Any],
    refused: Callable[..., str],
    workspace: Path,
    save_model: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run from a relative workspace; verify says who signed; one byte later it says no."""
    monkeypatch.chdir(workspace.parent)
    ended = command("run", save_model(), "--vendor", "acme", "--workspace", workspace.name)
    assert ended.code == 0, ended.stderr
    assert "accuracy" in ended.stdout
    (result,) = (workspace / "results" / "acme").glob("*.sigstore.json")
    key = workspace / "keys" / "signing.pub"
    verified = command("verify", result, "--key", key)
    document = command("verify", result, "--workspace", workspace, "--json").document()
    content = bytearray(result.read_bytes())
    content[len(content) // 2] ^= 1
    result.write_bytes(content)

    assert verified.code == 0
    assert "signed exactly these bytes" in verified.stdout
    assert "cosign verify-blob-attestation" in verified.stdout
    assert (document["schemaVersion"], document["verified"]) == (1, True)
    assert "Step" in refused(4, "verify", result, "--key", key)


def test_verify_without_a_key_asks_whose_signature(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    """Exit 2."""
    (tmp_path / "r.json").write_text("{}")
    message = refused(2, "verify", tmp_path / "r.json", "--workspace", tmp_path)

    assert "--key" in message


def test_an_encrypted_key_opens_with_its_passphrase_only(
    command: Callable[..., Any], refused: Callable[..., str], tmp_path: Path
) -> None:
    """From a file; a wrong or missing one stops before anything runs."""
    (tmp_path / "right").write_text("correct horse\n")
    (tmp_path / "wrong").write_text("battery staple\n")
    (tmp_path / "m.onnx").touch()
    root = tmp_path / "farm"
    right = {"EVALUATOR_PASSPHRASE_FILE": str(tmp_path / "right")}
    assert command("init", root, **right).code == 0
    arguments = ("run", tmp_path / "m.onnx", "--vendor", "a", "--workspace", root)

    assert "encrypted" in refused(2, *arguments)
    assert "does not open" in refused(2, *arguments, "--passphrase-file", tmp_path / "wrong")
    assert "no dataset" in refused(2, *arguments, **right)


def test_every_problem_of_an_import_is_listed(
    refused: Callable[..., str], workspace: Path, tmp_path: Path
) -> None:
    """Three different ones, one run, nothing imported."""
    for name in ("barley", "corn", "wheat", "weeds"):
        (tmp_path / "bad" / name).mkdir(parents=True)
    (tmp_path / "bad" / "barley" / "a.png").write_bytes(b"no picture")
    (tmp_path / "bad" / "weeds" / "b.png").write_bytes(b"none either")
    message = refused(
        2, "data", "import", tmp_path / "bad", "--holdout", 1, "--workspace", workspace
    )

    assert {"a.png", "weeds", "corn", "wheat"} <= set(re.findall(r"[\w.]+", message))
    assert [p.name for p in (workspace / "data").iterdir() if p.name.isdigit()] == ["1"]


def test_aggregates_come_as_a_document(command: Callable[..., Any], workspace: Path) -> None:
    """Counts and shares, and no tile."""
    document = command("data", "show", "--json", "--workspace", workspace).document()

    assert document["schemaVersion"] == 1
    assert document["holdout"] == 30
    assert [row["name"] for row in document["classes"]] == ["barley", "corn", "wheat"]
    assert len(json.dumps(document)) < 2000


def test_debug_shows_where_an_error_came_from(command: Callable[..., Any], tmp_path: Path) -> None:
    """And nothing else does."""
    assert "Traceback" in command("--debug", "data", "show", "--workspace", tmp_path).stderr

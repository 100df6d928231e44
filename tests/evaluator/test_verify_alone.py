"""`python -m evaluator.verify` where only `cryptography` is installed, and `evaluator verify`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from evaluator.cli.verify import verify_command
from evaluator.trust import dump_trust
from evaluator.verify import main
from tests.helpers.logged import KEYID, ORIGIN, PUBLIC, Farm, golden, signed

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "tests" / "golden").glob("result-*.json"))
BARE = """
import runpy, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {*sys.stdlib_module_names, "evaluator", "cryptography"} | cffi:
            raise ImportError(f"{name} is not installed")

cffi = {"_cffi_backend", "cffi", "pycparser"}  # which cryptography brings
sys.meta_path.insert(0, Nothing())
if sys.argv[1] == "import":
    import importlib
    importlib.import_module(sys.argv[2])
else:
    runpy.run_module("evaluator.verify", run_name="__main__", alter_sys=True)
"""


def bare(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the module in an interpreter that finds nothing but `cryptography` and this package."""
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{BARE}"]
        + [str(each) for each in arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A result, its proof, the owner's trust file and public key, as a vendor has them."""
    farm = Farm()
    (tmp_path / "run.sigstore.json").write_bytes(farm.bundles[0])
    (tmp_path / "run.tlog-proof").write_bytes(farm.proof())
    (tmp_path / "trust.toml").write_bytes(dump_trust(farm.trust))
    (tmp_path / "signing.pub").write_bytes(PUBLIC)
    return tmp_path


def arguments(files: Path) -> list[str | Path]:
    """The whole command line."""
    proof, trust = files / "run.tlog-proof", files / "trust.toml"
    return [files / "run.sigstore.json", "--proof", proof, "--trust", trust]


def test_nothing_else_is_installed_there() -> None:
    """The control: what this program otherwise needs cannot be had in that interpreter."""
    for module in ("pydantic", "evaluator.result", "numpy"):
        assert "is not installed" in bare("import", module).stderr


def test_a_result_is_proven_by_cryptography_alone(files: Path) -> None:
    """Who signed, that it adds up, where the log has it, who saw it when, and what is not said."""
    done = bare(*arguments(files))

    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        f"{KEYID} signed exactly these bytes",
        "macro recall 84.67 %",
        f"The log {ORIGIN} has it as entry 9, counted from 0, of 10, under root ",
        "Witness w0.example had seen that log on 2026-11-23 01:00:00 UTC.",
        "Its key was valid on 2026-11-23 01:00:00 UTC, when its witnesses had seen it.",
        "openssl dgst -sha256 -verify",
        "cosign verify-blob-attestation",
        "oras attach",
        "jq -cSj .dsseEnvelope",
    ):
        assert words in done.stdout
    assert done.stdout.count("Not proven") == 1
    assert "Not proven: that it was not withdrawn since" in done.stdout


def test_what_is_not_proven_is_said(files: Path) -> None:
    """By a key alone neither place nor time; without a witness neither is beyond the owner."""
    alone = bare(files / "run.sigstore.json", "--key", files / "signing.pub").stdout

    assert alone.count("Not proven") == 3
    assert "Not proven: that the log has it" in alone
    assert "Not proven: that the key was valid" in alone
    farm = Farm([(files / "run.sigstore.json").read_bytes()])
    unwatched = replace(farm.trust, witnesses=(), quorum=0)
    (files / "trust.toml").write_bytes(dump_trust(unwatched))
    (files / "run.tlog-proof").write_bytes(farm.proof(seen=()))
    unseen = bare(*arguments(files)).stdout
    assert "Not proven: that everyone sees this same log" in unseen
    assert "Not proven: the time that it states" in unseen


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_result_is_told(
    files: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scored or not, with class sizes or without."""
    (files / "run.sigstore.json").write_bytes(signed(golden(f"{name}.json")))

    code = main([str(files / "run.sigstore.json"), "--key", str(files / "signing.pub")])

    assert code == 0
    assert "signed exactly these bytes" in capsys.readouterr().out


def test_altered_files_are_refused_with_exit_4(files: Path) -> None:
    """In one line, without a traceback."""
    for name in ("run.sigstore.json", "run.tlog-proof"):
        raw = (files / name).read_bytes()
        (files / name).write_bytes(raw[:-20] + bytes([raw[-20] ^ 1]) + raw[-19:])
        done = bare(*arguments(files))
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.startswith("Error: Step ")
        assert done.stderr.count("\n") == 1
        (files / name).write_bytes(raw)


@pytest.mark.parametrize("name", ["trust.toml", "run.sigstore.json"])
def test_missing_files_are_the_users(files: Path, name: str) -> None:
    """Exit 2, as for any wrong use."""
    (files / name).unlink()

    done = bare(*arguments(files))

    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be read" in done.stderr
    assert bare(files / "run.sigstore.json").returncode == 2


def command(*arguments: str | Path) -> tuple[int, str]:
    """Run `evaluator verify`; return the type of its error or 0, and what it prints."""
    done = CliRunner().invoke(verify_command, [str(each) for each in arguments])
    return done.exit_code, done.stdout


def test_the_command_prints_the_same_sentences(files: Path) -> None:
    """Below its table of figures, to the last line."""
    code, printed = command(*arguments(files))

    alone = bare(*arguments(files)).stdout
    assert code == 0
    assert printed.endswith(alone)
    assert "recall, pea (rare)" in printed
    assert command(*arguments(files), "--key", files / "signing.pub")[0] == 2


def test_the_command_prints_one_document(files: Path) -> None:
    """With what was proven, and the statement."""
    code, printed = command(*arguments(files), "--json")

    document = json.loads(printed)
    assert code == 0
    assert (document["schemaVersion"], document["verified"], document["keyid"]) == (1, True, KEYID)
    assert (document["log"]["index"], document["log"]["size"]) == (9, 10)
    assert document["log"]["witnesses"] == [{"name": "w0.example", "time": "2026-11-23T01:00:00Z"}]
    assert document["key_time_is_of_witnesses"]
    assert document["statement"] == golden()


@pytest.mark.interop
def test_the_printed_leaf_is_that_of_jq(files: Path) -> None:
    """The line that is printed gives the hash that is printed, in any POSIX shell."""
    lines = bare(*arguments(files)).stdout.splitlines()
    (line,) = [each for each in lines if "sha256sum" in each]
    (said,) = [each for each in lines if "the log's leaf" in each]

    shown = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout

    assert shown.split()[0] == said.split()[-1]


@pytest.mark.interop
def test_the_printed_lines_need_no_file_but_those_at_hand(files: Path) -> None:
    """The key comes from the trust file, and openssl says what we said; altered, it does not."""
    lines = bare(*arguments(files)).stdout.splitlines()
    start, stop = (
        next(index for index, line in enumerate(lines) if line.startswith(heading))
        for heading in ("# the owner's public key", "# cosign")
    )
    shell = ["sh", "-c", "\n".join(["set -e", *lines[start:stop]])]

    good = subprocess.run(shell, cwd=files, capture_output=True, text=True, check=True)
    assert "Verified OK" in good.stdout
    raw = (files / "run.sigstore.json").read_bytes()
    (files / "run.sigstore.json").write_bytes(raw.replace(b'"payload":"ey', b'"payload":"ez'))
    assert subprocess.run(shell, cwd=files, capture_output=True, check=False).returncode != 0

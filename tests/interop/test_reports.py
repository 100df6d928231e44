"""Reports are read by the programs that they are made for: SARIF's own validator, and cosign."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from evaluator.attest import PREDICATE_TYPE, attested
from evaluator.bundle import pae
from evaluator.lint.catalogue import RULES
from evaluator.reports import FORMATS
from evaluator.shell_lines import EMPTY_TRUSTED_ROOT
from evaluator.signing import generate_key, load_key
from tests.helpers.tools import interop_tools
from tests.helpers.verdicts import BAD, ERROR, GOOD, WAIVED, found, verdict

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.lint.verdict import Verdict

pytestmark = pytest.mark.interop

SUBMISSION = b"stands for model.onnx"
HOSTILE = verdict(
    found(ERROR, "]]>\n::error::x\x1b[31m <script> ${{ x }} \u202e", "config/Env/\n/2"),
    name="../it's; a \u202e model $(id).tar",
)
EVERY_RULE = verdict(*map(found, RULES.values()))


@pytest.fixture(scope="session")
def tools() -> Path:
    """The same as tests of signed results use."""
    return interop_tools()


def validated(report: dict[str, Any], tools: Path, folder: Path) -> list[tuple[str, str]]:
    """What Microsoft's multitool finds in a report: (rule, level) of each finding."""
    path, answer = folder / "report.sarif", folder / "answer.sarif"
    path.write_text(json.dumps(report))
    program = tools / "node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool"
    program.chmod(0o755)
    options = ("--rule-kind", "Sarif;Ghas", "--log", "ForceOverwrite")
    subprocess.run(
        [program, "validate", path, *options, "--output", answer],
        env={**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"},
        capture_output=True,
        check=False,
        timeout=120,
    )
    results = json.loads(answer.read_text(encoding="utf-8-sig"))["runs"][0].get("results", [])
    return [(each["ruleId"], each.get("level", "warning")) for each in results]


@pytest.mark.parametrize(
    "given",
    [GOOD, BAD, WAIVED, HOSTILE, EVERY_RULE],
    ids=["good", "bad", "waived", "hostile", "every rule"],
)
def test_the_validator_of_sarif_finds_nothing(given: Verdict, tools: Path, tmp_path: Path) -> None:
    """No error and no warning, by its own rules and by GitHub's.

    Its notes ask for snippets of source, which an image has none of, and for messages by id,
    which GitHub does not show.
    """
    assert validated(json.loads(FORMATS["sarif"](given)), tools, tmp_path) == []


def test_a_planted_fault_is_found(tools: Path, tmp_path: Path) -> None:
    """The control: a driver without a name."""
    report = json.loads(FORMATS["sarif"](BAD))
    del report["runs"][0]["tool"]["driver"]["name"]

    assert validated(report, tools, tmp_path) != []


def test_cosign_verifies_a_signed_verdict(tools: Path, tmp_path: Path) -> None:
    """With the vendor's public key and the submission; another submission is refused."""
    generate_key(tmp_path / "key.pem", tmp_path / "key.pub")
    given = verdict(found(), digest=hashlib.sha256(SUBMISSION).hexdigest())
    (tmp_path / "verdict.json").write_bytes(attested(given, load_key(tmp_path / "key.pem")))

    (tmp_path / "root.json").write_text(EMPTY_TRUSTED_ROOT)

    def verifies(blob: bytes) -> bool:
        (tmp_path / "blob").write_bytes(blob)
        command = (
            f"{tools}/bin/cosign verify-blob-attestation --key key.pub --bundle verdict.json "
            f"--type {PREDICATE_TYPE} --insecure-ignore-tlog=true --new-bundle-format "
            "--trusted-root root.json blob"
        )
        ended = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False)
        return ended.returncode == 0

    assert verifies(SUBMISSION)
    assert not verifies(SUBMISSION + b"!")


def test_openssl_verifies_a_signed_verdict(tmp_path: Path) -> None:
    """Over DSSE's encoding, and not with another result in it."""
    generate_key(tmp_path / "key.pem", tmp_path / "key.pub")
    envelope = json.loads(attested(BAD, load_key(tmp_path / "key.pem")))["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))

    def verifies(said: bytes) -> bool:
        (tmp_path / "pae").write_bytes(pae(said))
        command = "openssl dgst -sha256 -verify key.pub -signature sig pae"
        ended = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False)
        return ended.returncode == 0

    assert verifies(payload)
    assert not verifies(payload.replace(b"FAILED", b"PASSED"))

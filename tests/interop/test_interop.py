"""Results verify with tools that nobody here wrote, offline, and forgeries do not."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError as LibraryError
from securesystemslib.signer import SSlibKey

from evaluator.bundle import fingerprint, load_public_key, pae
from evaluator.shell_lines import commands
from evaluator.signing import generate_key, load_key, sign
from evaluator.verify import Verified, verify
from tests.helpers.tools import interop_tools

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]
MODEL = b"stands for model.onnx"
Verifier = Callable[["Signed", Path], bool]


@dataclass(frozen=True, slots=True)
class Signed:
    """A folder with result.json, signing.pub and the model.onnx that was evaluated."""

    folder: Path
    statement: dict[str, Any]

    @property
    def bundle(self) -> Path:
        """The signed result."""
        return self.folder / "result.json"

    @property
    def key(self) -> Path:
        """The public key that its reader trusts."""
        return self.folder / "signing.pub"

    def sign(self) -> None:
        """Sign the statement as it now is."""
        signer = load_key(self.folder / "signing.pem")
        self.bundle.write_bytes(sign(rfc8785.dumps(self.statement), signer))


@pytest.fixture(params=["p256", "ed25519"])
def signed(tmp_path: Path, request: pytest.FixtureRequest) -> Signed:
    """Sign a genuine result, by each kind of key, in a folder that a shell must have quoted."""
    folder = tmp_path / "it's a result"
    folder.mkdir()
    pem, public = folder / "signing.pem", folder / "signing.pub"
    if request.param == "p256":
        generate_key(pem, public)
    else:
        key = Ed25519PrivateKey.generate()
        pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pem.chmod(0o600)
        public.write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
    statement = json.loads((ROOT / "tests" / "golden" / "result-scored.json").read_text())
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(MODEL).hexdigest()
    (folder / "model.onnx").write_bytes(MODEL)
    result = Signed(folder, statement)
    result.sign()
    return result


@pytest.fixture(scope="session")
def tools() -> Path:
    """Fetch the foreign verifiers, once; a machine that cannot have them skips."""
    missing = [command for command in ("jq", "openssl") if shutil.which(command) is None]
    if missing:
        pytest.skip(f"install {' and '.join(missing)}")
    return interop_tools()


def run(signed: Signed, *command: str | Path, **environment: str) -> bool:
    """Whether a command says yes. A proxy where nobody listens keeps it from any network."""
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        command,
        cwd=signed.folder,
        env=os.environ | {"HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere} | environment,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def paste(signed: Signed, tools: Path, *headings: str) -> bool:
    """Whether the lines that `commands` prints below some headings say yes, pasted into a shell.

    They are printed for the result as it was signed, whatever became of the file since.
    """
    pem = signed.key.read_bytes()
    verified = Verified(signed.statement, b"", "", pem, bytes(32))
    shown, lines = commands(verified, signed.bundle, signed.key), ["set -eu"]
    below = ""
    for line in shown:
        below = line if line.startswith("# ") else below
        lines += [line] if below.startswith(headings) else []
    assert sum(line.startswith("# ") for line in lines) == len(headings)
    path = f"{tools / 'bin'}:{os.environ['PATH']}"
    return run(signed, "sh", "-c", "\n".join(lines), PATH=path)


def openssl(signed: Signed, tools: Path) -> bool:
    """Run the printed lines for openssl and jq."""
    return paste(signed, tools, "# openssl")


def cosign(signed: Signed, tools: Path) -> bool:
    """Run the printed lines for the cosign that Debian ships."""
    return paste(signed, tools, "# cosign before")


def node(signed: Signed, tools: Path) -> bool:
    """Run npm's own verifier."""
    program, modules = ROOT / "tests/interop/verify.cjs", str(tools / "node_modules")
    return run(signed, "node", program, signed.bundle, signed.key, NODE_PATH=modules)


def securesystemslib(signed: Signed, _: Path) -> bool:
    """Ask the library of python-tuf and in-toto, whose key has the name that the envelope says."""
    # It takes apart what it is given.
    document = deepcopy(json.loads(signed.bundle.read_bytes())["dsseEnvelope"])
    public = load_public_key(signed.key.read_bytes())
    key = SSlibKey.from_crypto(public, keyid=fingerprint(public))
    envelope = Envelope.from_dict(document)
    assert envelope.pae() == pae(envelope.payload)
    try:
        return [*envelope.verify([key], 1)] == [key.keyid]
    except LibraryError:
        return False


def script(signed: Signed, _: Path) -> bool:
    """Run docs/verify.sh with the submission."""
    return run(signed, "sh", ROOT / "docs/verify.sh", signed.bundle, signed.key, "model.onnx")


each_verifier = pytest.mark.parametrize(
    "verifier", [openssl, cosign, node, securesystemslib, script]
)


@each_verifier
def test_genuine_result_verifies_everywhere(
    signed: Signed, verifier: Verifier, tools: Path
) -> None:
    """The positive control of every test below, and the promise to auditors."""
    assert verify(signed.bundle.read_bytes(), signed.key.read_bytes())
    assert verifier(signed, tools)


@each_verifier
def test_altered_statement_is_rejected_everywhere(
    signed: Signed, verifier: Verifier, tools: Path
) -> None:
    """A better accuracy under the old signature."""
    altered = json.loads(signed.bundle.read_bytes())
    signed.statement["predicate"]["phases"]["baseline"]["accuracy"] = 0.85
    signed.sign()
    better = json.loads(signed.bundle.read_bytes())["dsseEnvelope"]["payload"]
    altered["dsseEnvelope"]["payload"] = better
    signed.bundle.write_text(json.dumps(altered))

    assert not verifier(signed, tools)


@each_verifier
def test_another_key_is_rejected_everywhere(
    signed: Signed, verifier: Verifier, tools: Path
) -> None:
    """A result that its forger signed with a key of his own."""
    (signed.folder / "signing.pem").rename(signed.folder / "old.pem")
    generate_key(signed.folder / "signing.pem", signed.folder / "forger.pub")
    signed.sign()

    assert not verifier(signed, tools)


@pytest.mark.parametrize("verifier", [cosign, script])
def test_another_submission_is_noticed(signed: Signed, verifier: Verifier, tools: Path) -> None:
    """Tools that are given the submission compare it with the subject."""
    (signed.folder / "model.onnx").write_bytes(b"another model")

    assert not verifier(signed, tools)


@pytest.mark.parametrize(
    ("figure", "value"), [("macro_recall", 0.8468), ("accuracy_interval", [0.8019, 0.8834])]
)
def test_script_recomputes_figures(signed: Signed, figure: str, value: object, tools: Path) -> None:
    """Signed by the right key, but not following from the other figures: jq finds it."""
    signed.statement["predicate"]["phases"]["baseline"][figure] = value
    signed.sign()

    assert openssl(signed, tools)
    assert not script(signed, tools)


def test_cosign_skips_a_signature_with_any_other_keyid(signed: Signed, tools: Path) -> None:
    """Why keyid is the SSH fingerprint: nothing else is wrong with this bundle."""
    document = json.loads(signed.bundle.read_bytes())
    document["dsseEnvelope"]["signatures"][0]["keyid"] = "5" * 64
    signed.bundle.write_text(json.dumps(document))

    assert not cosign(signed, tools)
    assert openssl(signed, tools)
    assert node(signed, tools)


def test_oras_puts_a_result_beside_its_image_and_finds_it(signed: Signed, tools: Path) -> None:
    """The printed lines, with a layout in a folder for a registry."""
    oras = f"{tools / 'bin' / 'oras'}"
    pushed = "push --oci-layout registry/image:v1 model.onnx:application/vnd.onnx"
    kind = "--artifact-type application/vnd.onnx"
    shell = f"{oras} {pushed} {kind} && {oras} resolve --oci-layout registry/image:v1"
    done = subprocess.run(
        ["sh", "-c", shell], cwd=signed.folder, capture_output=True, text=True, check=True
    )
    digest = done.stdout.split("sha256:")[-1].strip()
    signed.statement["subject"][0]["digest"]["sha256"] = digest
    signed.statement["predicate"]["submission"] = {"kind": "image", "digest_of": "manifest"}
    signed.sign()
    verified = verify(signed.bundle.read_bytes(), signed.key.read_bytes())
    shown = commands(verified, signed.bundle, signed.key)
    lines = "\n".join(shown[shown.index(next(line for line in shown if "# oras" in line)) :])
    layout = lines.replace("REGISTRY/NAME", f"'{signed.folder.parent}'/registry/image")
    for verb in ("attach", "discover", "pull"):
        layout = layout.replace(f"oras {verb}", f"oras {verb} --oci-layout")
    (signed.folder / "registry").rename(signed.folder.parent / "registry")
    (signed.folder / "elsewhere").mkdir()

    assert run(
        signed,
        "sh",
        "-c",
        f"set -eu; cd elsewhere\n{layout}",
        PATH=f"{tools / 'bin'}:{os.environ['PATH']}",
    )
    assert (signed.folder / "elsewhere" / "result.json").read_bytes() == signed.bundle.read_bytes()

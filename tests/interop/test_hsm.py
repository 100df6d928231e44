"""A key that no file holds: results signed by PKCS#11, here SoftHSM, verify like any other."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rfc8785
from securesystemslib.signer import HSMSigner

from evaluator.bundle import fingerprint, load_public_key
from evaluator.errors import OwnerError
from evaluator.signers import load_signer
from evaluator.signing import sign
from evaluator.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from securesystemslib.signer import Signer

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]
LABEL, PIN = "results", "1234"


def _module() -> Path | None:
    """Debian's library of SoftHSM, wherever its architecture has it."""
    found = sorted(Path("/usr/lib").glob("**/libsofthsm2.so"))
    return found[0] if found else None


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A token of its own with one P-256 key; PKCS#11 libraries are opened once a process."""
    module = _module()
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("install softhsm2")
    pkcs11 = pytest.importorskip("pkcs11")
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        patch.setenv("PYKCS11LIB", str(module))
        command = ["softhsm2-util", "--init-token", "--free", "--label", LABEL]
        subprocess.run([*command, "--pin", PIN, "--so-pin", "5678"], check=True)
        with (
            pkcs11.lib(str(module)).get_token(token_label=LABEL).open(rw=True, user_pin=PIN) as user
        ):
            curve = pkcs11.util.ec.encode_named_curve_parameters("secp256r1")
            parameters = user.create_domain_parameters(
                pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
            )
            parameters.generate_keypair(id=b"\x02", label="results", store=True)
        yield


@pytest.fixture
def public(token: None, tmp_path: Path) -> Path:  # noqa: ARG001 - it must be there
    """The public key, taken out of the token once."""
    uri, key = HSMSigner.import_(2, LABEL)
    assert uri == f"hsm:2?label={LABEL}"
    path = tmp_path / "signing.pub"
    path.write_text(key.keyval["public"])
    return path


def signer(public: Path, pin: str = PIN) -> Signer:
    """As `--signer` and `--public-key` give it."""
    return load_signer(f"hsm:2?label={LABEL}", public, lambda _: pin)


def test_a_token_signs_what_everyone_verifies(public: Path, tmp_path: Path) -> None:
    """By our own verification and by docs/verify.sh, which is openssl, under its fingerprint."""
    statement = json.loads((ROOT / "tests" / "golden" / "result-scored.json").read_text())
    bundle = tmp_path / "run.sigstore.json"

    bundle.write_bytes(sign(rfc8785.dumps(statement), signer(public)))

    verified = verify(bundle.read_bytes(), public.read_bytes())
    assert verified.keyid == fingerprint(load_public_key(public.read_bytes()))
    script: list[str | Path] = ["sh", ROOT / "docs" / "verify.sh", bundle, public]
    subprocess.run(script, capture_output=True, check=True)
    bundle.write_bytes(bundle.read_bytes().replace(b'"sig":"ME', b'"sig":"MF'))
    assert subprocess.run(script, capture_output=True, check=False).returncode == 4


def test_a_wrong_pin_is_said_before_anything_runs(public: Path) -> None:
    """Not when a run has ended and its result is to be signed."""
    with pytest.raises(OwnerError, match="PIN"):
        signer(public, "9999")

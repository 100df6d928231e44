"""A key that no file holds: results signed by PKCS#11, here SoftHSM, verify like any other."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rfc8785
from click.testing import CliRunner
from PIL import Image
from securesystemslib.signer import HSMSigner

from evaluator import journal
from evaluator.audit import audit
from evaluator.bundle import fingerprint, load_public_key
from evaluator.cli.keys import key
from evaluator.cli.log import trust
from evaluator.cli.options import open_signers
from evaluator.errors import OwnerError
from evaluator.journal import publish_log
from evaluator.keys import short_id
from evaluator.log.entries import read_log
from evaluator.log.note import parse_vkey
from evaluator.log.statements import KeyChange
from evaluator.log.store import LogReader
from evaluator.signers import load_signer
from evaluator.signing import load_key, sign
from evaluator.trust import load_trust
from evaluator.verify import verify
from tests.helpers.window import Farm, open_farm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

    from evaluator.log.entries import Entry
    from evaluator.signing import Signer

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]
LABEL, PIN = "results", "1234"


def _module() -> Path | None:
    """Debian's library of SoftHSM, wherever its architecture has it."""
    found = sorted(Path("/usr/lib").glob("**/libsofthsm2.so"))
    return found[0] if found else None


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A token of its own with two P-256 keys; PKCS#11 libraries are opened once a process."""
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
            for number in (b"\x02", b"\x03"):
                parameters.generate_keypair(id=number, label="results", store=True)
        yield


@pytest.fixture
def public(token: None, tmp_path: Path) -> Path:  # noqa: ARG001 - it must be there
    """The public key, taken out of the token once."""
    return export(2, tmp_path / "signing.pub")


def export(number: int, path: Path) -> Path:
    """Write a key's public half to `path`."""
    uri, key = HSMSigner.import_(number, LABEL)
    assert uri == f"hsm:{number}?label={LABEL}"
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


@dataclass
class Keyed:
    """A workspace of sixteen tiles, and what `evaluator key rotate` is told of it."""

    root: Path
    farm: Farm

    @property
    def keys(self) -> Path:
        """Where its keys are."""
        return self.farm.workspace.key.parent

    def rotate(self, *options: str | Path, pin: str = PIN) -> Result:
        """Change the key, with a token's PIN."""
        (self.root / "pin").write_text(f"{pin}\n")
        given = ("--workspace", self.farm.workspace.root, "--passphrase-file", self.root / "pin")
        return CliRunner().invoke(key, ["rotate", *map(str, (*given, *options))])

    def signed_by(self, uri: str | None) -> Farm:
        """The same, when that signs."""
        signers = open_signers(self.farm.workspace, self.root / "pin", uri, None)
        return Farm(self.farm.workspace, signers)

    def files(self) -> dict[Path, bytes]:
        """All of it."""
        found = self.farm.workspace.root.rglob("*")
        return {path: path.read_bytes() for path in found if path.is_file()}

    def log(self) -> list[Entry]:
        """Its log, each entry verified by the key that the log had introduced by then."""
        workspace = self.farm.workspace
        reader = LogReader(workspace.log, parse_vkey(workspace.log_vkey.read_text()))
        return [*read_log(reader.entries(0, reader.checkpoint.size))]


@pytest.fixture
def keyed(tmp_path: Path) -> Keyed:
    """A workspace as `evaluator init` leaves it, with tiles: its log is empty."""
    random = np.random.default_rng(3)
    for number in range(16):
        tile = tmp_path / "tiles" / ("barley", "corn")[number % 2] / f"{number}.png"
        tile.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(tile)
    return Keyed(tmp_path, open_farm(tmp_path, tmp_path / "tiles"))


def uri_of(number: int) -> str:
    """A key of the token, as --to and --signer name it."""
    return f"hsm:{number}?label={LABEL}"


def test_a_workspace_is_the_tokens_from_the_beginning_and_a_files_in_the_end(
    keyed: Keyed, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File to token on an empty log, a result, token to token, token to file: all verifies."""
    workspace, first = keyed.farm.workspace, keyed.farm.signers.result.public_key.keyid
    made = workspace.key.read_bytes()

    done = keyed.rotate("--to", uri_of(2), "--to-public-key", public)

    assert done.exit_code == 0, done.output
    assert not workspace.key.exists()
    assert workspace.public_key.read_bytes() == public.read_bytes()
    assert workspace.public_key.stat().st_mode & 0o777 == 0o644
    retired = workspace.retired_keys / short_id(first) / "signing.pem"
    assert retired.read_bytes() == made
    with pytest.raises(OwnerError, match=r"held elsewhere: .*--signer"):
        keyed.signed_by(None)

    farm = keyed.signed_by(uri_of(2))
    run = farm.finish(farm.submit())
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_now", lambda: tomorrow)
        publish_log(workspace, farm.signers)
    other = export(3, keyed.root / "other.pub")
    options = ("--signer", uri_of(2), "--to", uri_of(3), "--to-public-key", other)
    assert keyed.rotate(*options).exit_code == 0
    assert keyed.rotate("--signer", uri_of(3)).exit_code == 0

    second, third = (fingerprint(load_public_key(pem.read_bytes())) for pem in (public, other))
    last = load_key(workspace.key).public_key.keyid
    entries = keyed.log()
    changes = [each.keyid for each in entries if isinstance(each.statement, KeyChange)]
    assert changes == [first, first, second, second, third, third, last]
    assert {each.keyid for each in entries[3:-4]} == {second}  # rules, received, result
    exported = CliRunner().invoke(trust, ["export", "--workspace", str(workspace.root)])
    believed = load_trust(exported.stdout_bytes)
    assert [each.keyid for each in believed.keys] == [first, second, third, last]
    result = workspace.outbox("acme") / f"{run}.sigstore.json"
    proof = result.with_name(f"{run}.tlog-proof").read_bytes()
    assert verify(result.read_bytes(), believed, proof).keyid == second
    for each in entries:
        assert verify(each.bundle, believed).keyid == each.keyid
    assert audit(workspace, [], tomorrow).findings == ()
    keyed.signed_by(None).submit()  # by the file again
    assert audit(workspace, [], tomorrow).findings == ()


def test_a_wrong_pin_changes_no_key(keyed: Keyed, public: Path) -> None:
    """Neither the new key's, nor that of the old one."""
    to = ("--to", uri_of(2), "--to-public-key", public)
    before = keyed.files()

    assert "PIN" in str(keyed.rotate(*to, pin="9999").exception)
    assert keyed.files() == before
    assert keyed.rotate(*to).exit_code == 0
    before = keyed.files()
    assert "PIN" in str(keyed.rotate("--signer", uri_of(2), pin="9999").exception)
    assert keyed.files() == before
    assert keyed.rotate("--signer", uri_of(2)).exit_code == 0


def test_a_change_to_a_token_that_was_killed_is_completed(
    keyed: Keyed, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the PIN and nothing else; with a wrong one it can be tried again."""
    with monkeypatch.context() as patch:
        patch.setattr(journal, "key_changed", _killed)
        keyed.rotate("--to", uri_of(2), "--to-public-key", public)
    assert keyed.log() == []

    assert "PIN" in str(keyed.rotate(pin="9999").exception)
    assert keyed.rotate().exit_code == 0

    token = fingerprint(load_public_key(public.read_bytes()))
    first = keyed.farm.signers.result.public_key.keyid
    assert [each.keyid for each in keyed.log()] == [first, first, token]
    assert not keyed.farm.workspace.coming_key.exists()


def _killed(*_: object) -> None:
    raise KeyboardInterrupt

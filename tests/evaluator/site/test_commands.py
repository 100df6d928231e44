"""The commands on the pages, as a reader pastes them into a shell."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluator.bundle import bundle_of
from evaluator.log.note import NoteSigner
from evaluator.merkle import leaf_hash
from evaluator.site.render import render_site
from evaluator.trust import Trust, TrustedKey, dump_trust
from tests.helpers.synthetic import OPENS, ORIGIN, make

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.board.values import Row

pytestmark = pytest.mark.interop


@pytest.fixture
def reader(tmp_path: Path) -> tuple[Path, Row, bytes]:
    """A folder with what a reader has: the site, a result, trust.toml; the row and its entry."""
    missing = [command for command in ("jq", "openssl") if shutil.which(command) is None]
    if missing:
        pytest.skip(f"install {' and '.join(missing)}")
    log = make(results=4, vendors=2)
    board = log.board()
    row = board.all[0]
    entry = next(log.reader().entries(row.position, row.position + 1))
    (tmp_path / f"{row.run}.sigstore.json").write_bytes(bundle_of(entry))
    signer = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
    key = TrustedKey(log.keyid, log.keys[0], OPENS)
    (tmp_path / "trust.toml").write_bytes(dump_trust(Trust(signer.verifier, (key,))))
    render_site(board, None, tmp_path / "site")
    return tmp_path, row, entry


def commands(page: Path, label: str) -> str:
    """What stands in the box of this name."""
    found = re.search(rf'<pre[^>]*aria-label="{label}">(.*?)</pre>', page.read_text(), re.DOTALL)
    assert found
    return html.unescape(found[1])


def paste(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lines in a shell that stops at the first that fails."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_of_a_submission_verify_its_signature(
    reader: tuple[Path, Row, bytes],
) -> None:
    """With the key that the page on verification takes out of trust.toml; not another payload."""
    folder, row, _ = reader
    general = commands(folder / "site/verify.html", "Commands for openssl and jq")
    out = paste("\n".join(line for line in general.splitlines() if "trust.toml" in line), folder)
    assert out.returncode == 0, out.stderr
    page = folder / f"site/submissions/{row.run[:2]}/{row.run}.html"
    lines = commands(page, "Commands that verify this result").partition("alone\n")[2]

    out = paste(lines, folder)
    assert out.stdout.strip() == "Verified OK", out.stderr
    forged = lines.replace("| base64 -d > payload", "| base64 -d | tr 0 1 > payload")
    assert paste(forged, folder).returncode != 0


def test_the_general_commands_say_which_key_signed_and_what(
    reader: tuple[Path, Row, bytes],
) -> None:
    """RUN is to be replaced by the reader; the rest is as it stands."""
    folder, row, _ = reader
    text = commands(folder / "site/verify.html", "Commands for openssl and jq")

    out = paste(text.replace("RUN", row.run), folder)
    assert out.returncode == 0, out.stderr
    assert "Verified OK" in out.stdout
    assert f'"run": "{row.run}"' in out.stdout
    assert out.stdout.startswith("SHA256:")


def test_the_leaf_of_the_log_is_what_the_page_computes(reader: tuple[Path, Row, bytes]) -> None:
    """By jq and coreutils."""
    folder, row, entry = reader
    text = commands(folder / "site/verify.html", "Commands for the leaf of the log")

    out = paste(text.replace("RUN", row.run), folder)
    assert out.stdout.split()[0] == leaf_hash(entry).hex()

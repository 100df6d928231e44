"""A log of ours verifies with the Go project's packages, and a rewritten one does not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluator.log.cosigning import add_checkpoint_body
from evaluator.log.note import COSIGNATURE, NoteSigner
from evaluator.log.store import LogReader, create_log, open_log

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.interop

PROGRAM = Path(__file__).parent / "tlog"
PACKAGES = Path("/usr/share/gocode")  # where Debian has the sources of Go packages
SIZE, OLD, INDEX = 600, 300, 123

Check = tuple[str, ...]


@pytest.fixture(scope="session")
def tlog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the foreign verifier; a machine without Go or its packages skips."""
    if shutil.which("go") is None or not (PACKAGES / "src/golang.org/x/mod/sumdb").is_dir():
        pytest.skip("install golang-go and golang-golang-x-mod-dev")
    built = tmp_path_factory.mktemp("go") / "tlog"
    environment = {
        "GO111MODULE": "off",
        "GOPATH": str(PACKAGES),
        "GOCACHE": str(built.with_name("cache")),
        "GOTOOLCHAIN": "local",  # of later versions: fetch nothing
    }
    command = ["go", "build", "-o", str(built), "."]
    subprocess.run(command, cwd=PROGRAM, env=os.environ | environment, check=True)
    return built


@pytest.fixture(scope="session")
def signer() -> NoteSigner:
    """The log's key."""
    return NoteSigner("log.example/farm-3f2a", Ed25519PrivateKey.generate())


@pytest.fixture(scope="session")
def entries() -> list[bytes]:
    """What the log says, some of it long."""
    return [b"%d " % number * (number % 50 + 1) for number in range(SIZE)]


def write(folder: Path, signer: NoteSigner, entries: list[bytes]) -> None:
    """Write a log that grew, and beside it what its readers have: an old checkpoint and proofs."""
    create_log(folder / "log", signer)
    with open_log(folder / "log", signer) as log:
        log.append(entries[:OLD])
        (folder / "old").write_bytes(log.note)
        log.append(entries[OLD:])
        (folder / "proof").write_bytes(log.proof(INDEX))
        request = add_checkpoint_body(OLD, log.consistency(OLD), log.note)
    (folder / "request").write_bytes(request)
    (folder / "entry").write_bytes(entries[INDEX])


@pytest.fixture
def folder(tmp_path: Path, signer: NoteSigner, entries: list[bytes]) -> Path:
    """A genuine log."""
    write(tmp_path, signer, entries)
    return tmp_path


@pytest.fixture
def check(tlog: Path, folder: Path, signer: NoteSigner) -> Callable[[Check], bool]:
    """Whether the foreign verifier says yes; a crash of its own is no answer."""

    def run(named: Check) -> bool:
        what, *files = named
        done = subprocess.run(
            [tlog, what, str(signer.verifier), *files], cwd=folder, capture_output=True, check=False
        )
        assert done.returncode in {0, 1}, done.stderr
        return done.returncode == 0

    return run


INCLUSION = ("inclusion", "proof", "entry")
CONSISTENCY = ("consistency", "old", "request")
TILES = ("tiles", "log")
each_check = pytest.mark.parametrize("named", [INCLUSION, CONSISTENCY, TILES], ids=lambda n: n[0])


@each_check
def test_a_genuine_log_verifies(check: Callable[[Check], bool], named: Check) -> None:
    """The positive control of every test below."""
    assert check(named)


def test_a_cosigned_checkpoint_verifies(
    check: Callable[[Check], bool], folder: Path, signer: NoteSigner
) -> None:
    """A witness's line is in nobody's way who does not know the witness."""
    witness = NoteSigner("witness.example/w1", Ed25519PrivateKey.generate(), COSIGNATURE)
    with open_log(folder / "log", signer) as log:
        log.add_cosignatures([witness.line(log.checkpoint.text(), 1)])
        (folder / "proof").write_bytes(log.proof(INDEX))

    assert b"witness.example" in (folder / "proof").read_bytes()
    assert check(INCLUSION)
    assert check(TILES)


@pytest.mark.parametrize(
    ("named", "file"),
    [
        (INCLUSION, "proof"),
        (INCLUSION, "entry"),
        (CONSISTENCY, "old"),
        (CONSISTENCY, "request"),
        (TILES, "log/checkpoint"),
        (TILES, "log/tile/0/000"),
        (TILES, "log/tile/0/002.p/88"),
        (TILES, "log/tile/1/000.p/2"),
        (TILES, "log/tile/entries/000"),
        (TILES, "log/tile/entries/002.p/88"),
    ],
)
def test_an_altered_byte_is_rejected(
    check: Callable[[Check], bool], folder: Path, named: Check, file: str
) -> None:
    """Once near the beginning, once in the middle and once near the end, of every file."""
    genuine = (folder / file).read_bytes()
    for at in (len(genuine) // 10, len(genuine) // 2, len(genuine) * 9 // 10):
        altered = bytearray(genuine)
        altered[at] ^= 1
        (folder / file).write_bytes(altered)
        assert not check(named), at
    (folder / file).write_bytes(genuine)
    assert check(named)


def altered(entries: list[bytes]) -> list[bytes]:
    """The entry says something else."""
    return [*entries[:INDEX], b"altered", *entries[INDEX + 1 :]]


def dropped(entries: list[bytes]) -> list[bytes]:
    """The entry never was."""
    return [*entries[:INDEX], *entries[INDEX + 1 :], b"one more"]


@pytest.mark.parametrize("rewrite", [altered, dropped])
def test_a_rewritten_log_is_rejected(
    check: Callable[[Check], bool],
    folder: Path,
    tmp_path: Path,
    signer: NoteSigner,
    entries: list[bytes],
    rewrite: Callable[[list[bytes]], list[bytes]],
) -> None:
    """By whoever has the old checkpoint or the entry, though the log's own key signed all of it."""
    other = tmp_path / "other"
    other.mkdir()
    write(other, signer, rewrite(entries))
    for named, file in ((CONSISTENCY, "request"), (INCLUSION, "proof")):
        assert check(named)
        shutil.copy(other / file, folder / file)
        assert not check(named)
    shutil.copy(other / "old", folder / "old")
    assert check(CONSISTENCY)  # the rewritten log fits its own past: only the genuine one tells


def test_a_forked_log_is_rejected(
    check: Callable[[Check], bool],
    folder: Path,
    tmp_path: Path,
    signer: NoteSigner,
    entries: list[bytes],
) -> None:
    """Two logs with the same past, and a reader of one who is given the other's growth."""
    other = tmp_path / "other"
    other.mkdir()
    write(other, signer, [*entries[: OLD - 1], b"fork", *entries[OLD:]])
    shutil.copy(other / "request", folder / "request")

    assert not check(CONSISTENCY)


def test_another_key_is_rejected(folder: Path, signer: NoteSigner, tlog: Path) -> None:
    """A log that somebody else signed under its name."""
    forger = NoteSigner(signer.name, Ed25519PrivateKey.generate())
    text = LogReader(folder / "log", signer.verifier).checkpoint.text()
    assert forger.line(text) != signer.line(text)
    command = [str(tlog), "tiles", str(forger.verifier), str(folder / "log")]

    assert subprocess.run(command, capture_output=True, check=False).returncode == 1

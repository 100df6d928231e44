"""A log of three hundred entries, its key and a witness's."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluator.log.note import COSIGNATURE, NoteSigner
from evaluator.log.store import create_log, open_log

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = "log.example/farm-3f2a"


@pytest.fixture(scope="session")
def signer() -> NoteSigner:
    """The log's key."""
    return NoteSigner(ORIGIN, Ed25519PrivateKey.generate())


@pytest.fixture(scope="session")
def witness() -> NoteSigner:
    """A witness's key."""
    return NoteSigner("witness.example/w1", Ed25519PrivateKey.generate(), COSIGNATURE)


@pytest.fixture(scope="session")
def entries() -> list[bytes]:
    """Three hundred entries: a whole tile and a partial one of 44."""
    return [b"entry %d" % number for number in range(300)]


@pytest.fixture(scope="session")
def made(
    tmp_path_factory: pytest.TempPathFactory, signer: NoteSigner, entries: list[bytes]
) -> Path:
    """The log's folder, made once; not to be written to."""
    folder = tmp_path_factory.mktemp("made") / "log"
    create_log(folder, signer)
    with open_log(folder, signer) as log:
        log.append(entries)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of that log."""
    return shutil.copytree(made, tmp_path / "log")

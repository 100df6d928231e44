"""Tries of the rows about a model that is kept: what packing follows, what unpacking writes.

Our own image packs and unpacks, behind the wall of the run; the host has bytes. Archives as hostile
as these come from no holder of ours: they stand for what a hole in it could make.
"""

from __future__ import annotations

import gzip
import io
import secrets
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.attacks.forged_images import file, special, tar
from evaluator.attacks.probing import Tried, records_of
from evaluator.attacks.training_tries import Training, bench_folder
from evaluator.attacks.witness import Witness
from sandbox import Mount, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

SLIP = "evaluator-slipped"
MEMBERS = 70_000  # more than the volume may have
BOMB = 64 * 2**20  # bytes, more than the volume may hold
TEBIBYTE = 2**40
_SUCCEEDED = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hostile archive aims: a folder of the host's with a file `secret` in it."""

    folder: Path

    @property
    def secret(self) -> Path:
        """What nobody should read or change."""
        return self.folder / "secret"

    @property
    def slipped(self) -> Path:
        """What nobody should make."""
        return self.folder / SLIP


def place(bench: Bench) -> Place:
    """A new one."""
    found = Place(bench_folder(bench))
    found.secret.write_bytes(secrets.token_bytes(64))
    return found


def _sparse() -> bytes:
    """A member of a tebibyte of which a block is stored (GNU tar's format 1.0)."""
    headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "sparse",
        "GNU.sparse.realsize": str(TEBIBYTE),
    }
    content = f"1\n{TEBIBYTE - 512}\n512\n".encode().ljust(512, b"\0") + bytes(512)
    member, content = file("sparse", content)
    member.pax_headers = headers
    return tar([member_of_weights(), (member, content)])


def member_of_weights() -> tuple[tarfile.TarInfo, bytes]:
    """What an honest archive begins with: whoever unpacks has it, and shows that it does."""
    return file("weights", b"learnt")


def _many() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights"))
        for number in range(MEMBERS):
            archive.addfile(tarfile.TarInfo(f"many{number}"))
    return buffer.getvalue()


def _and(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return tar([member_of_weights(), *members])


ARCHIVES: dict[str, Callable[[Place], bytes]] = {
    "ft-archive-slip": lambda _: _and(file(f"../{SLIP}")),
    "ft-archive-absolute": lambda aim: _and(file(str(aim.slipped))),
    "ft-archive-link-write": lambda aim: _and(
        special("out", tarfile.SYMTYPE, str(aim.folder)), file(f"out/{SLIP}")
    ),
    "ft-archive-hardlink": lambda aim: _and(special("link", tarfile.LNKTYPE, str(aim.secret))),
    "ft-archive-device": lambda _: _and(special("device", tarfile.CHRTYPE)),
    "ft-archive-sparse": lambda _: _sparse(),
    "ft-archive-gzip": lambda _: gzip.compress(_and(file("bomb", bytes(BOMB)))),
    "ft-archive-names": lambda _: _and(file("n" * 5000)),
    "ft-archive-members": lambda _: _many(),
}


def unpacked(row: Attack, bench: Bench) -> Tried:
    """Stopped where the sandbox had the archive and the host's folder is as it was.

    A model that came out of it is the volume's: within its limits, and gone with the run.
    """
    aim = place(bench)
    before = aim.secret.read_bytes()
    kept = aim.folder / "kept.tar"
    kept.write_bytes(ARCHIVES[row.id](aim))
    kept.chmod(0o444)
    with Witness(bench_folder(bench), bench.host, bench.host6) as witness:
        run = Training.of(bench, witness)
        with run.held():
            ended = run.ours("restore", "write", inputs=(Mount(kept, "/input/archive"),))
            came = row.id == "ft-archive-gzip" or _came(run)
    touched = aim.slipped.exists() or aim.secret.stat().st_nlink > 1
    if touched or aim.secret.read_bytes() != before:
        return Tried(row, "succeeds")
    known = came and ended.status in {Status.OK, Status.NONZERO_EXIT}
    return Tried(row, "blocked" if known else "unknown")


def _came(run: Training) -> bool:
    """Whether what the archive begins with has come out: it was unpacked at all."""
    _, record = records_of(run.predict(["ft-archive-weights"]).output, 1)
    return bool(record) and record[0] == _SUCCEEDED


def packed(row: Attack, bench: Bench) -> Tried:
    """Stopped where the links of a model are packed as the links they are."""
    kept = bench_folder(bench) / "kept.tar"
    kept.touch(mode=0o600)
    with Witness(bench_folder(bench), bench.host, bench.host6) as witness:
        run = Training.of(bench, witness)
        with run.held():
            run.train([f"{row.id}-leave"])
            ended = run.ours("keep", "read", kept=kept)
        secret = (witness.folder / "labels.npy").read_bytes()
    if secret in kept.read_bytes():
        return Tried(row, "succeeds")
    with tarfile.open(kept, "r:") as archive:  # of our own probe's making
        links = {member.name: member.linkname for member in archive if member.issym()}
    whole = ended.status is Status.OK and links.get("./host") == str(witness.folder / "labels.npy")
    return Tried(row, "blocked" if whole else "unknown")


TRIES: dict[str, Callable[[Attack, Bench], Tried]] = {
    **dict.fromkeys(ARCHIVES, unpacked),
    "ft-link-keep": packed,
}

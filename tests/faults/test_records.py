"""A kill, an error or a broken disk at every step of writing what is left of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evaluator import record
from evaluator.bundle import encode, fingerprint, pae
from evaluator.errors import OwnerError
from evaluator.leak_ledger import Ledger, open_ledger
from evaluator.leakage import tenths
from evaluator.verify import verify
from evaluator.workspace import Workspace
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = "0123456789abcdef"
SIGNED, EXACT = b"signed" * 1000, b"exact" * 1000
MOST, TRUE = 81.5, 1.6  # bits


def write(workspace: Workspace) -> None:
    """What a run does around `evaluate`, with what `write_record` does at its end."""
    with open_ledger(workspace.ledger) as ledger:
        ledger.reserve(RUN, "acme", 1, MOST, 16_384)
    with open_ledger(workspace.ledger) as ledger:
        ledger.settle(RUN, TRUE)
        record._write_both(  # noqa: SLF001 - the part of it that a kill can cut in two
            (workspace.result("acme", RUN), SIGNED),
            (workspace.private(RUN), EXACT),
            lambda: ledger.release(RUN),
        )


def counted(monkeypatch: pytest.MonkeyPatch, at_step: Callable[[int], None]) -> None:
    """Call `at_step` with 1, 2, ... before each call that changes the disk."""
    steps = iter(range(1, 1000))

    def wrap(real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **more: object) -> object:
            at_step(next(steps))
            return real(*arguments, **more)

        return step

    for name in ("open", "fsync", "rename", "mkdir"):
        monkeypatch.setattr(os, name, wrap(getattr(os, name)))
    for name in ("reserve", "settle", "release"):
        monkeypatch.setattr(Ledger, name, wrap(getattr(Ledger, name)))


def number_of_steps(folder: Path) -> int:
    """How many there are."""
    seen: list[int] = []
    workspace = new_workspace(folder)
    with pytest.MonkeyPatch.context() as patch:
        counted(patch, seen.append)
        write(workspace)
    return len(seen)


def new_workspace(folder: Path) -> Workspace:
    """A directory to write into."""
    folder.mkdir()
    return Workspace(folder)


def documents(workspace: Workspace) -> list[bytes]:
    """The contents of every file that is there, but for the ledger."""
    files = (path for path in workspace.root.rglob("*") if path.is_file())
    return sorted(path.read_bytes() for path in files if path != workspace.ledger)


def account(workspace: Workspace) -> list[tuple[int, str]]:
    """Tenths of bits and state of each row."""
    with open_ledger(workspace.ledger) as ledger:
        return [(entry.tenths, entry.state) for entry in ledger.entries()]


NOTHING: tuple[list[bytes], list[tuple[int, str]]] = ([], [])
ALL = ([EXACT, SIGNED], [(16, "released")])


def test_a_kill_at_any_step_leaves_documents_and_bits_or_nothing(tmp_path: Path) -> None:
    """After the next run's sweep. Before it, no result stands without its bits in the ledger."""
    outcomes = []
    for killed_at in range(1, number_of_steps(tmp_path / "whole") + 1):
        workspace = new_workspace(tmp_path / str(killed_at))
        child = os.fork()
        if child == 0:

            def kill(step: int, wanted: int = killed_at) -> None:
                if step == wanted:
                    os.kill(os.getpid(), signal.SIGKILL)

            counted(pytest.MonkeyPatch(), kill)
            write(workspace)
            os._exit(1)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        released = list(workspace.root.glob("results/acme/[0-9a-f]*"))
        alone = list(workspace.root.glob("private/[0-9a-f]*"))
        assert not alone or released
        assert not released or account(workspace)[0][0] == 16
        for _ in range(2):  # a second sweep changes nothing
            record.finish_records(workspace)
            outcomes.append((documents(workspace), account(workspace)))

    assert NOTHING in outcomes
    assert ALL in outcomes
    assert all(outcome in (NOTHING, ALL) for outcome in outcomes)


def test_an_error_at_any_step_leaves_neither_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or Ctrl-C; the next run gives the bits back."""
    for failed_at in range(1, number_of_steps(tmp_path / "whole") + 1):
        workspace = new_workspace(tmp_path / str(failed_at))

        def fail(step: int, wanted: int = failed_at) -> None:
            if step == wanted:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            counted(patch, fail)
            with pytest.raises(KeyboardInterrupt):
                write(workspace)
        assert documents(workspace) == []
        record.finish_records(workspace)
        assert account(workspace) == []


@pytest.mark.parametrize(
    ("trouble", "budget", "left"),
    [(None, 100, [(815, "reserved")]), (KeyboardInterrupt, 100, []), (OwnerError, 81, [])],
)
def test_bits_are_held_while_a_run_lasts_and_given_back_when_it_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: type[BaseException] | None,
    budget: int,
    left: list[tuple[int, str]],
) -> None:
    """Held for `write_record` to settle; none are left of Ctrl-C, nor where they never fitted."""
    monkeypatch.setattr(record, "most_bits", lambda *_: MOST)
    workspace = Workspace(tmp_path)
    publish = SimpleNamespace(leakage_budget_bits=budget)
    issuer: Any = SimpleNamespace(workspace=workspace, publish=publish, vendor="acme")
    job: Any = SimpleNamespace(run=RUN, dataset=SimpleNamespace(version=1), policy=None)
    with pytest.raises(trouble) if trouble else nullcontext(), record.reserved(issuer, job):
        assert account(workspace) == [(815, "reserved")]
        if trouble:
            raise trouble

    assert account(workspace) == left


@pytest.fixture
def result(tmp_path: Path) -> Workspace:
    """A workspace whose one result was released, and whose ledger has been lost since."""
    workspace, key = new_workspace(tmp_path / "farm"), ec.generate_private_key(ec.SECP256R1())
    golden = Path(__file__).parents[1] / "golden" / "result-scored.json"
    payload = rfc8785.dumps(json.loads(golden.read_text()))
    signature = key.sign(pae(payload), ec.ECDSA(SHA256()))
    for path in (workspace.result("acme", RUN), workspace.public_key):
        path.parent.mkdir(parents=True)
    workspace.result("acme", RUN).write_bytes(
        encode(payload, signature, fingerprint(key.public_key()))
    )
    workspace.public_key.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return workspace


def test_a_lost_ledger_still_counts_what_was_released(result: Workspace) -> None:
    """The next run adds the result to a new one, by what it states of itself, and only once."""
    for _ in range(2):
        record.finish_records(result)

    stated = verify(
        result.result("acme", RUN).read_bytes(), result.public_key.read_bytes()
    ).result.predicate.leakage_bits.run
    assert account(result) == [(tenths(stated), "released")]


def test_a_result_that_does_not_verify_stops_the_next_run(result: Workspace) -> None:
    """Nor one under another's name: nobody can say what it carried; named, with what to do."""
    path = result.result("acme", RUN)
    renamed = path.rename(result.result("acme", "f" * 16))
    with pytest.raises(OwnerError, match=r"does not know .*sigstore\.json.* move\s+that file away"):
        record.finish_records(result)
    renamed.rename(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OwnerError, match=r"does not know .*sigstore\.json.* move\s+that file away"):
        record.finish_records(result)
    path.unlink()
    record.finish_records(result)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("A small file system needs root.")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_releases_nothing(small_disk: Path) -> None:
    """The ledger can be neither made nor written; with room again, the same run is well."""
    workspace, hog = Workspace(small_disk), small_disk / "hog"
    record.finish_records(workspace)
    with hog.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
    with pytest.raises(SandboxError, match="The disk is full"):
        write(workspace)
    hog.unlink()

    assert (documents(workspace), account(workspace)) == NOTHING
    write(workspace)
    assert (documents(workspace), account(workspace)) == ALL


def test_a_ledger_that_cannot_be_written_releases_nothing(small_disk: Path) -> None:
    """Its file system became read-only; the operator is told which file it is about."""
    workspace = Workspace(small_disk)
    record.finish_records(workspace)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OwnerError, match=r"ledger\.sqlite cannot be written"):
        write(workspace)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)

    assert (documents(workspace), account(workspace)) == NOTHING

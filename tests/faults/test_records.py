"""A kill, an error or a broken disk at every step of writing what is left of a run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evaluator import record
from evaluator.admission import Received
from evaluator.bundle import encode, fingerprint, pae
from evaluator.errors import OwnerError
from evaluator.leakage import tenths
from evaluator.ledger import Ledger, Limits, Vendor, open_ledger
from evaluator.log.note import NoteSigner
from evaluator.trust import Trust, TrustedKey, dump_trust
from evaluator.verify import verify
from evaluator.workspace import Workspace, init
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = "0123456789abcdef"
SIGNED, EXACT = b"signed" * 1000, b"exact" * 1000
MOST, TRUE = 81.5, 1.6  # bits
LIMITS = Limits(5, 5, 100, date(2000, 1, 1), date(2999, 12, 31))
CHARGES, FEE = (30, 20), 250  # micro-petaflops of 100, and cents
KEY = ec.generate_private_key(ec.SECP256R1())
RECEIVED = Received("onnx", "file", "0" * 64, 3, Path("gone"), "0" * 64)


def hand_in(workspace: Workspace) -> int:
    """A submission that waits, of a vendor that has used nothing yet."""
    with open_ledger(workspace.ledger) as ledger:
        ledger.add_vendor(Vendor("acme"))
        number = ledger.receive("acme", "both", LIMITS, date(2030, 1, 1))
        ledger.queue(number, RECEIVED, None)
        return number


def write(workspace: Workspace) -> None:
    """What a run does around `evaluate`, with what `write_record` does at its end."""
    with open_ledger(workspace.ledger) as ledger:
        ledger.start(
            RUN,
            ledger.submissions()[-1].id,
            "acme",
            1,
            bits=MOST,
            bit_budget=16_384,
            micro_petaflops=LIMITS.micro_petaflops,
            limits=LIMITS,
        )
    with open_ledger(workspace.ledger) as ledger:
        ledger.settle(RUN, TRUE, ("OK", "TIMEOUT"), CHARGES, FEE)
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
    for name in ("start", "settle", "release"):
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
    """A directory to write into, with a submission that waits."""
    folder.mkdir()
    hand_in(Workspace(folder))
    return Workspace(folder)


def documents(workspace: Workspace) -> list[bytes]:
    """The contents of every file that is there, but for the ledger's."""
    files = (path for path in workspace.root.rglob("*") if path.is_file())
    ours = workspace.ledger.name
    return sorted(path.read_bytes() for path in files if not path.name.startswith(ours))


def account(workspace: Workspace) -> list[tuple[int, str]]:
    """Tenths of bits and state of each run that took any."""
    with open_ledger(workspace.ledger) as ledger:
        return [(run.tenths, run.state) for run in ledger.runs() if run.state != "aborted"]


def owed(workspace: Workspace) -> tuple[str, int, int, int]:
    """How the submission stands, what is charged, what compute is left, and the fees in cents."""
    with open_ledger(workspace.ledger) as ledger:
        (row,) = ledger.submissions()
        fees = sum(run.fee_cents for run in ledger.runs())
        left = ledger.petaflops_left("acme", LIMITS)
        return row.state, ledger.charged("acme", LIMITS), left, fees


NOTHING: tuple[list[bytes], list[tuple[int, str]]] = ([], [])
ALL = ([EXACT, SIGNED], [(16, "released")])
OWED = {
    "whole": ("done", 50, 50, FEE),
    "gone": ("aborted", 0, 100, 0),
    "never begun": ("queued", 0, 100, 0),  # it still waits, and runs next
}


def test_a_kill_at_any_step_leaves_documents_and_bits_or_nothing(tmp_path: Path) -> None:
    """After the next run's sweep. Before it, no result stands without its bits in the ledger.

    Quotas, compute and fees go with them.
    """
    outcomes, owes = [], set()
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
            record.finish_records(workspace, [RUN])
            outcomes.append((documents(workspace), account(workspace)))
            owes.add(owed(workspace))
            assert (owed(workspace) == OWED["whole"]) == (outcomes[-1] == ALL)

    assert NOTHING in outcomes
    assert ALL in outcomes
    assert all(outcome in (NOTHING, ALL) for outcome in outcomes)
    assert owes == {*OWED.values()}


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
        record.finish_records(workspace, [RUN])
        assert account(workspace) == []
        assert owed(workspace) in (OWED["gone"], OWED["never begun"])


def run_of(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, budget: int = 100) -> Any:  # noqa: ANN401 - stand-ins
    """Who issues the result of a run, and the run, as far as what they set aside is concerned."""
    monkeypatch.setattr(record, "most_bits", lambda *_: MOST)
    publish = SimpleNamespace(leakage_budget_bits=budget)
    issuer = SimpleNamespace(workspace=workspace, publish=publish, vendor="acme", limits=LIMITS)
    job = SimpleNamespace(
        run=RUN,
        dataset=SimpleNamespace(version=1),
        policy=None,
        phases="both",
        adapted=None,
        compute=SimpleNamespace(left=LIMITS.micro_petaflops),
    )
    return issuer, job


@pytest.mark.parametrize(
    ("trouble", "budget", "left"),
    [
        (None, 100, [(815, "reserved")]),
        (KeyboardInterrupt, 100, []),
        (SandboxError, 100, []),
        (OwnerError, 81, []),
    ],
)
def test_bits_and_compute_are_held_while_a_run_lasts_and_given_back_when_it_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: type[BaseException] | None,
    budget: int,
    left: list[tuple[int, str]],
) -> None:
    """Held for `write_record` to settle; none are left of Ctrl-C, nor where they never fitted."""
    workspace = new_workspace(tmp_path / "farm")
    issuer, job = run_of(workspace, monkeypatch, budget)
    with pytest.raises(trouble) if trouble else nullcontext(), record.reserved(issuer, job, 1):
        assert account(workspace) == [(815, "reserved")]
        assert owed(workspace) == ("running", 0, 0, 0)
        if trouble:
            raise trouble

    assert account(workspace) == left
    # Where it never fitted, it never began.
    ends: dict[object, str] = {None: "running", OwnerError: "queued"}
    assert owed(workspace)[0] == ends.get(trouble, "aborted")
    assert owed(workspace)[2] == (0 if trouble is None else LIMITS.micro_petaflops)


def test_a_run_of_a_kept_model_takes_bits_and_no_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the owner's own: of no submission, also where its vendor has nothing left."""
    workspace = new_workspace(tmp_path / "farm")
    write(workspace)
    issuer, job = run_of(workspace, monkeypatch)
    job.run, job.adapted, job.phases = "f" * 16, Path("adapted"), "baseline"
    with record.reserved(issuer, job):
        assert account(workspace) == [(16, "released"), (815, "reserved")]
        assert owed(workspace) == OWED["whole"]


def add_result(workspace: Workspace, run: str) -> Path:
    """A signed result of that run, beside the ledger."""
    golden = Path(__file__).parents[1] / "golden" / "result-scored.json"
    document = json.loads(golden.read_text())
    document["predicate"]["run"] = run
    payload = rfc8785.dumps(document)
    signature = KEY.sign(pae(payload), ec.ECDSA(SHA256()))
    path = workspace.result("acme", run)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(payload, signature, fingerprint(KEY.public_key())))
    return path


@pytest.fixture
def result(tmp_path: Path) -> Workspace:
    """A workspace whose one result was released, and whose ledger has been lost since."""
    workspace = init(tmp_path / "farm", class_sizes=False)
    add_result(workspace, RUN)
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    workspace.public_key.write_bytes(pem)
    own = TrustedKey(fingerprint(KEY.public_key()), pem, datetime(2026, 1, 1, tzinfo=UTC))
    log = NoteSigner("log.example/farm", Ed25519PrivateKey.generate()).verifier
    workspace.trust.write_bytes(dump_trust(Trust(log, (own,))))
    return workspace


def test_a_lost_ledger_still_counts_what_was_released(result: Workspace) -> None:
    """The next run adds the result to a new one, by what it states of itself, and only once."""
    for _ in range(2):
        record.finish_records(result, [])

    assert account(result) == [(tenths(stated(result)), "released")]
    with open_ledger(result.ledger) as ledger:
        (row,) = ledger.runs()
    assert (row.vendor, row.statuses, row.fee_cents) == ("acme", ("OK", "OK"), 0)
    assert row.charges == (3_000_000, 41_000_000)


def test_a_ledger_that_is_older_than_the_end_of_a_run_counts_it(result: Workspace) -> None:
    """Restored from a backup that still holds it as running: the result is there, so it is over."""
    limits = replace(LIMITS, micro_petaflops=100_000_000)
    with open_ledger(result.ledger) as ledger:
        ledger.add_vendor(Vendor("acme"))
        number = ledger.receive("acme", "both", limits, date(2030, 1, 1))
        ledger.queue(number, RECEIVED, None)
        ledger.start(
            RUN,
            number,
            "acme",
            1,
            bits=200,
            bit_budget=16_384,
            micro_petaflops=limits.micro_petaflops,
            limits=limits,
        )
    for dead in ([], [RUN], [RUN]):
        record.finish_records(result, dead)

    assert account(result) == [(tenths(stated(result)), "released")]
    assert owed(result)[:2] == ("done", 44_000_000)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of results that were read, where each that is at rest is worth a note."""
    found, look = [], record._results_in  # noqa: SLF001 - where they are read

    def results_in(folder: str) -> set[str]:
        found.append(Path(folder).name)
        return look(folder)

    monkeypatch.setattr(record, "_results_in", results_in)
    monkeypatch.setattr(record, "_WORTH_A_NOTE", 0)
    monkeypatch.setattr(record, "_TICK", 50_000_000)
    return found


def swept(workspace: Workspace) -> list[str]:
    """What the ledger counts after a run's sweep, some time after the last change."""
    time.sleep(0.06)
    record.finish_records(workspace, [])
    with open_ledger(workspace.ledger) as ledger:
        return sorted(run.run for run in ledger.runs())


def test_results_are_looked_for_where_something_has_changed(
    result: Workspace, reads: list[str]
) -> None:
    """One that is put there by hand counts, though all others of the folder were known."""
    add_result(result, "1" * 16)
    (result.root / "results" / "zenith").mkdir()
    assert swept(result) == [RUN, "1" * 16]
    assert swept(result) == [RUN, "1" * 16]
    assert reads == ["acme", "zenith"]

    add_result(result, "2" * 16)
    assert swept(result) == [RUN, "1" * 16, "2" * 16]
    assert reads == ["acme", "zenith", "acme"]


def test_a_result_counts_though_its_folder_shows_an_older_time(
    result: Workspace, reads: list[str]
) -> None:
    """As after `rsync -t`: nobody can set the time at which the inode was changed."""
    folder = result.result("acme", RUN).parent
    assert swept(result) == [RUN]
    before = folder.stat()
    add_result(result, "1" * 16)
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert folder.stat().st_mtime_ns == before.st_mtime_ns
    assert swept(result) == [RUN, "1" * 16]
    assert reads == ["acme", "acme"]


def test_a_folder_that_may_yet_change_within_a_tick_is_read_again(
    result: Workspace, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time would be the same; once it has rested, it is not."""
    monkeypatch.setattr(record, "_TICK", 60_000_000_000)
    for _ in range(2):
        assert swept(result) == [RUN]
    assert reads == ["acme", "acme"]

    monkeypatch.setattr(record, "_TICK", 0)
    for _ in range(2):
        assert swept(result) == [RUN]
    assert reads == ["acme"] * 3


def test_a_result_that_comes_while_its_folder_is_read_is_found_by_the_next_run(
    result: Workspace, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says of a folder what it was not when it was read."""
    look, coming = record._results_in, iter(["1" * 16])  # noqa: SLF001 - where it is read

    def results_in(folder: str) -> set[str]:
        found = look(folder)
        for run in coming:
            add_result(result, run)
            time.sleep(0.06)
        return found

    monkeypatch.setattr(record, "_results_in", results_in)
    assert swept(result) == [RUN]
    assert swept(result) == [RUN, "1" * 16]
    assert reads == ["acme", "acme"]


def test_a_ledger_restored_from_a_backup_counts_what_came_after_it(
    result: Workspace, reads: list[str], tmp_path: Path
) -> None:
    """What it knew of a folder is of its own time, whatever a newer ledger had found there."""
    assert swept(result) == [RUN]
    shutil.copy(result.ledger, tmp_path / "backup")
    add_result(result, "1" * 16)
    for _ in range(2):
        assert swept(result) == [RUN, "1" * 16]
    assert reads == ["acme", "acme"]

    shutil.copy(tmp_path / "backup", result.ledger)
    with open_ledger(result.ledger) as ledger:
        assert [run.run for run in ledger.runs()] == [RUN]
    assert swept(result) == [RUN, "1" * 16]


def stated(workspace: Workspace) -> float:
    """The bits that the one result says it carries."""
    raw = workspace.result("acme", RUN).read_bytes()
    return verify(raw, workspace.public_key.read_bytes()).result.predicate.leakage_bits.run


def test_a_result_that_does_not_verify_stops_the_next_run(result: Workspace) -> None:
    """Nor one under another's name: nobody can say what it carried; named, with what to do."""
    path = result.result("acme", RUN)
    renamed = path.rename(result.result("acme", "f" * 16))
    with pytest.raises(OwnerError, match=r"does not know .*sigstore\.json.* move\s+that file away"):
        record.finish_records(result, [])
    renamed.rename(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OwnerError, match=r"does not know .*sigstore\.json.* move\s+that file away"):
        record.finish_records(result, [])
    path.unlink()
    record.finish_records(result, [])


def test_a_full_disk_releases_nothing(small_disk: Path) -> None:
    """The ledger can be neither made nor written; with room again, the same run is well."""
    workspace, hog = Workspace(small_disk), small_disk / "hog"
    hand_in(workspace)
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
    hand_in(workspace)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OwnerError, match=r"ledger\.sqlite cannot be written"):
        write(workspace)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)

    assert (documents(workspace), account(workspace)) == NOTHING

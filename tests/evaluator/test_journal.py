"""The log of a workspace: what is entered when, and who receives what of it."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from evaluator import journal, logbook
from evaluator.board.check import open_published
from evaluator.cli import cli
from evaluator.errors import OwnerError, VerificationError
from evaluator.journal import publish_log, publish_window, withdraw
from evaluator.kinds import BASE
from evaluator.ledger import open_ledger
from evaluator.log.entries import read_log
from evaluator.log.note import parse_vkey
from evaluator.log.store import LogReader
from evaluator.log.witness import generate_key, load_signer, make_server
from evaluator.signers import Signers
from evaluator.signing import load_key, load_log_key
from evaluator.trust import load_trust
from evaluator.verify import verify
from tests.helpers.window import Farm, open_farm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = dt.datetime.now(dt.UTC)
TOMORROW = NOW + dt.timedelta(days=1)
AFTER = NOW + dt.timedelta(days=32)
"""The window that `init` writes is over."""


@pytest.fixture
def farm(tmp_path: Path, class_folders: Callable[..., Path]) -> Farm:
    """A workspace of sixteen tiles, eight of them held out, and two vendors."""
    return open_farm(tmp_path, class_folders({"barley": 10, "corn": 6}))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[dt.datetime], None]:
    """Give a function that sets the clock of the log."""
    return lambda moment: monkeypatch.setattr(journal, "_now", lambda: moment)


def kinds(farm: Farm) -> list[str]:
    """What the log has, in order."""
    return [
        entry.statement.predicate_type.removeprefix(BASE).removesuffix("/v1")
        for entry in read_log(entries(farm))
    ]


def reader(farm: Farm) -> LogReader:
    """The log, read."""
    return LogReader(farm.workspace.log, parse_vkey(farm.workspace.log_vkey.read_text()))


def entries(farm: Farm) -> Iterator[bytes]:
    """Its entries."""
    found = reader(farm)
    return found.entries(0, found.checkpoint.size)


def received(farm: Farm, vendor: str = "acme") -> set[str]:
    """The names of the files that a vendor has received."""
    return {path.name for path in farm.workspace.outbox(vendor).glob("*")}


BEGINNING = ["key-change", "holdout-commitment", "policy-change"]


def test_a_submission_is_in_the_log_before_anything_of_it_runs(farm: Farm) -> None:
    """The first brings the key, the holdout and the rules with it."""
    farm.submit()

    assert kinds(farm) == [*BEGINNING, "submission-received"]


def test_its_vendor_gets_a_receipt_that_verifies(farm: Farm) -> None:
    """An entry and the proof that the log has it, by the owner's trust file and nothing else."""
    farm.submit()

    box = farm.workspace.outbox("acme")
    trust = load_trust(farm.workspace.trust.read_bytes())
    found = verify(
        (box / "submission-1.sigstore.json").read_bytes(),
        trust,
        (box / "submission-1.tlog-proof").read_bytes(),
    )
    assert found.logged is not None
    assert (found.predicate["vendor"], found.logged.index) == ("acme", 3)
    assert found.predicate["offer"] == {"currency": "EUR", "per_km2": "0.25"}


def test_a_vendor_receives_nothing_of_another(farm: Farm) -> None:
    """Each has a box of its own."""
    farm.submit("acme")
    farm.submit("zenith")

    assert received(farm, "acme") == {"submission-1.sigstore.json", "submission-1.tlog-proof"}
    assert received(farm, "zenith") == {"submission-2.sigstore.json", "submission-2.tlog-proof"}


def test_a_result_is_entered_when_its_slot_has_ended(
    farm: Farm, at: Callable[[dt.datetime], None]
) -> None:
    """Not when its run ends: the log's growth must not say how long a run took."""
    run = farm.finish(farm.submit())
    publish_log(farm.workspace, farm.signers)
    assert "evaluation-result" not in kinds(farm)
    assert f"{run}.sigstore.json" not in received(farm)

    at(TOMORROW)
    publish_log(farm.workspace, farm.signers)
    assert kinds(farm)[-1] == "evaluation-result"
    assert {f"{run}.sigstore.json", f"{run}.tlog-proof"} <= received(farm)


def test_results_of_a_slot_are_entered_in_the_order_of_submissions(
    farm: Farm, at: Callable[[dt.datetime], None]
) -> None:
    """Whichever run ended first."""
    first, second = farm.submit("acme"), farm.submit("zenith")
    late, early = farm.finish(second), farm.finish(first)
    at(TOMORROW)
    publish_log(farm.workspace, farm.signers)

    statements = [entry.statement.predicate for entry in read_log(entries(farm))]
    assert [getattr(said, "run", None) for said in statements[-2:]] == [early, late]


@pytest.mark.parametrize("told", [True, False])
def test_a_result_is_not_read_again_until_it_is_due(
    farm: Farm, at: Callable[[dt.datetime], None], monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    """A thousand may wait for the end of a slot; where the ledger was not told when, it is read."""
    run = farm.finish(farm.submit())
    if not told:  # as after a kill between the result's name and its row
        with open_ledger(farm.workspace.ledger) as ledger:
            ledger._connection.execute("UPDATE awaited SET due = NULL")  # noqa: SLF001 - as above
    read, look = [], logbook._released  # noqa: SLF001 - where a result is opened

    def released(bundle: bytes) -> dt.datetime:
        read.append(bundle)
        return look(bundle)

    monkeypatch.setattr(logbook, "_released", released)
    farm.submit()
    assert len(read) == (0 if told else 1)
    assert "evaluation-result" not in kinds(farm)

    at(TOMORROW)
    farm.submit()
    assert read[-1] == farm.workspace.result("acme", run).read_bytes()
    assert kinds(farm)[-2:] == ["evaluation-result", "submission-received"]


def test_a_ledger_that_is_wrong_of_a_time_releases_nothing_early(farm: Farm) -> None:
    """The result itself says when it may leave."""
    farm.finish(farm.submit())
    with open_ledger(farm.workspace.ledger) as ledger:
        early = "UPDATE awaited SET due = '2000-01-01T00:00:00Z'"
        ledger._connection.execute(early)  # noqa: SLF001 - it says so
    publish_log(farm.workspace, farm.signers)

    assert "evaluation-result" not in kinds(farm)


def test_a_publication_names_the_results_that_are_missing(
    farm: Farm, at: Callable[[dt.datetime], None]
) -> None:
    """Due or not yet; those that are there are entered, and it is too once it is put back."""
    first, second = farm.finish(farm.submit("acme")), farm.finish(farm.submit("zenith"))
    path = farm.workspace.result("acme", first)
    away = path.rename(path.with_name("away"))
    missing = [publish_log(farm.workspace, farm.signers).missing]
    at(TOMORROW)
    missing.append(publish_log(farm.workspace, farm.signers).missing)
    assert missing == [(first,), (first,)]
    assert kinds(farm).count("evaluation-result") == 1
    assert f"{second}.sigstore.json" in received(farm, "zenith")

    away.rename(path)
    assert publish_log(farm.workspace, farm.signers).missing == ()
    assert kinds(farm).count("evaluation-result") == 2


def test_what_was_aborted_ends_in_the_log_too(
    farm: Farm, at: Callable[[dt.datetime], None]
) -> None:
    """At its slot, with a word of ours for the reason, and its vendor is told."""
    number = farm.submit()
    with open_ledger(farm.workspace.ledger) as ledger:
        ledger.abort_submission(number, "operator")
    at(TOMORROW)
    publish_log(farm.workspace, farm.signers)

    last = [*read_log(entries(farm))][-1]
    assert last.name == "end/3"
    assert json.loads(last.statement.payload())["predicate"]["reason"] == "operator"
    assert "submission-1-aborted.tlog-proof" in received(farm)


def test_a_change_of_the_rules_is_entered_before_the_next_run(farm: Farm) -> None:
    """In evaluator.toml as in the policy files; and what stays the same is entered once."""
    number = farm.submit()
    farm.change("accuracy_steps = 1000", "accuracy_steps = 500")
    farm.start(number)
    farm.submit()

    assert kinds(farm)[3:] == ["submission-received", "policy-change", "submission-received"]


def test_a_holdout_that_is_exchanged_under_its_number_is_refused(
    farm: Farm, class_folders: Callable[..., Path], tmp_path: Path
) -> None:
    """The log commits to the tiles of a version; other tiles need another number."""
    farm.submit()
    other = open_farm(tmp_path / "other", class_folders({"barley": 10, "corn": 6}, name="more"))
    shutil.rmtree(farm.workspace.data / "1")
    shutil.copytree(other.workspace.data / "1", farm.workspace.data / "1")

    with pytest.raises(OwnerError, match="Version 1 of the holdout is not the one"):
        farm.submit()


def test_what_is_served_names_nobody_before_the_window_is_published(
    farm: Farm, at: Callable[[dt.datetime], None]
) -> None:
    """A checkpoint, hashes and keys; afterwards the same files and the entries."""
    farm.finish(farm.submit("acme"))
    at(TOMORROW)
    publish_log(farm.workspace, farm.signers)
    before = {path: path.read_bytes() for path in served(farm)}
    assert not any(b"acme" in content or b"payload" in content for content in before.values())
    assert not (farm.workspace.public / "log/tile/entries").exists()

    at(AFTER)
    publish_window(farm.workspace, farm.signers)
    assert (farm.workspace.public / "log/tile/entries").is_dir()
    assert any(b"payload" in path.read_bytes() for path in served(farm))


def served(farm: Farm) -> list[Path]:
    """The files that anyone may read."""
    return [path for path in farm.workspace.public.rglob("*") if path.is_file()]


def test_the_served_log_is_a_log(farm: Farm, at: Callable[[dt.datetime], None]) -> None:
    """It reads as the owner's own does, with its proofs."""
    farm.finish(farm.submit())
    at(AFTER)
    publish_window(farm.workspace, farm.signers)

    vkey = parse_vkey(farm.workspace.log_vkey.read_text())
    mirror = LogReader(farm.workspace.public / "log", vkey)
    assert [*mirror.entries(0, mirror.checkpoint.size)] == [*entries(farm)]
    assert mirror.proof(3) == reader(farm).proof(3)


def test_the_next_window_is_blind_again(farm: Farm, at: Callable[[dt.datetime], None]) -> None:
    """What was published stays readable as it was; what came later is hashes until its own end."""
    farm.finish(farm.submit("acme"))
    at(AFTER)
    publish_window(farm.workspace, farm.signers)
    before = {path: path.read_bytes() for path in served(farm) if "entries" in path.parts}
    farm.change("closes = ", "closes = 2099-12-31 #")
    run = farm.finish(farm.submit("zenith"))
    at(AFTER + dt.timedelta(days=2))
    publish_log(farm.workspace, farm.signers)

    assert kinds(farm)[-1] == "evaluation-result"
    assert {path: path.read_bytes() for path in served(farm) if "entries" in path.parts} == before
    assert {said.get("vendor", "acme") for said in readable(farm)} == {"acme"}
    at(dt.datetime(2100, 1, 2, tzinfo=dt.UTC))
    publish_window(farm.workspace, farm.signers)
    assert run in [said.get("run") for said in readable(farm)]


def readable(farm: Farm) -> list[dict[str, object]]:
    """What anyone can read of what is served."""
    trust = load_trust(farm.workspace.trust.read_bytes())
    log, _ = open_published(farm.workspace.public / "log", trust)
    found = read_log(log.entries(0, log.checkpoint.size))
    return [json.loads(entry.statement.payload())["predicate"] for entry in found]


def test_a_window_is_not_published_before_its_end(farm: Farm) -> None:
    """Unless for a reason, which the log then states."""
    farm.submit()
    with pytest.raises(OwnerError, match=r"the window closes at the end of"):
        publish_window(farm.workspace, farm.signers)

    publish_window(farm.workspace, farm.signers, "the only vendor agreed")
    last = [*read_log(entries(farm))][-1]
    assert json.loads(last.statement.payload())["predicate"]["early_reason"] == (
        "the only vendor agreed"
    )


def test_a_window_is_not_published_while_a_submission_waits(
    farm: Farm, at: Callable[[dt.datetime], None]
) -> None:
    """A result that comes later would be missing from the board."""
    number = farm.submit()
    at(AFTER)
    with pytest.raises(OwnerError, match="1 submissions have not ended"):
        publish_window(farm.workspace, farm.signers)

    farm.finish(number)
    publish_window(farm.workspace, farm.signers)


def test_a_withdrawn_result_stays_and_says_why(
    farm: Farm, at: Callable[[dt.datetime], None]
) -> None:
    """Nothing is ever taken out of the log."""
    run = farm.finish(farm.submit())
    with pytest.raises(OwnerError, match="The log has no result of a run"):
        withdraw(farm.workspace, farm.signers, run, "too early")
    at(TOMORROW)
    publish_log(farm.workspace, farm.signers)
    withdraw(farm.workspace, farm.signers, run, "the labels of two fields were wrong")

    assert kinds(farm)[-2:] == ["evaluation-result", "result-withdrawn"]
    assert f"{run}-withdrawn.tlog-proof" in received(farm)
    with pytest.raises(OwnerError, match="withdrawn already"):
        withdraw(farm.workspace, farm.signers, run, "again")


def test_a_lost_ledger_learns_from_the_log_what_is_in_it(farm: Farm) -> None:
    """So that nothing is entered twice."""
    farm.submit()
    with open_ledger(farm.workspace.ledger) as ledger:
        known = ledger.names()
        ledger._connection.execute("DELETE FROM logged")  # noqa: SLF001 - an older ledger
    farm.submit("zenith")

    with open_ledger(farm.workspace.ledger) as ledger:
        assert known.items() <= ledger.names().items()
    assert kinds(farm) == [*BEGINNING, "submission-received", "submission-received"]


def test_an_older_log_is_not_written_to(farm: Farm, tmp_path: Path) -> None:
    """Vendors hold proofs of what it has lost."""
    farm.submit()
    shutil.copytree(farm.workspace.log, tmp_path / "backup")
    farm.submit()
    shutil.rmtree(farm.workspace.log)
    shutil.copytree(tmp_path / "backup", farm.workspace.log)

    with pytest.raises(OwnerError, match="an older state of the log was put back"):
        farm.submit()


def test_an_altered_entry_stops_the_log(farm: Farm) -> None:
    """Whoever reads it next says where."""
    farm.submit()
    (bundle,) = (farm.workspace.log / "tile/entries").rglob("*.p/*")
    content = bytearray(bundle.read_bytes())
    content[-40] ^= 1
    bundle.write_bytes(content)

    with pytest.raises((OwnerError, VerificationError)):
        [*read_log(entries(farm))]


def test_a_workspace_from_before_the_log_can_begin_one(farm: Farm) -> None:
    """Once; what waited there is received in it before it runs."""
    workspace = farm.workspace
    shutil.rmtree(workspace.log)
    for path in (workspace.log_key, workspace.log_vkey, workspace.trust):
        path.unlink()
    command = ("log", "create", "--workspace", str(workspace.root))
    begun = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert begun.exit_code == 0, begun.output

    origin = workspace.settings().log.origin
    signers = Signers(load_key(workspace.key), load_log_key(workspace.log_key, origin))
    Farm(workspace, signers).submit()
    assert kinds(farm) == [*BEGINNING, "submission-received"]
    with pytest.raises(OwnerError, match="exists already"):
        CliRunner().invoke(cli, command, catch_exceptions=False)


@pytest.mark.parametrize("step", ["append", "note", "send"])
def test_a_kill_between_log_and_ledger_loses_nothing(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """What was entered is known afterwards, and ends as aborted; the next submission goes well."""
    farm.submit()
    pid = os.fork()
    if not pid:
        target = {
            "append": "evaluator.log.store.Log.append",
            "note": "evaluator.ledger.Ledger.note",
            "send": "evaluator.journal.send",
        }[step]
        monkeypatch.setattr(target, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        farm.submit()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    farm.submit("zenith")

    assert kinds(farm) == [
        *BEGINNING,
        *["submission-received"] * (2 if step == "append" else 3),
    ]
    with open_ledger(farm.workspace.ledger) as ledger:
        assert ledger.logged() == reader(farm).checkpoint.size


def test_a_receipt_that_a_kill_has_kept_back_comes_with_the_next_publication(farm: Farm) -> None:
    """And what its vendor has already stays as it is."""
    farm.submit("acme")
    farm.submit("zenith")
    lost = farm.workspace.outbox("acme") / "submission-1.tlog-proof"
    kept = farm.workspace.outbox("zenith") / "submission-2.tlog-proof"
    before = kept.stat().st_ino
    lost.unlink()
    publish_log(farm.workspace, farm.signers)

    assert lost.exists()
    assert kept.stat().st_ino == before


def test_the_log_keeps_its_name(farm: Farm) -> None:
    """Whoever watches it knows it by that."""
    farm.change("origin = ", 'origin = "log.example/other" #')
    with pytest.raises(OwnerError, match="A log keeps its name"):
        farm.submit()


def test_fewer_witnesses_than_the_quorum_serve_nothing_new(farm: Farm) -> None:
    """The state that was served before stays served."""
    farm.submit()
    farm.change("witnesses = []", f"witnesses = [{WITNESS}]")
    farm.change("quorum = 0", "quorum = 1")

    with pytest.raises(OwnerError, match="0 of the 1 witnesses needed have signed"):
        publish_log(farm.workspace, farm.signers)
    assert not served(farm)


def test_a_witness_is_asked_and_its_word_is_in_the_proofs(farm: Farm, tmp_path: Path) -> None:
    """By the trust file that is served, a proof of before is not enough any more."""
    (tmp_path / "w").mkdir()
    vkey = generate_key(tmp_path / "w", "witness.example/w1")
    own = parse_vkey(farm.workspace.log_vkey.read_text())
    farm.submit()
    box = farm.workspace.outbox("acme")
    receipt, before = (box / f"submission-1.{kind}" for kind in ("sigstore.json", "tlog-proof"))
    unseen = before.read_bytes()
    with make_server(tmp_path / "w", load_signer(tmp_path / "w"), {own.name: own}, LOOP) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        asked = f'{{ url = "{address}", key = "{vkey}" }}'
        farm.change("witnesses = []", f"witnesses = [{asked}]")
        farm.change("quorum = 0", "quorum = 1")
        assert len(publish_log(farm.workspace, farm.signers).witnesses) == 1
        server.shutdown()

    trust = load_trust((farm.workspace.public / "trust.toml").read_bytes())
    assert verify(receipt.read_bytes(), trust, before.read_bytes()).witnessed
    with pytest.raises(VerificationError, match="Step 13"):
        verify(receipt.read_bytes(), trust, unseen)


LOOP = "127.0.0.1:0"
WITNESS = (
    '{ url = "http://127.0.0.1:9", key = "w.example+'
    'a4e8cfa5+BAR7mUYyHBbqoDDKYcSvpCuX2wKvNGd6xW+bTvGHYYhC" }'
)

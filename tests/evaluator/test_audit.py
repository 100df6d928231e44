"""An audit finds what was altered, dropped, or never entered; an honest log has no finding."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from evaluator import journal
from evaluator.audit import audit
from evaluator.errors import EvaluatorError, VerificationError
from evaluator.files import replace
from evaluator.journal import publish_log
from evaluator.ledger import open_ledger
from evaluator.log.note import parse_vkey
from evaluator.log.store import LogReader, create_log, open_log
from evaluator.trust import dump_trust, load_trust
from tests.helpers.window import Farm, open_farm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOMORROW = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
LATER = TOMORROW + dt.timedelta(days=3)


@pytest.fixture
def farm(
    tmp_path: Path, class_folders: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Farm:
    """A workspace with two results, an aborted submission and one that waits; a day later."""
    farm = open_farm(tmp_path, class_folders({"barley": 10, "corn": 6}))
    farm.finish(farm.submit("acme"), right=6)
    farm.finish(farm.submit("zenith"), right=7)
    aborted = farm.submit("acme")
    with open_ledger(farm.workspace.ledger) as ledger:
        ledger.abort_submission(aborted, "host")
    monkeypatch.setattr(journal, "_now", lambda: TOMORROW)
    publish_log(farm.workspace, farm.signers)
    farm.submit("zenith")
    return farm


def findings(farm: Farm, *since: bytes, now: dt.datetime = TOMORROW) -> tuple[str, ...]:
    """What an audit says."""
    return audit(farm.workspace, since, now).findings


def note(farm: Farm) -> bytes:
    """The log's checkpoint."""
    return (farm.workspace.log / "checkpoint").read_bytes()


def results(farm: Farm) -> list[Path]:
    """The signed results."""
    return sorted(farm.workspace.results())


def rewrite(farm: Farm, keep: Callable[[int, bytes], bytes | None]) -> None:
    """Make the log anew as its owner could, who has its key: entries altered, or left out."""
    vkey = parse_vkey(farm.workspace.log_vkey.read_text())
    reader = LogReader(farm.workspace.log, vkey)
    size = reader.checkpoint.size
    kept = [keep(at, entry) for at, entry in enumerate(reader.entries(0, size))]
    shutil.rmtree(farm.workspace.log)
    create_log(farm.workspace.log, farm.signers.log)
    with open_log(farm.workspace.log, farm.signers.log) as log:
        log.append([entry for entry in kept if entry is not None])


def edit(farm: Farm, statement: str) -> None:
    """Change the ledger behind the program's back."""
    with sqlite3.connect(farm.workspace.ledger) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)


def test_an_honest_log_has_no_finding(farm: Farm) -> None:
    """Every submission has ended but the one that still may."""
    earlier = note(farm)
    farm.submit("acme")
    found = audit(farm.workspace, [earlier], TOMORROW)

    assert found.findings == ()
    assert (found.received, found.ended, len(found.open)) == (5, 3, 2)


def test_a_result_that_is_deleted_from_its_folder_is_found(farm: Farm) -> None:
    """The log still has it."""
    results(farm)[0].unlink()
    assert "is missing from results/" in "".join(findings(farm))


def test_a_result_that_is_exchanged_in_its_folder_is_found(farm: Farm) -> None:
    """Byte by byte."""
    first, second = results(farm)
    first.write_bytes(second.read_bytes())
    assert "is another one in results/" in "".join(findings(farm))


def test_a_result_that_is_deleted_before_it_was_due_is_found(farm: Farm) -> None:
    """It was never in the log: the ledger knows of it."""
    run = farm.finish(4)
    assert findings(farm) == ()
    farm.workspace.result("zenith", run).unlink()
    assert f"The result of run {run}, not in the log yet, is missing" in "".join(findings(farm))


def test_a_result_that_nobody_enters_is_found_when_it_is_overdue(farm: Farm) -> None:
    """A slot after it was due; before that, the next command enters it."""
    run = farm.finish(4)
    assert findings(farm, now=TOMORROW) == ()
    assert f"The result of run {run} was due a slot ago" in "".join(findings(farm, now=LATER))


def test_a_result_that_is_dropped_from_the_log_is_found(farm: Farm) -> None:
    """By the checkpoint that is served, and without it by the ledger."""
    rewrite(farm, lambda at, entry: None if at == last_result(farm) else entry)
    with pytest.raises(VerificationError, match="an earlier checkpoint has"):
        findings(farm)

    (farm.workspace.public / "log" / "checkpoint").unlink()
    assert "The ledger" in "".join(findings(farm))


def last_result(farm: Farm) -> int:
    """Where the log has the last result."""
    with open_ledger(farm.workspace.ledger) as ledger:
        return max(at for name, at in ledger.names().items() if name.startswith("end/"))


def test_a_log_that_forgets_is_found_by_any_proof_of_before(farm: Farm) -> None:
    """A vendor's receipt has a checkpoint of its own."""
    earlier = note(farm)
    shutil.rmtree(farm.workspace.public)
    rewrite(farm, lambda at, entry: entry if at < 6 else None)

    assert "beyond the end of the log" in "".join(findings(farm))
    with pytest.raises(VerificationError, match="an earlier checkpoint has"):
        findings(farm, earlier)


def test_an_altered_entry_is_found(farm: Farm) -> None:
    """Whoever has the log's key can hash it anew, but not sign it as the owner of results."""

    def alter(at: int, entry: bytes) -> bytes:
        if at != 5:
            return entry
        document = json.loads(entry)
        payload = document["payload"]
        document["payload"] = payload[:100] + ("A" if payload[100] != "A" else "B") + payload[101:]
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    shutil.rmtree(farm.workspace.public)
    rewrite(farm, alter)
    with pytest.raises(EvaluatorError):
        findings(farm)


def test_a_run_that_was_never_logged_is_found(farm: Farm) -> None:
    """Its submission is missing from the log, or its result is in the folder alone."""
    shutil.rmtree(farm.workspace.public)
    edit(farm, "DELETE FROM logged WHERE position >= 9")
    rewrite(farm, lambda at, entry: entry if at < 9 else None)
    assert "Submission 4 is queued in the ledger and was never logged." in findings(farm)

    stray = farm.workspace.result("acme", "f" * 16)
    stray.write_bytes(results(farm)[0].read_bytes())
    assert "results/ has a result of a run ffffffffffffffff" in "".join(findings(farm))


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE runs SET micro_baseline = 1000000 WHERE submission = 1", "another vendor, status"),
        ("UPDATE runs SET tenths = 1 WHERE submission = 2", "another vendor, status"),
        ("UPDATE runs SET vendor = 'zenith' WHERE submission = 1", "another vendor, status"),
        ("UPDATE runs SET baseline_status = 'TIMEOUT' WHERE submission = 1", "another vendor"),
        ("UPDATE submissions SET vendor = 'acme' WHERE id = 2", "is another one in the ledger"),
        ("DELETE FROM runs WHERE submission = 2", "is not in the ledger"),
        ("DELETE FROM submissions WHERE id = 3", "received at 5, is not in the ledger"),
    ],
)
def test_an_edited_ledger_is_found(farm: Farm, statement: str, finding: str) -> None:
    """The log says what the ledger said when it was written."""
    edit(farm, statement)
    assert finding in "".join(findings(farm))


def test_a_changed_policy_is_found(farm: Farm) -> None:
    """Until the next submission or run enters it, for everybody to see."""
    farm.change("accuracy_steps = 1000", "accuracy_steps = 10")
    assert "The rules in evaluator.toml and policies/ are not those" in "".join(findings(farm))

    farm.submit()
    assert findings(farm) == ()


def test_a_key_that_is_dated_back_is_found(farm: Farm) -> None:
    """In the trust file that readers get."""
    trust = load_trust(farm.workspace.trust.read_bytes())
    (key,) = trust.keys
    earlier = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    backdated = type(key)(key.keyid, key.pem, earlier)
    replace(farm.workspace.trust, dump_trust(type(trust)(trust.log, (backdated,))))

    assert "dates" in "".join(findings(farm))

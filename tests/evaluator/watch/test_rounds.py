"""What is pushed is handed in once, whatever tags, quotas, registries and kills do."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shutil
import signal
import sqlite3
from typing import TYPE_CHECKING

import pytest

from evaluator import admission, journal, outbox, queue
from evaluator.errors import OwnerError
from evaluator.ledger import Ledger, open_ledger
from evaluator.log.store import Log
from evaluator.queue import folder, sweep
from evaluator.recipe import Recipe
from evaluator.registry import Denied, Gone, Lied, Unreachable
from evaluator.watch import rounds, sending, taking
from evaluator.watch.mailbox import Mailbox, open_mailbox
from evaluator.watch.service import Plan
from tests.helpers.fake_registry import FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.evaluator.watch.conftest import Stage


def hexed(content: bytes) -> str:
    """SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def test_what_is_pushed_is_handed_in_under_its_vendor(stage: Stage) -> None:
    """Images by their manifest, models by their file; receipts are attached at once."""
    registry = stage.registry
    image = registry.push_image("acme/model", "v1", b"a layer")
    model = registry.push_model("zenith/onnx/large", "v1", b"a model")
    registry.push_model("nobody/model", "v1", b"another")
    registry.push_model("zenith", "v1", b"another")
    assert stage.look()

    known = {(row.vendor, row.kind, row.sha256) for row in stage.rows()}
    assert known == {
        ("acme", "image", image.removeprefix("sha256:")),
        ("zenith", "onnx", hexed(b"a model")),
    }
    assert stage.states() == ["acme queued", "zenith queued"]
    assert registry.names("acme/model", image) == ["submission-1"]
    assert registry.names("zenith/onnx/large", model) == ["submission-2"]
    assert len(registry.attached) == 2
    workspace = stage.farm.workspace
    assert (folder(workspace, 2) / "submission").read_bytes() == b"a model"
    assert list(workspace.pulls.iterdir()) == []


def test_a_digest_is_handed_in_once(stage: Stage) -> None:
    """However often it is looked at, tagged, moved, deleted and pushed again."""
    registry = stage.registry
    first = registry.push_image("acme/model", "v1", b"one")
    stage.look()
    stage.look()
    registry.contents["acme/model"]["v2"] = registry.contents["acme/model"]["v1"]
    stage.look()
    registry.push_image("acme/model", "v1", b"two")  # v1 moves, v2 still names the first
    stage.look()
    del registry.contents["acme/model"]["v2"]
    stage.look()
    registry.push_image("acme/model", "v3", b"one")
    registry.push_image("acme/other", "v1", b"one")  # the same in another repository of its own
    stage.look()

    assert stage.states() == ["acme queued"] * 2
    assert registry.names("acme/model", first) == registry.names("acme/other", first)


def test_the_same_bytes_of_two_vendors_are_two_submissions(stage: Stage) -> None:
    """And each is answered in its own repository alone."""
    digests = {stage.registry.push_image(f"{name}/m", "v1", b"one") for name in ("acme", "zenith")}
    stage.look()
    (digest,) = digests

    assert stage.states() == ["acme queued", "zenith queued"]
    assert stage.registry.names("acme/m", digest) == ["submission-1"]
    assert stage.registry.names("zenith/m", digest) == ["submission-2"]


def test_a_model_that_is_pushed_again_is_the_same_submission(stage: Stage) -> None:
    """Oras writes the time into each manifest, so the digest is another and the file is not."""
    registry = stage.registry
    first = registry.push_model("acme/model", "v1", b"a model", created="2026-01-01")
    again = registry.push_model("acme/model", "v2", b"a model", created="2026-01-02")
    assert first != again
    stage.look()

    assert stage.states() == ["acme queued"]
    assert registry.names("acme/model", first) == registry.names("acme/model", again)
    assert registry.names("acme/model", again) == ["submission-1"]


def test_another_recipe_is_another_submission(stage: Stage) -> None:
    """It comes as a second file; written differently it is the same."""
    stage.plan = Plan()
    for tag, recipe in {"a": None, "b": b'{"epochs": 3}', "c": b'{ "epochs":3 }'}.items():
        stage.registry.push_model("acme/model", tag, b"a model", recipe)
    stage.look()

    with open_ledger(stage.farm.workspace.ledger) as ledger:
        recipes = [ledger.queued(row.id).recipe for row in ledger.submissions()]
    assert recipes == [None, Recipe(epochs=3).canonical()]


def test_a_recipe_beyond_the_bounds_is_no_submission(stage: Stage) -> None:
    """It is said once, takes no slot, and is not fetched again."""
    stage.plan = Plan()
    stage.registry.push_model("acme/model", "v1", b"a model", b'{"epochs": 100000}')
    stage.look()
    stage.look()

    assert stage.rows() == []
    assert [line for line in stage.said if "EVA401" in line] == stage.said
    assert len(stage.said) == 1


def test_what_is_no_submission_is_said_once(stage: Stage) -> None:
    """Without a word of what it was; the next one is taken."""
    registry = stage.registry
    title = "\x1b[31mmalware"
    layer = registry.part(b"chart", title)
    digest = registry.push(
        "acme/charts", "\x1b", {"config": registry.part(b"{}"), "layers": [layer]}
    )
    registry.contents["acme/charts"]["v1"] = registry.contents["acme/charts"].pop("\x1b")
    registry.push("acme/charts", "v2", {"layers": 3})
    registry.push_model("acme/model", "v1", b"a model")
    stage.look()
    stage.end()
    stage.look()

    assert stage.states() == ["acme queued"]
    assert sum("is no submission" in line for line in stage.said) == 2
    assert digest.removeprefix("sha256:")[:12] in "".join(stage.said)
    assert title not in "".join(stage.said)


def test_attachments_are_no_submissions(stage: Stage) -> None:
    """Neither by the tag under which they are listed nor by their subject."""
    registry = stage.registry
    digest = registry.push_image("acme/model", "v1", b"one")
    part = registry.part(b"a signature", "signature.onnx")
    document = {"config": part, "layers": [part], "subject": part}
    registry.push("acme/model", "signature", document)
    registry.push_image("acme/model", digest.replace(":", "-"), b"two")
    registry.push_image("acme/model", digest.replace(":", "-") + ".sig", b"three")
    stage.look()

    assert stage.states() == ["acme queued"]


def test_too_large_is_handed_in_to_be_refused_and_not_fetched(stage: Stage) -> None:
    """By what the manifest says; `admit` answers EVA102 for such a size."""
    digest = stage.registry.push_image("acme/model", "v1", b"layer", size=20 * 2**30)
    stage.look()

    (row,) = stage.rows()
    assert (row.state, row.size, row.sha256) == ("queued", 20 * 2**30, digest[7:])
    assert (folder(stage.farm.workspace, 1) / "submission").read_bytes() == b""
    assert not any(asked in stage.registry.blobs for asked in stage.registry.asked)


# Quotas


def test_beyond_its_quota_a_digest_waits(stage: Stage) -> None:
    """Nothing of it is fetched, one line says so, and it is taken as soon as there is a slot."""
    stage.farm.change("submissions_per_day = 50", "submissions_per_day = 1")
    for tag in ("a", "b"):
        stage.registry.push_model("acme/model", tag, tag.encode())
    for _ in range(3):
        stage.look()
    assert stage.states() == ["acme queued"]
    assert sum("waits" in line for line in stage.said) == 1
    assert stage.metrics.get("waiting") == 1
    assert not any(digest in stage.registry.asked for digest in [f"sha256:{hexed(b'b')}"])

    stage.farm.change("submissions_per_day = 1", "submissions_per_day = 2")
    stage.look()
    assert stage.states() == ["acme queued"] * 2
    assert stage.metrics.get("waiting") == 0


def test_outside_the_window_everything_waits(stage: Stage) -> None:
    """Whoever pushes early is not turned away."""
    today = dt.datetime.now(dt.UTC).date()
    stage.farm.change(f"opens = {today}", f"opens = {today + dt.timedelta(days=1)}")
    stage.registry.push_model("acme/model", "v1", b"a model")
    stage.look()
    assert stage.rows() == []

    stage.farm.change(f"opens = {today + dt.timedelta(days=1)}", f"opens = {today}")
    stage.look()
    assert stage.states() == ["acme queued"]


def abort(stage: Stage, number: int) -> None:
    """End a submission through no fault of its vendor's."""
    with open_ledger(stage.farm.workspace.ledger) as ledger:
        ledger.abort_submission(number, "host")


def tell(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter what is due two days from now."""
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_now", lambda: later)
        journal.publish_log(stage.farm.workspace, stage.farm.signers)


def test_what_was_aborted_is_handed_in_again_once_its_vendor_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: when it ends must say nothing. And not for ever."""
    digest = stage.registry.push_model("acme/model", "v1", b"a model")
    for attempt in range(1, taking.ATTEMPTS + 1):
        stage.look()
        assert stage.states() == [*["acme aborted"] * (attempt - 1), "acme queued"]
        abort(stage, attempt)
        stage.look()
        assert len(stage.rows()) == attempt
        tell(stage, monkeypatch)
    stage.look()
    stage.look()

    assert stage.states() == ["acme aborted"] * taking.ATTEMPTS
    assert sum("not handed in again" in line for line in stage.said) == 1
    each = [f"submission-{number}" for number in (1, 2, 3)]
    aborts = [f"{name}-aborted" for name in each]
    assert stage.registry.names("acme/model", digest) == sorted(each + aborts)


def test_a_slot_that_an_abort_frees_is_taken_until_its_vendor_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a push that waits would say at once that a run has ended."""
    stage.farm.change("submissions_per_day = 50", "submissions_per_day = 1")
    stage.registry.push_model("acme/model", "a", b"a")
    stage.look()
    abort(stage, 1)
    stage.registry.push_model("acme/model", "b", b"b")
    stage.look()
    assert stage.states() == ["acme aborted"]

    del stage.registry.contents["acme/model"]["a"]
    tell(stage, monkeypatch)
    stage.look()
    assert stage.states() == ["acme aborted", "acme queued"]


# Registries


def test_a_registry_that_is_down_is_said_once(stage: Stage) -> None:
    """And counted each time; when it is back, what was pushed is taken."""
    stage.registry.push_model("acme/model", "v1", b"a model")
    stage.registry.troubles[""] = Unreachable("The registry does not answer.")
    assert [stage.look() for _ in range(3)] == [False] * 3
    assert stage.metrics.get("errors", "unreachable") == 3
    del stage.registry.troubles[""]
    assert stage.look()

    assert stage.states() == ["acme queued"]
    assert sum("failed" in line for line in stage.said) == 1
    assert sum("works again" in line for line in stage.said) == 1


@pytest.mark.parametrize(
    ("where", "trouble"),
    [
        ("acme/model", Unreachable("down")),
        ("acme/model", Denied("no")),
        ("acme/model:v1", Lied("a manifest has another digest than it says")),
        ("acme/model:v1", Gone("deleted between the list and this")),
        ("MODEL", Lied("a blob has another digest")),
        ("MODEL", Gone("a blob was never pushed")),
        ("MODEL", Unreachable("broken off")),
        ("MODEL", OSError(28, "No space left on device")),
    ],
)
def test_trouble_with_one_push_is_no_others(stage: Stage, where: str, trouble: Exception) -> None:
    """Nothing of it is in the queue, no slot is taken, and it is taken once the trouble is over."""
    registry = stage.registry
    digest = registry.push_model("acme/model", "v1", b"a model")
    registry.push_model("acme/other", "v1", b"another")
    registry.push_model("zenith/model", "v1", b"zenith's")
    key = digest if where == "MODEL" else where
    registry.troubles[key] = trouble
    for _ in range(2):
        assert stage.look()
    assert stage.states() == ["acme queued", "zenith queued"]
    assert sorted(path.name for path in stage.farm.workspace.queue.glob("[0-9]*")) == ["1", "2"]

    del registry.troubles[key]
    stage.look()
    assert stage.states() == ["acme queued", "zenith queued", "acme queued"]


def test_trouble_of_the_owners_is_no_end(stage: Stage) -> None:
    """A log that is damaged, say, stops what is taken and nothing else."""
    stage.registry.push_model("acme/model", "v1", b"a model")
    log = stage.farm.workspace.log
    log.rename(log.with_name("away"))
    stage.look()
    assert not any(row.state == "queued" for row in stage.rows())
    log.with_name("away").rename(log)
    stage.look()

    assert stage.states()[-1:] == ["acme queued"]
    assert stage.metrics.get("errors", "owner") + stage.metrics.get("errors", "host") >= 1


def test_repositories_can_be_named(stage: Stage) -> None:
    """Where the registry has no catalog; what is named is still its vendor's or nobody's."""
    stage.plan = Plan(phases="baseline", repositories=("acme/model", "nobody/model"))
    for repository in ("acme/model", "acme/other", "nobody/model"):
        stage.registry.push_model(repository, "v1", b"a model of " + repository.encode())
    stage.registry.troubles[""] = Denied("no catalog")
    assert stage.look()

    assert stage.states() == ["acme queued"]
    assert "nobody/model" not in stage.registry.asked


def test_very_many_tags_cost_a_round_no_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next round goes on behind them, so that all are seen in the end."""
    monkeypatch.setattr(rounds, "MOST_TAGS", 3)
    for number in range(8):
        stage.registry.push_model("acme/model", f"v{number}", b"model %d" % number)
    taken = []
    for _ in range(4):
        stage.look()
        taken.append(len(stage.rows()))

    assert taken == [3, 6, 8, 8]


# Kills


def wrap(owner: object, name: str, before: Callable[[], None]) -> None:
    """Have something called before and after each call of a function."""
    real = getattr(owner, name)

    def step(*arguments: object, **more: object) -> object:
        before()
        value = real(*arguments, **more)
        before()
        return value

    setattr(owner, name, step)


def kill_at(wanted: int) -> None:
    """Have this process killed before or after its `wanted`-th step."""
    count = iter(range(1, 10_000))

    def step() -> None:
        if next(count) == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    for owner, names in (
        (FakeRegistry, ("manifest", "pull_layout", "attach")),
        (Mailbox, ("remember", "note_attached")),
        (Ledger, ("receive", "queue", "note")),
        (Log, ("append",)),
        (admission, ("_copy",)),
        (outbox, ("replace",)),
        (queue, ("enqueue",)),
        (shutil, ("rmtree",)),
    ):
        for name in names:
            wrap(owner, name, step)


def test_a_kill_at_any_step_loses_no_digest_and_doubles_none(stage: Stage) -> None:
    """After each kill another watcher goes on, and one submission of each digest comes of it."""
    workspace = stage.farm.workspace
    stage.registry.noted = noted = workspace.root.parent / "attached"
    stage.farm.change("submissions_per_day = 50", "submissions_per_day = 500")
    stage.farm.change("submissions = 50", "submissions = 500")
    ends = set()
    for wanted in range(1, 200):
        before = len(stage.rows())
        digest = stage.registry.push_image("acme/model", "v1", b"one %d" % wanted)
        child = os.fork()
        if not child:
            try:
                kill_at(wanted)
                stage.look()
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        ended = [row.state for row in stage.rows()[before:]]
        ends.add((*ended,))
        sweep(workspace)  # as the next watcher does
        stage.look()
        stage.look()
        stage.end()
        new = [row for row in stage.rows()[before:] if row.state != "aborted"]
        assert [(row.state, row.sha256) for row in new] == [("queued", digest[7:])]
        receipt = f"acme/model {digest} submission-{new[0].id}.sigstore.json"
        assert receipt in noted.read_text().splitlines()
        assert list(workspace.pulls.iterdir()) == []
        if os.WIFEXITED(status):
            break
    else:
        pytest.fail("it never came to its end")

    assert ends == {(), ("receiving",), ("queued",)}
    assert wanted > 20  # the control: there were steps to be killed at


def test_a_lost_mailbox_fills_itself_again(stage: Stage) -> None:
    """What was handed in stands in the ledger, and what is attached twice is there once."""
    digest = stage.registry.push_image("acme/model", "v1", b"one")
    stage.look()
    stage.end()
    before = {key: dict(there) for key, there in stage.registry.attached.items()}
    stage.farm.workspace.mailbox.unlink()
    stage.look()

    assert stage.states() == ["acme queued"]
    assert stage.registry.attached == before
    assert stage.registry.names("acme/model", digest) == ["submission-1"]


def test_two_watchers_of_one_workspace_are_one_too_many(stage: Stage) -> None:
    """The second says so; it would hand in what the first is handing in."""
    stage.look()
    with (
        pytest.raises(OwnerError, match="Another `evaluator watch`"),
        open_mailbox(stage.farm.workspace.mailbox),
    ):
        pass


@pytest.mark.parametrize("content", [b"no database" * 1000, None])
def test_a_mailbox_that_cannot_be_read_says_what_to_do(
    tmp_path: Path, content: bytes | None
) -> None:
    """It may be moved away."""
    path = tmp_path / "watch.sqlite"
    if content is None:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        path.write_bytes(content)
    with pytest.raises(OwnerError, match=r"[Mm]ove"), open_mailbox(path):
        pass
    path.unlink()
    with open_mailbox(path):
        pass


# What goes back


def test_a_result_goes_back_when_it_is_released(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when its run ends; then once, to the vendor's own digest, with its proof."""
    registry = stage.registry
    digest = registry.push_model("acme/model", "v1", b"a model")
    registry.push_model("zenith/model", "v1", b"zenith's")
    stage.look()
    run = stage.farm.finish(1)
    stage.look()
    assert registry.names("acme/model", digest) == ["submission-1"]

    tell(stage, monkeypatch)
    stage.look()
    assert registry.names("acme/model", digest) == sorted([run, "submission-1"])
    stage.end()
    stage.look()
    assert registry.names("acme/model", digest) == sorted([run, "submission-1"])
    files = next(
        files
        for files in registry.attached["acme/model", digest].values()
        if files[0].name.startswith(run)
    )
    assert [file.name for file in files] == [f"{run}.sigstore.json", f"{run}.tlog-proof"]
    assert files[0].content == stage.farm.workspace.result("acme", run).read_bytes()
    everything = json.dumps([str(key) for key in registry.attached])
    assert everything.count("acme/model") == 1  # one subject of acme's, one of zenith's
    zeniths = [files for key, files in registry.attached.items() if key[0] == "zenith/model"]
    assert run not in str(zeniths)


def test_a_proof_that_was_refreshed_is_attached_as_well(stage: Stage) -> None:
    """The witnesses sign later; the first one stays."""
    digest = stage.registry.push_model("acme/model", "v1", b"a model")
    stage.look()
    proof = stage.farm.workspace.outbox("acme") / "submission-1.tlog-proof"
    proof.write_bytes(proof.read_bytes() + b"cosigned\n")
    stage.look()
    stage.look()

    assert stage.registry.names("acme/model", digest) == ["submission-1"] * 2


def test_under_another_prefix_nothing_is_attached_elsewhere(stage: Stage) -> None:
    """What was zenith's repository may be another vendor's by now."""
    digest = stage.registry.push_model("acme/zenith/model", "v1", b"a model")
    stage.plan = Plan(phases="baseline", prefix="acme")
    stage.look()
    assert stage.states() == ["zenith queued"]
    proof = stage.farm.workspace.outbox("zenith") / "submission-1.tlog-proof"
    proof.write_bytes(proof.read_bytes() + b"cosigned\n")
    stage.end()
    stage.plan = Plan(phases="baseline")
    before = stage.registry.names("acme/zenith/model", digest)
    stage.watch.sender.send()

    assert stage.registry.names("acme/zenith/model", digest) == before == ["submission-1"]


def test_trouble_while_attaching_is_tried_again(stage: Stage) -> None:
    """One repository's is not another's."""
    registry = stage.registry
    digests = {name: registry.push_model(f"{name}/m", "v1", b"m") for name in ("acme", "zenith")}
    registry.troubles["attach acme/m"] = Unreachable("down")
    stage.look()
    assert registry.names("acme/m", digests["acme"]) == []
    assert registry.names("zenith/m", digests["zenith"]) == ["submission-2"]
    del registry.troubles["attach acme/m"]
    stage.look()

    assert registry.names("acme/m", digests["acme"]) == ["submission-1"]


def test_only_whole_letters_leave(stage: Stage) -> None:
    """A bundle without its proof is still being written."""
    stage.registry.push_model("acme/model", "v1", b"a model")
    stage.look()
    outbox = stage.farm.workspace.outbox("acme")
    (outbox / "submission-1.tlog-proof").unlink()

    assert list(sending.letters(outbox)) == []

"""The loop: what is due at the end of a slot, what hints do, and when an operator has to look."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from evaluator.cli.main import cli
from evaluator.errors import OwnerError
from evaluator.journal import publish_log
from evaluator.registry import Unreachable
from evaluator.watch import service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.evaluator.watch.conftest import Stage

HOUR = 3600


def test_the_log_is_published_once_in_each_slot(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its first moment, however often the loop turns and whatever runs have ended."""
    now = time.time()
    for hour in range(60):
        monkeypatch.setattr(time, "time", lambda hour=hour: now + hour * HOUR)
        stage.watch.step()
        stage.watch.step()

    assert stage.metrics.get("publications") in {3, 4}  # days that 60 hours touch


def test_what_is_released_is_sent_without_a_look_at_the_registry(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot's end is the only moment that counts, so nothing waits for a round."""
    digest = stage.registry.push_model("acme/model", "v1", b"a model")
    stage.watch.step()
    asked = len(stage.registry.asked)
    stage.farm.finish(1)
    box = stage.farm.workspace.outbox("acme")
    (box / "submission-1-aborted.sigstore.json").write_bytes(
        (box / "submission-1.sigstore.json").read_bytes()
    )
    (box / "submission-1-aborted.tlog-proof").write_bytes(b"as if it had become due")
    monkeypatch.setattr(stage.watch, "_next_round", float("inf"))
    monkeypatch.setattr(stage.watch, "_published_in", 0)
    stage.watch.step()

    assert stage.registry.names("acme/model", digest) == ["submission-1", "submission-1-aborted"]
    assert stage.registry.asked[asked:] == ["acme/model", "attach acme/model"]


def test_a_log_that_is_not_published_is_tried_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where too few witnesses sign, say; what has entered is sent all the same."""

    def refuse(*_: object) -> None:
        raise OwnerError("0 of the 1 witnesses needed have signed the log.")

    stage.registry.push_model("acme/model", "v1", b"a model")
    with monkeypatch.context() as patch:
        patch.setattr(service, "publish_log", refuse)
        stage.watch.step()
        stage.watch.step()
    assert stage.metrics.get("publications") == 0
    assert sum("witnesses" in line for line in stage.said) == 1
    assert stage.states() == ["acme queued"]
    monkeypatch.setattr(service, "publish_log", publish_log)
    stage.watch.step()

    assert stage.metrics.get("publications") == 1


def test_a_hint_makes_it_look_at_once(stage: Stage) -> None:
    """Without one it waits for its interval."""
    stage.watch.step()
    stage.registry.push_model("acme/model", "v1", b"a model")
    stage.watch.step()
    assert stage.rows() == []
    stage.watch.hinted.set()
    stage.watch.step()

    assert stage.states() == ["acme queued"]
    assert stage.metrics.get("submissions", "queued") == 1


def test_health_says_how_long_the_registry_was_not_read(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One round that fails is no illness; many are."""
    stage.registry.troubles[""] = Unreachable("down")
    stage.watch.step()
    assert stage.watch.ill() == []
    later = time.monotonic() + 1000
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: later)
        assert stage.watch.ill() == ["the registry has not been read for 1000 s"]
    del stage.registry.troubles[""]
    stage.watch.hinted.set()
    stage.watch.step()

    assert stage.watch.ill() == []


def test_settings_that_break_meanwhile_end_nothing(stage: Stage) -> None:
    """The operator is editing; afterwards it goes on."""
    stage.registry.push_model("acme/model", "v1", b"a model")
    stage.farm.change("[window]", "[window")
    stage.watch.step()
    assert stage.rows() == []
    stage.farm.change("[window", "[window]")
    stage.watch.hinted.set()
    stage.watch.step()

    assert stage.states() == ["acme queued"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "0.0.0.0:9464"], "loopback alone"),
        (["--notify-token-file", "TOKEN"], "needs --listen"),
        (["--listen", "127.0.0.1:0", "--notify-token-file", "EMPTY"], "a file with a token in it"),
        (["--credentials", "OTHER"], "nothing for this registry"),
    ],
)
def test_an_option_that_cannot_be_followed_is_said(
    stage: Stage, tmp_path: Path, options: list[str], words: str
) -> None:
    """Before anything is looked at."""
    (tmp_path / "TOKEN").write_text("secret\n")
    (tmp_path / "EMPTY").write_text("\n")
    (tmp_path / "OTHER").write_text('{"auths": {"other.example": {"auth": "YTpi"}}}')
    given = [str(tmp_path / each) if each.isupper() else each for each in options]
    root = str(stage.farm.workspace.root)
    command = ["watch", "https://registry.example", "--workspace", root, *given]
    ended = CliRunner().invoke(cli, command)

    assert isinstance(ended.exception, OwnerError)
    assert words in str(ended.exception)

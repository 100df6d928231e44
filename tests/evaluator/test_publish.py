"""Publication: refused before its time, whole or not at all, and repeatable by anyone."""

from __future__ import annotations

import datetime as dt
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluator import journal, publish
from evaluator.cli.board import leaderboard
from evaluator.errors import OwnerError, VerificationError
from evaluator.journal import publish_log
from evaluator.log.note import COSIGNATURE, NoteSigner, add_line, text_of
from evaluator.publish import write_site
from evaluator.trust import dump_trust, load_trust
from tests.helpers.synthetic import make
from tests.helpers.window import Farm, open_farm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = dt.datetime.now(dt.UTC)
TOMORROW = NOW + dt.timedelta(days=1)
AFTER = NOW + dt.timedelta(days=32)
"""The window that `init` writes is over."""


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[dt.datetime], None]:
    """Give a function that sets the clock of the log."""
    return lambda moment: monkeypatch.setattr(journal, "_now", lambda: moment)


@pytest.fixture
def farm(tmp_path: Path, class_folders: Callable[..., Path]) -> Farm:
    """Two vendors, each with a result."""
    made = open_farm(tmp_path, class_folders({"barley": 10, "corn": 6}))
    made.finish(made.submit("acme"), right=7)
    made.finish(made.submit("zenith"), right=4)
    return made


def run(farm: Farm, *arguments: str) -> str:
    """What a command of the group prints on stdout."""
    options = [*arguments, "--workspace", str(farm.workspace.root)]
    ran = CliRunner().invoke(leaderboard, options, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def published(farm: Farm) -> tuple[str, ...]:
    """The options by which anybody reads what is served."""
    public = farm.workspace.public
    return ("--log", str(public / "log"), "--trust", str(public / "trust.toml"))


def test_a_window_is_published_once_it_is_over(
    farm: Farm, at: Callable[[dt.datetime], None]
) -> None:
    """Pages, board.json and board.csv, which anybody can make anew from what is served."""
    at(AFTER)
    run(farm, "publish")

    site = farm.workspace.public / "board"
    document = json.loads((site / "board.json").read_bytes())
    assert [row["vendor"] for row in document["rows"]] == ["acme", "zenith"]
    assert (document["published"], document["early_reason"]) == (True, None)
    assert "acme" in (site / "index.html").read_text()
    assert (site / "board.csv").read_text().count("\n") == 3
    assert run(farm, "verify", str(site), *published(farm)).startswith("Verified: ")
    assert "zenith" in run(farm, "show", *published(farm))
    document = json.loads(run(farm, "verify", str(site), *published(farm), "--json"))
    assert document == {"schemaVersion": 1, "verified": True, "size": 8, "results": 2}


def test_before_its_end_nothing_is_published_without_a_reason(
    farm: Farm, at: Callable[[dt.datetime], None]
) -> None:
    """The error says when; with a reason the log and the board state it."""
    at(TOMORROW)
    with pytest.raises(OwnerError, match=r"closes at the end of \d{4}-\d\d-\d\d"):
        run(farm, "publish")
    assert not (farm.workspace.public / "board").exists()
    publish_log(farm.workspace, farm.signers)
    with pytest.raises(OwnerError, match="not published yet"):
        run(farm, "show", *published(farm))

    run(farm, "publish", "--early", "both vendors agreed")
    document = json.loads((farm.workspace.public / "board" / "board.json").read_bytes())
    assert document["early_reason"] == "both vendors agreed"
    assert "both vendors agreed" in run(farm, "show", *published(farm))


def _without_the_last(raw: bytes) -> bytes:
    document = json.loads(raw)
    document["rows"].pop()
    return json.dumps(document).encode()


FORGED: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda raw: raw.replace(b"0.875", b"0.876"), "rows, results"),
    (lambda raw: raw.replace(b"0.875", b"0.8750"), "how the file is written"),
    (_without_the_last, "differ in: rows"),
    (lambda raw: raw.replace(b'"metric": "accuracy"', b'"metric": "macro_recall"'), "rows"),
    (lambda _: b"{}", "no board of this program"),
    (lambda _: b"[]", "no board of this program"),
    (lambda _: b"[", "not JSON"),
]


def test_a_board_that_does_not_follow_from_the_log_is_refused(
    farm: Farm, at: Callable[[dt.datetime], None]
) -> None:
    """A figure, a row left out, another order, another spelling; the control is the file itself."""
    at(AFTER)
    run(farm, "publish")
    path = farm.workspace.public / "board" / "board.json"
    genuine = path.read_bytes()

    run(farm, "verify", str(path), *published(farm))
    for forge, complaint in FORGED:
        path.write_bytes(forge(genuine))
        with pytest.raises(VerificationError, match=complaint):
            run(farm, "verify", str(path), *published(farm))


def test_a_board_of_another_log_is_refused(farm: Farm, at: Callable[[dt.datetime], None]) -> None:
    """A fork, or a log that was made for the purpose."""
    at(AFTER)
    run(farm, "publish")
    path = farm.workspace.public / "board" / "board.json"
    document = json.loads(path.read_bytes())
    document["checkpoint"]["root"] = "ab" * 32
    path.write_text(json.dumps(document))

    with pytest.raises(VerificationError, match="none of this log's"):
        run(farm, "verify", str(path), *published(farm))


def test_the_quorum_of_a_reader_counts(farm: Farm, at: Callable[[dt.datetime], None]) -> None:
    """A log that none of the reader's witnesses has signed may be shown to that reader alone."""
    at(AFTER)
    run(farm, "publish")
    public = farm.workspace.public
    witness = NoteSigner("witness.example", Ed25519PrivateKey.generate(), COSIGNATURE)
    trust = load_trust((public / "trust.toml").read_bytes())
    asked = replace(trust, witnesses=(witness.verifier,), quorum=1)
    (public / "trust.toml").write_bytes(dump_trust(asked))

    with pytest.raises(VerificationError, match="0 of the 1 witnesses"):
        run(farm, "show", *published(farm))
    note = (public / "log" / "published").read_bytes()
    signed = add_line(note, witness.line(text_of(note), int(NOW.timestamp())))
    (public / "log" / "published").write_bytes(signed)
    assert "zenith" in run(farm, "show", *published(farm))


# Crashes


def _page(board: object, eda: object, out: Path) -> None:
    """A site of one page; real ones are test_render's."""
    del board, eda
    out.mkdir(parents=True)
    (out / "index.html").write_text("a page")


STEPS = ("render_site", "board_json", "board_csv", "_lead", "sync", "_remove")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", [1, 2])
def test_a_killed_publication_leaves_the_old_site_or_the_new(
    step: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever step; and the next one is not hindered by what was left."""
    monkeypatch.setattr(publish, "render_site", _page)
    old, new = make(10, 2).board(), make(12, 2).board()
    link = write_site(old, None, tmp_path)
    sizes = {old.checkpoint.size, new.checkpoint.size}

    def seen() -> int:
        assert (link / "index.html").exists()
        assert (link / "board.csv").stat().st_size
        size: int = json.loads((link / "board.json").read_bytes())["checkpoint"]["size"]
        return size

    child = os.fork()
    if not child:
        calls, genuine = [step], getattr(publish, step)

        def deadly(*given: object) -> object:
            if len(calls) >= number:
                os._exit(9)
            calls.append(step)
            return genuine(*given)

        setattr(publish, step, deadly)
        try:
            write_site(new, None, tmp_path)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert seen() in sizes

    write_site(new, None, tmp_path)
    assert seen() == new.checkpoint.size
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_published_can_be_read_by_a_web_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though everything else that the commands write is the owner's alone."""
    monkeypatch.setattr(publish, "render_site", _page)
    mask = os.umask(0o077)
    try:
        link = write_site(make(5, 1).board(), None, tmp_path / "public")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(mask)

    assert {path.stat().st_mode & 0o777 for path in link.iterdir()} == {0o644}
    assert link.stat().st_mode & 0o777 == 0o755


def test_a_folder_of_somebody_elses_is_not_replaced(tmp_path: Path) -> None:
    """Only a link of ours leads elsewhere from now on."""
    (tmp_path / "board").mkdir()

    with pytest.raises(OwnerError, match="Move it"):
        write_site(make(5, 1).board(), None, tmp_path)

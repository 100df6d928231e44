"""Before a window is published nobody but the operator sees another vendor's number."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluator.board.documents import board_csv, board_json
from evaluator.board.tables import print_board
from evaluator.cli.board import leaderboard
from evaluator.log.note import NoteSigner
from evaluator.log.store import create_log, open_log
from evaluator.trust import Trust, TrustedKey, dump_trust
from tests.helpers.synthetic import OPENS, ORIGIN, Synthetic, make, new_key, template

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.board.values import Board

VENDOR = "cropline"
OTHERS = ("agrisense", "terravue", "fieldwise", "norsat")


@pytest.fixture(scope="module")
def blind() -> Synthetic:
    """A window of five vendors that is not published."""
    return make(80, 5, published=False)


def documents(board: Board, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Everything that a board is ever printed as."""
    print_board(board)
    return {
        "terminal": capsys.readouterr().out,
        "json": board_json(board).decode(),
        "csv": board_csv(board),
        "values": repr(asdict(board)),
    }


def test_a_vendor_sees_nothing_of_the_others_before_publication(
    blind: Synthetic, capsys: pytest.CaptureFixture[str]
) -> None:
    """No name, run, digest or figure that is another's, in no format; the operator sees all."""
    every = blind.board()
    board = blind.board(vendor=VENDOR)

    secrets = {
        str(secret)
        for row in every.all
        if row.vendor != VENDOR
        for secret in (row.vendor, row.run, row.digest)
    }
    positions = {row.position for row in every.all if row.vendor != VENDOR}
    positions |= {row.received for row in every.all if row.vendor != VENDOR}
    for text in documents(board, capsys).values():
        assert VENDOR in text
        assert not [secret for secret in secrets if secret in text]
    assert not positions & {row.position for row in board.all}
    for text in documents(every, capsys).values():
        assert all(name in text for name in OTHERS)


def test_a_vendors_view_has_no_rank_and_no_tie(blind: Synthetic) -> None:
    """Who is first tells how good the others are at most, and a tie at least."""
    ranks = {row.rank for row in blind.board().all if row.vendor == VENDOR}
    assert ranks > {None}

    board = blind.board(vendor=VENDOR)
    assert board.vendor == VENDOR
    assert {(row.rank, row.tied) for row in (*board.rows, *board.all)} == {(None, False)}
    assert len(board.rows) == 1


def test_a_vendors_view_is_the_same_whatever_others_do() -> None:
    """Its rows, its N, its submissions without an end: a function of what is its own."""

    def view(others: int) -> tuple[Any, ...]:
        log = Synthetic(make(1, 1).key)
        log.begin()
        for _ in range(others):
            log.receive("zenith")
        position = log.receive("acme")
        board = log.board(vendor="acme")
        return len(board.open), len(board.rows), board.dataset_version, board.open == (position,)

    assert view(0) == view(3) == (1, 0, 1, True)


def test_a_version_on_which_only_others_have_results_is_not_given_away() -> None:
    """By default a vendor sees the newest version with results of its own."""
    log = Synthetic(new_key(1))
    log.begin()
    log.end(log.receive("acme"), template("acme"))
    log.commit(2)
    log.end(log.receive("zenith"), template("zenith", version=2))

    assert log.board().dataset_version == 2
    assert log.board(vendor="acme").dataset_version == 1


def test_after_publication_the_same_call_shows_the_others(blind: Synthetic) -> None:
    """The control: nothing but the owner's word in the log has changed."""
    assert {row.vendor for row in blind.board(vendor=VENDOR).all} == {VENDOR}

    open_ = Synthetic(blind.key, list(blind.entries), blind.numbers)
    open_.publish()
    board = open_.board(vendor=VENDOR)
    assert {row.vendor for row in board.all} == {VENDOR, *OTHERS}
    assert board.vendor is None
    assert board == open_.board()


def test_the_next_window_is_blind_again(blind: Synthetic) -> None:
    """New days in the rules; other rules of the same days change nothing."""
    log = Synthetic(blind.key, list(blind.entries), blind.numbers)
    log.publish()
    log.rules(rank_by="macro_recall")
    assert len(log.board(vendor=VENDOR).rows) == 5

    log.rules(opens=OPENS + timedelta(days=60))
    assert {row.vendor for row in log.board(vendor=VENDOR).all} == {VENDOR}
    assert log.board().published is None


# The command


@pytest.fixture
def served(blind: Synthetic, tmp_path: Path) -> tuple[Path, Path]:
    """The log in a folder, and a trust file."""
    signer = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    create_log(tmp_path / "log", signer)
    with open_log(tmp_path / "log", signer) as log:
        log.append(blind.entries)
    trust = Trust(signer.verifier, (TrustedKey(blind.keyid, blind.keys[0], OPENS),))
    (tmp_path / "trust.toml").write_bytes(dump_trust(trust))
    return tmp_path / "log", tmp_path / "trust.toml"


def show(served: tuple[Path, Path], *arguments: str) -> str:
    """What `evaluator leaderboard show` prints of it."""
    log, trust = served
    options = ["show", "--log", str(log), "--trust", str(trust), *arguments]
    ran = CliRunner().invoke(leaderboard, options, catch_exceptions=False)
    assert ran.exit_code == 0
    return ran.output


@pytest.mark.parametrize("how", [(), ("--json",), ("--csv",), ("--metric", "rare_recall")])
def test_the_command_shows_a_vendor_its_own(served: tuple[Path, Path], how: tuple[str]) -> None:
    """The operator's view, which says that it is one, shows the others."""
    own, every = show(served, "--vendor", VENDOR, *how), show(served, *how)

    assert VENDOR in own
    assert not [name for name in OTHERS if name in own]
    assert all(name in every for name in OTHERS)
    assert "not published" in every
    assert "not published" not in own


def test_the_document_of_the_command_is_one(served: tuple[Path, Path]) -> None:
    """With its version, and nothing beside it on stdout."""
    log, trust = served
    options = ["show", "--log", str(log), "--trust", str(trust), "--json"]
    ran = CliRunner().invoke(leaderboard, options, catch_exceptions=False)

    document = json.loads(ran.stdout)
    assert document["schemaVersion"] == 1
    assert (document["published"], document["view"], len(document["rows"])) == (False, None, 5)

"""One's own log is checked once, and again whenever anything of it could be another's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from evaluator.board.own import read_own
from evaluator.journal import publish_log
from evaluator.trust import TrustedKey, dump_trust, load_trust
from evaluator.verify import read_statement
from tests.helpers.synthetic import Synthetic, new_key
from tests.helpers.window import Farm, open_farm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def farm(tmp_path: Path, class_folders: Callable[..., Path]) -> Farm:
    """A workspace whose log has the beginning and a submission."""
    made = open_farm(tmp_path, class_folders({"barley": 10, "corn": 6}))
    made.submit("acme")
    return made


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The payloads that are checked."""
    seen: list[bytes] = []

    def counted(payload: bytes) -> dict[str, object]:
        seen.append(payload)
        return read_statement(payload)

    monkeypatch.setattr("evaluator.board.entries.read_statement", counted)
    return seen


def checked(farm: Farm, checks: list[bytes]) -> int:
    """How many entries another look checks."""
    checks.clear()
    read_own(farm.workspace)
    return len(checks)


def test_an_entry_is_checked_once(farm: Farm, checks: list[bytes]) -> None:
    """What has been added since is checked at the next look; the board is the same."""
    assert checked(farm, checks) == 4
    before = read_own(farm.workspace)
    assert checked(farm, checks) == 0

    farm.submit("zenith")
    assert checked(farm, checks) == 1
    assert read_own(farm.workspace).open == (*before.open, 4)
    (farm.workspace.checked).unlink()
    assert read_own(farm.workspace).open == (*before.open, 4)


@pytest.mark.parametrize(
    "change",
    [{"root": "00" * 32}, {"size": 3}, {"size": 400}, {"size": -1}, {"size": True}, {"by": ""}],
)
def test_a_notice_that_is_not_of_this_log_counts_for_nothing(
    farm: Farm, checks: list[bytes], change: dict[str, object]
) -> None:
    """Another root, another size, another program: all is checked again."""
    assert checked(farm, checks) == 4
    notice = json.loads(farm.workspace.checked.read_bytes())
    farm.workspace.checked.write_text(json.dumps(notice | change))

    assert checked(farm, checks) == 4


def test_a_broken_notice_counts_for_nothing(farm: Farm, checks: list[bytes]) -> None:
    """It is a notice of the program to itself."""
    farm.workspace.checked.write_text("[")

    assert checked(farm, checks) == 4


def test_other_keys_check_everything_again(farm: Farm, checks: list[bytes]) -> None:
    """What one key was believed for says nothing about two."""
    assert checked(farm, checks) == 4
    trust = load_trust(farm.workspace.trust.read_bytes())
    other = Synthetic(new_key(3))
    key = TrustedKey(other.keyid, other.keys[0], trust.keys[0].not_before)
    changed = type(trust)(trust.log, (*trust.keys, key), trust.witnesses, trust.quorum)
    farm.workspace.trust.write_bytes(dump_trust(changed))

    assert checked(farm, checks) == 4
    assert checked(farm, checks) == 0


def test_the_notice_does_not_leave_the_workspace(farm: Farm) -> None:
    """Nothing is served of it: who reads a published log checks it whole."""
    read_own(farm.workspace)
    publish_log(farm.workspace, farm.signers)

    assert farm.workspace.checked.stat().st_mode & 0o777 == 0o600
    assert not list(farm.workspace.public.rglob("checked*"))

"""A key is changed by both keys, in the log, and whole: whenever the change is killed."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rfc8785
from click.testing import CliRunner

from evaluator import journal, keys
from evaluator.bundle import fingerprint, load_public_key, named_key, open_bundle
from evaluator.cli.keys import key
from evaluator.cli.log import log
from evaluator.errors import OwnerError, VerificationError
from evaluator.founding import found
from evaluator.in_force import first_key
from evaluator.keys import (
    GRACE,
    Change,
    Elsewhere,
    NewFile,
    complete,
    finish,
    prepare,
    read_trust,
    resigned,
    short_id,
)
from evaluator.log.entries import read_log
from evaluator.log.note import parse_vkey
from evaluator.log.statements import KeyChange
from evaluator.log.store import LogReader
from evaluator.logbook import open_logbook
from evaluator.signers import Signers
from evaluator.signing import (
    generate_key,
    generate_log_key,
    is_encrypted,
    load_key,
    load_log_key,
    sign,
)
from evaluator.trust import Trust, TrustedKey, dump_trust
from evaluator.verify import verify
from evaluator.workspace import Workspace
from tests.helpers.logged import golden

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from evaluator.signing import Signer

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
PASSPHRASE = b"correct horse battery staple"


def founded(root: Path, passphrase: bytes | None = None) -> Workspace:
    """The keys of a new workspace."""
    workspace = Workspace(root)
    workspace.key.parent.mkdir(parents=True)
    keyid = generate_key(workspace.key, workspace.public_key, passphrase)
    vkey = generate_log_key(workspace.log_key, workspace.log_vkey, "log.example/farm", passphrase)
    own = TrustedKey(keyid, workspace.public_key.read_bytes(), SINCE)
    workspace.trust.write_bytes(dump_trust(Trust(vkey, (own,))))
    return workspace


def signer(workspace: Workspace, passphrase: bytes | None = None) -> Signer:
    """Who signs now."""
    return load_key(workspace.key, passphrase)


def rotate(workspace: Workspace, passphrase: bytes | None = None) -> Change:
    """The whole change, but for the log."""
    old, new = signer(workspace, passphrase), NewFile(passphrase)
    prepare(workspace, old, new, NOW, reason="a new year")
    change = complete(workspace)
    finish(workspace)
    return change


def held(folder: Path) -> Elsewhere:
    """A key that is there already, in a place of its own."""
    generate_key(folder / "own.pem", folder / "own.pub")
    return Elsewhere(f"file:{folder}/own.pem", load_key(folder / "own.pem"))


def hand_over(workspace: Workspace, new: Elsewhere) -> None:
    """The whole change to a key that is elsewhere, but for the log."""
    prepare(workspace, signer(workspace), new, NOW)
    complete(workspace)
    finish(workspace)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_the_old_key_hands_over_to_the_new_one(tmp_path: Path, passphrase: bytes | None) -> None:
    """One statement in two bundles, each of one signature; it is the log's own key-change."""
    workspace = founded(tmp_path, passphrase)
    before = workspace.public_key.read_bytes()

    change = rotate(workspace, passphrase)

    after = workspace.public_key.read_bytes()
    payload = open_bundle(change.by_old, load_public_key(before))
    assert payload == open_bundle(change.by_new, load_public_key(after))
    said = KeyChange.model_validate_json(payload).predicate
    trust = read_trust(workspace)
    first, second = trust.keys
    assert (said.previous, said.key.keyid, said.reason) == (first.keyid, second.keyid, "a new year")
    assert said.key.pem.encode() == after == second.pem
    for bundle in (change.by_old, change.by_new):
        assert verify(bundle, trust).predicate["not_before"] == "2026-12-01T12:00:00Z"


def test_the_old_pair_is_kept_and_the_trust_file_says_until_when(tmp_path: Path) -> None:
    """With a day for witnesses to see what it signed last."""
    workspace = founded(tmp_path, PASSPHRASE)
    before = {path.name: path.read_bytes() for path in workspace.key.parent.glob("signing.*")}
    (old,) = read_trust(workspace).keys

    rotate(workspace, PASSPHRASE)

    kept = workspace.retired_keys / short_id(old.keyid)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    assert kept.stat().st_mode & 0o777 == 0o700
    first, second = read_trust(workspace).keys
    assert (first.keyid, first.not_before, first.not_after) == (old.keyid, SINCE, NOW + GRACE)
    assert (second.not_before, second.not_after) == (NOW, None)
    assert signer(workspace, PASSPHRASE).public_key.keyid == second.keyid
    assert workspace.key.stat().st_mode & 0o777 == 0o600
    assert not workspace.coming_key.exists()


def test_results_of_both_keys_verify_and_none_is_dated_over_the_change(tmp_path: Path) -> None:
    """The old key's stay good; what it signs later is refused, and what the new one dates back."""
    workspace = founded(tmp_path)
    old = signer(workspace)
    rotate(workspace)
    new, trust = signer(workspace), read_trust(workspace)

    def released(at: datetime) -> bytes:
        statement = golden()
        statement["predicate"]["release"]["at"] = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        return rfc8785.dumps(statement)

    day = NOW.replace(hour=0)
    earlier, later = released(day), released(day + timedelta(days=2))
    assert verify(sign(earlier, old), trust)
    assert verify(sign(later, new), trust)
    with pytest.raises(VerificationError, match="Step 15"):
        verify(sign(later, old), trust)
    with pytest.raises(VerificationError, match="Step 15"):
        verify(sign(earlier, new), trust)


def test_a_stolen_key_is_marked(tmp_path: Path) -> None:
    """From then on nothing by it is believed."""
    workspace = founded(tmp_path)
    stolen = NOW - timedelta(days=30)
    prepare(workspace, signer(workspace), NewFile(), NOW, compromised=stolen)
    complete(workspace)

    assert [key.compromised for key in read_trust(workspace).keys] == [stolen, None]


def test_a_change_twice_makes_three_keys(tmp_path: Path) -> None:
    """Each hands over to the next."""
    workspace = founded(tmp_path)
    rotate(workspace)
    prepare(workspace, signer(workspace), NewFile(), NOW + timedelta(days=40))
    complete(workspace)
    finish(workspace)

    ends = [key.not_after for key in read_trust(workspace).keys]
    assert ends == [NOW + GRACE, NOW + timedelta(days=40) + GRACE, None]
    assert len([*workspace.retired_keys.iterdir()]) == 2


class Killed(BaseException):
    """The process ends here."""


def killing(monkeypatch: pytest.MonkeyPatch, at: int, work: Callable[[], object]) -> bool:
    """Run `work`, killed before its file operation number `at`; whether that came."""
    count = 0

    def spied(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count > at:
                raise Killed
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for owner, name in (
            (os, "link"),
            (os, "fsync"),
            (Path, "mkdir"),
            (Path, "replace"),
            (Path, "rename"),
            (Path, "unlink"),
            (shutil, "rmtree"),
        ):
            patch.setattr(owner, name, spied(getattr(owner, name)))
        try:
            work()
        except Killed:
            return True
    return False


def test_a_change_killed_anywhere_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each operation on a file in turn, and again while it is being completed.

    At every moment the key that is trusted has its private half somewhere in keys/.
    """
    kills = 0
    for at in range(200):
        workspace = founded(tmp_path / str(at))
        old = signer(workspace)
        if not killing(monkeypatch, at, lambda w=workspace: rotate(w)):  # type: ignore[misc]
            break
        kills += 1
        _require_owned(workspace)
        if workspace.coming_key.exists():
            killing(monkeypatch, at % 7, lambda w=workspace: complete(w))  # type: ignore[misc]
            _require_owned(workspace)
            complete(workspace)
            finish(workspace)
        elif signer(workspace).public_key.keyid == old.public_key.keyid:
            rotate(workspace)
        first, second = read_trust(workspace).keys
        assert first.keyid == old.public_key.keyid
        assert signer(workspace).public_key.keyid == second.keyid
        kept = workspace.retired_keys / short_id(first.keyid)
        assert load_key(kept / "signing.pem").public_key.keyid == first.keyid
        assert (kept / "signing.pub").read_bytes() == first.pem
    assert kills > 20


def test_a_change_to_a_key_elsewhere_killed_anywhere_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old key is in keys/ at every moment, and in the end in keys/retired alone."""
    new, kills = held(tmp_path / "elsewhere"), 0
    for at in range(200):
        workspace = founded(tmp_path / str(at))
        old = read_trust(workspace).keys[0]
        if not killing(monkeypatch, at, lambda w=workspace: hand_over(w, new)):  # type: ignore[misc]
            break
        kills += 1
        _require_kept(workspace, old.keyid)
        if workspace.coming_key.exists():
            assert keys.elsewhere(workspace) == new.uri
            killing(monkeypatch, at % 7, lambda w=workspace: complete(w))  # type: ignore[misc]
            _require_kept(workspace, old.keyid)
            complete(workspace)
            finish(workspace)
        elif not workspace.retired_keys.exists():
            hand_over(workspace, new)
        first, second = read_trust(workspace).keys
        assert (first.keyid, second.keyid) == (old.keyid, new.signer.public_key.keyid)
        assert workspace.public_key.read_bytes() == second.pem
        assert workspace.public_key.stat().st_mode & 0o777 == 0o644
        kept = workspace.retired_keys / short_id(old.keyid)
        assert [*workspace.key.parent.rglob("signing.pem")] == [kept / "signing.pem"]
        assert (kept / "signing.pub").read_bytes() == old.pem
    assert kills > 20


def _require_kept(workspace: Workspace, keyid: str) -> None:
    pems = workspace.key.parent.rglob("signing.pem")
    assert keyid in {load_key(pem).public_key.keyid for pem in pems}


def test_a_key_that_has_signed_before_is_no_new_one(tmp_path: Path) -> None:
    """A trust file has one time of each key; nor may a new one lie where the next would."""
    workspace, new = founded(tmp_path / "farm"), held(tmp_path / "elsewhere")
    old = signer(workspace)
    with pytest.raises(OwnerError, match="signs now"):
        prepare(workspace, old, Elsewhere(f"file:{workspace.key}", old), NOW)
    hand_over(workspace, new)

    with pytest.raises(OwnerError, match="has signed before"):
        prepare(workspace, new.signer, Elsewhere("file:/old.pem", old), NOW)
    shutil.copy(held(tmp_path / "next").uri.partition(":")[2], workspace.key)
    stray = Elsewhere(f"file:{workspace.key}", load_key(workspace.key))
    with pytest.raises(OwnerError, match="in another place"):
        prepare(workspace, new.signer, stray, NOW)
    assert not workspace.coming_key.exists()


def _require_owned(workspace: Workspace) -> None:
    """The trusted key that is still valid can sign."""
    current = read_trust(workspace).keys[-1].keyid
    pems = workspace.key.parent.rglob("signing.pem")
    assert current in {load_key(pem).public_key.keyid for pem in pems}


def test_a_change_that_has_begun_is_not_begun_again(tmp_path: Path) -> None:
    """A second pair would leave the first in the dark."""
    workspace = founded(tmp_path)
    prepare(workspace, signer(workspace), NewFile(), NOW)

    with pytest.raises(OwnerError, match="begun already"):
        prepare(workspace, signer(workspace), NewFile(), NOW)
    complete(workspace)
    finish(workspace)
    with pytest.raises(OwnerError, match="No change"):
        complete(workspace)


def test_a_key_that_is_not_trusted_hands_nothing_over(tmp_path: Path) -> None:
    """Nor is anything changed where the trust file is gone."""
    workspace = founded(tmp_path / "one")
    other = founded(tmp_path / "other")

    with pytest.raises(OwnerError, match="the one that signs now"):
        prepare(workspace, signer(other), NewFile(), NOW)
    workspace.trust.write_bytes(other.trust.read_bytes())
    with pytest.raises(OwnerError, match="does not know"):
        prepare(workspace, signer(workspace), NewFile(), NOW)
    workspace.trust.unlink()
    with pytest.raises(OwnerError, match="cannot be read"):
        prepare(workspace, signer(workspace), NewFile(), NOW)
    assert not workspace.coming_key.exists()


def test_a_result_that_waits_is_signed_anew(tmp_path: Path) -> None:
    """It enters the log after the change, when the old key signs no longer."""
    workspace = founded(tmp_path)
    path = tmp_path / "run.sigstore.json"
    payload = rfc8785.dumps(golden())
    path.write_bytes(sign(payload, signer(workspace)))
    rotate(workspace)
    new, trust = signer(workspace), read_trust(workspace)

    bundle = resigned(path, trust, new)

    assert path.read_bytes() == bundle
    assert open_bundle(bundle, load_public_key(workspace.public_key.read_bytes())) == payload
    assert resigned(path, trust, new) == bundle  # as it is


def test_a_strangers_result_is_never_signed(tmp_path: Path) -> None:
    """Whatever lies in the folder: only what a key of the owner has signed."""
    workspace, other = founded(tmp_path / "one"), founded(tmp_path / "other")
    path = tmp_path / "run.sigstore.json"
    genuine = sign(rfc8785.dumps(golden()), signer(workspace))
    rotate(workspace)
    document = json.loads(genuine)
    document["dsseEnvelope"]["payload"] = "e30="
    altered = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    for raw in (sign(rfc8785.dumps(golden()), signer(other)), altered):
        path.write_bytes(raw)
        with pytest.raises(VerificationError):
            resigned(path, read_trust(workspace), signer(workspace))
        assert path.read_bytes() == raw


def command(*arguments: str | Path) -> Result:
    """Run `evaluator key`."""
    return CliRunner().invoke(key, [str(each) for each in arguments])


def test_the_command_changes_the_key_and_enters_it_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And completes a change whose entry in the log had failed."""
    entered: list[tuple[str, str]] = []

    def key_changed(_: Workspace, signers: Signers, change: Change) -> None:
        entered.append((signers.result.public_key.keyid, named_key(change.by_new)))
        if len(entered) == 1:
            raise OwnerError("The disk is full.")

    monkeypatch.setattr(journal, "key_changed", key_changed)
    workspace = found(tmp_path / "farm", class_sizes=False, passphrase=PASSPHRASE).workspace
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    options = ("--workspace", workspace.root, "--passphrase-file", tmp_path / "passphrase")

    first = command("rotate", *options, "--reason", "a new year")
    second = command("rotate", *options)
    shown = command("show", "--workspace", workspace.root, "--json")

    assert isinstance(first.exception, OwnerError)
    assert (second.exit_code, "is completed" in second.stderr) == (0, True)
    old, new = json.loads(shown.stdout)["keys"]
    assert entered == [(new["keyid"], new["keyid"])] * 2
    assert (old["not_after"] is None, new["not_after"]) == (False, None)
    assert not workspace.coming_key.exists()
    assert is_encrypted(workspace.key)
    printed = command("show", "--workspace", workspace.root).stdout
    assert old["keyid"] in printed
    assert new["keyid"] in printed


def test_the_command_says_when_the_old_key_was_stolen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time in UTC and nothing else."""
    monkeypatch.setattr(journal, "key_changed", lambda *_: None)
    workspace = found(tmp_path / "farm", class_sizes=False).workspace
    options = ("rotate", "--workspace", workspace.root, "--compromised")

    assert command(*options, "yesterday").exit_code == 2
    assert command(*options, "2026-11-01T00:00:00Z").exit_code == 0
    assert read_trust(workspace).keys[0].compromised == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("begun", [False, True], ids=["empty", "begun"])
def test_the_log_has_the_change_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, begun: bool
) -> None:
    """Whether it had begun or not, and though the first try ends when the log has it already."""
    workspace = found(tmp_path / "farm", class_sizes=False).workspace
    before = workspace.public_key.read_bytes()
    if begun:
        log = load_log_key(workspace.log_key, workspace.settings().log.origin)
        with open_logbook(workspace, Signers(signer(workspace), log)) as book:
            book.enter([first_key(workspace, signer(workspace))])
    with monkeypatch.context() as patch:
        patch.setattr(keys, "finish", _killed)
        with pytest.raises(Killed):
            command("rotate", "--workspace", workspace.root)

    assert command("rotate", "--workspace", workspace.root).exit_code == 0

    reader = LogReader(workspace.log, parse_vkey(workspace.log_vkey.read_text()))
    entries = [*read_log(reader.entries(0, reader.checkpoint.size))]
    old, new = (fingerprint(load_public_key(pem)) for pem in (before, _public(workspace)))
    assert [entry.keyid for entry in entries] == [old, old, new]
    assert all(isinstance(entry.statement, KeyChange) for entry in entries)


def _killed(_: Workspace) -> None:
    raise Killed


def test_a_key_elsewhere_is_changed_to_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --signer a command says where to look; a rerun needs none of the options."""
    workspace = found(tmp_path / "farm", class_sizes=False, passphrase=PASSPHRASE).workspace
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    options = ("--workspace", workspace.root, "--passphrase-file", tmp_path / "passphrase")
    generate_key(tmp_path / "own.pem", tmp_path / "own.pub", PASSPHRASE)
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(keys, "finish", _killed)
        with pytest.raises(Killed):
            command("rotate", *options, "--to", "file:own.pem", "--to-public-key", "own.pub")
    monkeypatch.chdir("/")

    completed = command("rotate", *options)
    signer_option = ("--signer", f"file:{tmp_path}/own.pem")
    without = CliRunner().invoke(log, ["publish", *map(str, options)])
    back = command("rotate", *options, *signer_option)

    assert completed.exit_code == 0, completed.output
    assert " ".join(signer_option) in completed.stderr
    assert isinstance(without.exception, OwnerError)
    assert "held elsewhere: say by --signer URI (or EVALUATOR_SIGNER)" in str(without.exception)
    assert (back.exit_code, "leave out --signer" in back.stderr) == (0, True)
    assert is_encrypted(workspace.key)
    reader = LogReader(workspace.log, parse_vkey(workspace.log_vkey.read_text()))
    signed_by = [entry.keyid for entry in read_log(reader.entries(0, reader.checkpoint.size))]
    one, two, three = (each.keyid for each in read_trust(workspace).keys)
    assert signed_by == [one, one, two, two, three]
    assert two == fingerprint(load_public_key((tmp_path / "own.pub").read_bytes()))


def test_a_new_key_elsewhere_is_named_with_its_public_key(tmp_path: Path) -> None:
    """Nothing is changed where one of the two is missing, or where they are no pair."""
    workspace = found(tmp_path / "farm", class_sizes=False).workspace
    before = _files(workspace)
    for folder in (tmp_path, tmp_path / "other"):
        held(folder)
    options = ("rotate", "--workspace", workspace.root)
    to = ("--to", f"file:{tmp_path}/own.pem")

    assert command(*options, *to).exit_code == 2
    assert command(*options, "--to-public-key", tmp_path / "own.pub").exit_code == 2
    failed = command(*options, *to, "--to-public-key", tmp_path / "other" / "own.pub")
    assert "not that of the signing key" in str(failed.exception)
    assert _files(workspace) == before
    assert command(*options, *to, "--to-public-key", tmp_path / "own.pub").exit_code == 0


def _files(workspace: Workspace) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}


def _public(workspace: Workspace) -> bytes:
    return workspace.public_key.read_bytes()

"""Change the key that signs results: a new pair, two signatures on the change, one trust file.

    prepare(workspace, old, new, ...)   everything that will be, in keys/coming
    complete(workspace)                 put in its place; the bundles for the log
    finish(workspace)                   once the log has them

Each is whole or not at all, and a change that was killed is completed by `complete`, which needs
no key. keys/trust.toml is written last: until then the old key is the one that is believed.

The new key is a file made here (`NewFile`), or one that is there already and that something else
holds (`Elsewhere`): then keys/ has its public half alone.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from evaluator import files
from evaluator.bundle import fingerprint, load_public_key, named_key, open_bundle
from evaluator.errors import OwnerError
from evaluator.files import sync, write_new
from evaluator.log.statements import Changed, Key, KeyChange
from evaluator.signers import FILE
from evaluator.signing import generate_key, load_key, sign
from evaluator.trust import Trust, TrustedKey, dump_trust, load_trust
from evaluator.verify import trusted_key

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from evaluator.signing import Signer
    from evaluator.workspace import Workspace

GRACE = timedelta(days=1)
"""How long after a change witnesses may take to see what the old key signed before it."""

_PAIR = ("signing.pem", "signing.pub")
_URI = "signing.uri"


@dataclass(frozen=True, slots=True)
class NewFile:
    """The new key is made here, in keys/signing.pem, under this passphrase if there is one."""

    passphrase: bytes | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The new key is none of the files in keys/: who signs by it, and the URI that opens it."""

    uri: str
    signer: Signer


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of the key enters in the log: one statement, by the old key and by the new.

    `first` introduces the old key itself, for a log that has not begun.
    """

    first: bytes
    by_old: bytes
    by_new: bytes


def key_statement(
    signer: Signer, previous: str | None, at: datetime, reason: str | None = None
) -> KeyChange:
    """Return the statement that the key of `signer` signs from `at` on, `previous` no longer."""
    pem = str(signer.public_key.keyval["public"])  # SubjectPublicKeyInfo
    ed25519 = isinstance(load_public_key(pem.encode()), Ed25519PublicKey)
    key = Key(
        keyid=signer.public_key.keyid,
        algorithm="ed25519" if ed25519 else "ecdsa-p256",
        pem=pem,
    )
    changed = Changed(
        purpose="result",
        key=key,
        previous=previous,
        not_before=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        reason=reason,
    )
    return KeyChange.of({"result-key": hashlib.sha256(pem.encode()).hexdigest()}, changed)


def key_change(
    old: Signer, new: Signer, at: datetime, reason: str | None = None
) -> tuple[bytes, bytes]:
    """Return one statement in two bundles: the old key hands over, and the new one is there.

    Two, since a verifier such as cosign takes an envelope of exactly one signature.
    """
    payload = key_statement(new, old.public_key.keyid, at, reason).payload()
    return sign(payload, old), sign(payload, new)


def prepare(  # noqa: PLR0913 - one for each fact of the change
    workspace: Workspace,
    old: Signer,
    new: NewFile | Elsewhere,
    at: datetime,
    *,
    reason: str | None = None,
    compromised: datetime | None = None,
) -> None:
    """Have the new key, the bundles and the trust file that will be, in keys/coming.

    `at` is in whole seconds. From `compromised` on somebody else may have had the old key. Raises
    OwnerError, with nothing changed, where a change has begun already, the old key is not the one
    that signs now, or the new one has signed before.
    """
    if workspace.coming_key.exists():
        raise OwnerError("A change of the key has begun already; it is completed first.")
    before = read_trust(workspace)
    known = _in_force(workspace, before, old)
    if isinstance(new, Elsewhere):
        _require_new(workspace, before, new)
    part = _part(workspace)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    signer = _have(part, new)
    first = sign(key_statement(old, None, known.not_before).payload(), old)
    change = Change(first, *key_change(old, signer, at, reason))
    for field in fields(change):
        write_new(_bundle(part, field.name), getattr(change, field.name), 0o600)
    own = TrustedKey(signer.public_key.keyid, (part / "signing.pub").read_bytes(), at)
    ended = replace(known, not_after=at + GRACE, compromised=compromised)
    kept = (ended if key == known else key for key in before.keys)
    write_new(part / "trust.toml", dump_trust(replace(before, keys=(*kept, own))), 0o644)
    sync(part)
    part.rename(workspace.coming_key)
    sync(workspace.coming_key.parent)


def _in_force(workspace: Workspace, trust: Trust, old: Signer) -> TrustedKey:
    """Return what the trust file has of the old key; OwnerError unless that is the one in force."""
    keyid = old.public_key.keyid
    current = fingerprint(load_public_key(workspace.public_key.read_bytes()))
    if keyid != current:
        raise OwnerError(
            f"The key at hand is {keyid}, and the one that signs now is {current}. Give that one "
            "with --signer, or none where it is keys/signing.pem."
        )
    known = trust.key(keyid)
    if known is None:
        raise OwnerError(
            f"keys/trust.toml does not know {keyid}, which signs now. Restore the one that "
            "belongs to this key."
        )
    return known


def _require_new(workspace: Workspace, trust: Trust, new: Elsewhere) -> None:
    keyid = new.signer.public_key.keyid
    if trust.key(keyid):  # a trust file says from when to when, once for each key
        raise OwnerError(
            f"{keyid} signs now, or has signed before, in this workspace. Make a new key there."
        )
    if new.uri == f"{FILE}:{workspace.key}":
        raise OwnerError(
            f"{workspace.key} is where `evaluator key rotate` puts a key of its own making. "
            "Keep this one in another place."
        )


def _have(part: Path, new: NewFile | Elsewhere) -> Signer:
    """Make the new key in `part`, or write down which one it is; return who signs by it."""
    if isinstance(new, NewFile):
        generate_key(part / "signing.pem", part / "signing.pub", new.passphrase)
        return load_key(part / "signing.pem", new.passphrase)
    pem = str(new.signer.public_key.keyval["public"])  # as the trust file spells it
    write_new(part / "signing.pub", pem.encode(), 0o644)
    write_new(part / _URI, new.uri.encode(), 0o600)
    return new.signer


def elsewhere(workspace: Workspace) -> str | None:
    """Return the URI of the new key of a change that has begun, unless it is a file in keys/."""
    try:
        return (workspace.coming_key / _URI).read_text()
    except FileNotFoundError:
        return None


def complete(workspace: Workspace) -> Change:
    """Put in place what `prepare` made, however far that had come; return what the log is to have.

    What keys/ had of the old key goes to keys/retired. Raises OwnerError where no change has begun.
    """
    coming, keys = workspace.coming_key, workspace.coming_key.parent
    try:
        change = Change(*(_bundle(coming, field.name).read_bytes() for field in fields(Change)))
    except OSError as error:
        raise OwnerError("No change of the key has begun.") from error
    retired = workspace.retired_keys / short_id(named_key(change.by_old))
    retired.mkdir(mode=0o700, parents=True, exist_ok=True)
    if elsewhere(workspace):
        _keep(workspace.key, retired / workspace.key.name)
        sync(retired)  # before the other name of the only copy is gone
        workspace.key.unlink(missing_ok=True)
    for name in _PAIR:
        if (coming / name).exists():  # else it is in its place, and what would be kept is the new
            _keep(keys / name, retired / name)
            (coming / name).replace(keys / name)
    for folder in (retired, workspace.retired_keys, keys):
        sync(folder)
    if (coming / "trust.toml").exists():
        (coming / "trust.toml").replace(workspace.trust)
        sync(keys)
    return change


def finish(workspace: Workspace) -> None:
    """Forget a change that the log has."""
    part = _part(workspace)
    shutil.rmtree(part, ignore_errors=True)
    workspace.coming_key.rename(part)  # it is gone whole: half of one could not be completed
    sync(part.parent)
    shutil.rmtree(part)


def resigned(path: Path, trust: Trust, signer: Signer) -> bytes:
    """Return the bundle of a result that is not in the log yet, signed by the key now in force.

    One that an earlier key of the owner signed before the change is signed anew, and its file
    replaced. Raises VerificationError where none of the owner's keys signed it.
    """
    raw = path.read_bytes()
    if named_key(raw) == signer.public_key.keyid:
        return raw
    payload = open_bundle(raw, load_public_key(trusted_key(raw, trust).pem))
    bundle = sign(payload, signer)
    files.replace(path, bundle)
    return bundle


def read_trust(workspace: Workspace) -> Trust:
    """Return the workspace's own trust file; OwnerError where there is none."""
    try:
        return load_trust(workspace.trust.read_bytes())
    except OSError as error:
        raise OwnerError(
            f"{workspace.trust} cannot be read ({error.strerror}). Restore it from a backup, or "
            "from public/trust.toml."
        ) from error


def short_id(keyid: str) -> str:
    """Return the first 12 hexadecimal digits of a fingerprint, for the name of a directory."""
    return base64.b64decode(keyid.removeprefix("SHA256:") + "=").hex()[:12]


def _part(workspace: Workspace) -> Path:
    """Where a change is made, and unmade: what lies there is of one that never was, or is over."""
    return workspace.coming_key.with_name(".coming.part")


def _bundle(folder: Path, name: str) -> Path:
    return folder / f"{name.replace('_', '-')}.sigstore.json"


def _keep(path: Path, kept: Path) -> None:
    """Have a file under a second name, if it is there and has not got it yet."""
    if path.exists() and not kept.exists():
        os.link(path, kept)

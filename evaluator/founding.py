"""A new workspace: settings, keys, and an empty log that everything in it will be signed into."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.bundle import fingerprint, load_public_key
from evaluator.files import write_new
from evaluator.log.store import create_log
from evaluator.signing import generate_key, generate_log_key, load_log_key
from evaluator.trust import Trust, TrustedKey, dump_trust
from evaluator.workspace import Workspace, init

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Founded:
    """A new workspace, and the fingerprint of the key that will sign its results."""

    workspace: Workspace
    keyid: str


def found(root: Path, *, class_sizes: bool, passphrase: bytes | None = None) -> Founded:
    """Make a workspace at `root`; OwnerError where there is one, or where a key cannot be made.

    One passphrase encrypts both keys, of results and of the log.
    """
    workspace = init(root, class_sizes=class_sizes)
    keyid = generate_key(workspace.key, workspace.public_key, passphrase)
    found_log(workspace, passphrase)
    return Founded(workspace, keyid)


def found_log(workspace: Workspace, passphrase: bytes | None = None) -> None:
    """Make the log's key, an empty log, and the file that says whom to trust.

    Raises OwnerError where the workspace has a log already.
    """
    origin = workspace.settings().log.origin
    vkey = generate_log_key(workspace.log_key, workspace.log_vkey, origin, passphrase)
    create_log(workspace.log, load_log_key(workspace.log_key, origin, passphrase))
    public = workspace.public_key.read_bytes()
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    own = TrustedKey(fingerprint(load_public_key(public)), public, now)
    write_new(workspace.trust, dump_trust(Trust(vkey, (own,))), 0o644)

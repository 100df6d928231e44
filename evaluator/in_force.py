"""What is now in force in a workspace, as the statements that the log has of it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import sandbox
from evaluator import __version__
from evaluator.admission_policy import load_admission_policy
from evaluator.dataset.sealed import open_dataset
from evaluator.errors import OwnerError
from evaluator.keys import key_statement, read_trust
from evaluator.log.statements import (
    Allowed,
    Committed,
    HoldoutCommitment,
    PolicyChange,
    Published,
    Rules,
    WindowDays,
)
from evaluator.workspace import shipped

if TYPE_CHECKING:
    from evaluator.log.statements import KeyChange
    from evaluator.settings import Settings
    from evaluator.signing import Signer
    from evaluator.workspace import Workspace


def commitment(workspace: Workspace) -> HoldoutCommitment:
    """Return the statement of the holdout's commitment; OwnerError where there is no dataset."""
    dataset = open_dataset(workspace.data)
    published = dataset.commitment.read_bytes()
    said = json.loads(published)
    committed = Committed(
        version=dataset.version,
        count=said["count"],
        root=said["root"],
        task=dataset.task,
        classes=dataset.classes,
    )
    subject = {dataset.commitment.name: hashlib.sha256(published).hexdigest()}
    return HoldoutCommitment.of(subject, committed)


def rules_of(workspace: Workspace, settings: Settings) -> PolicyChange:
    """Return the statement of the window's rules and of the policy files."""
    publish = settings.publish.model_dump()
    seccomp = (shipped("policies") / "seccomp.json").read_bytes()
    subject = {
        "sandbox.toml": sandbox.load_policy(workspace.sandbox_policy).sha256,
        "seccomp.json": hashlib.sha256(seccomp).hexdigest(),
        "admission.toml": load_admission_policy(workspace.admission_policy).sha256,
    }
    days = {"opens": str(settings.window.opens), "closes": str(settings.window.closes)}
    rules = Rules(
        window=WindowDays(**days),
        publish=Published(**publish),
        limits=Allowed(
            submissions=settings.limits.submissions, petaflops=settings.limits.petaflops
        ),
        evaluator=__version__,
    )
    return PolicyChange.of(subject, rules)


def first_key(workspace: Workspace, signer: Signer) -> KeyChange:
    """Return the statement that begins a log: which key signs it, as keys/trust.toml has it.

    Raises OwnerError where readers are not told to trust that key.
    """
    keyid = signer.public_key.keyid
    trusted = read_trust(workspace).key(keyid)
    if trusted is None:
        raise OwnerError(
            f"keys/trust.toml does not have the key that signs, {keyid}, so nobody could verify "
            "what it signed. `evaluator key rotate` changes to another key."
        )
    return key_statement(signer, None, trusted.not_before)

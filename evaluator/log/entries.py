"""The entries of the log: an envelope as it lies there, and what it says once its key is known.

read_entry(position, envelope, keys)   signature checked, statement parsed, figures not
KeyRing                                which keys the log itself has introduced so far
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from evaluator.bundle import bundle_of, fingerprint, keyid_of, load_public_key, open_envelope
from evaluator.errors import VerificationError
from evaluator.log.statements import (
    HoldoutCommitment,
    KeyChange,
    PolicyChange,
    ResultWithdrawn,
    RunAborted,
    Statement,
    SubmissionReceived,
    parse,
)
from evaluator.result import PREDICATE_TYPE, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evaluator.bundle import PublicKey


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its `envelope` as the log has it, and `keyid`, who signed it."""

    position: int
    keyid: str
    envelope: bytes
    statement: Statement | Result

    @property
    def bundle(self) -> bytes:
        """The file in which it travels."""
        return bundle_of(self.envelope)

    @property
    def name(self) -> str:
        """What there is at most one of: the ledger knows the entry by it."""
        match self.statement:
            case SubmissionReceived(predicate=said):
                name = f"received/{said.number or f'run-{said.run}'}"
            case RunAborted(predicate=said):
                name = f"end/{said.received}"
            case Result(predicate=result):
                name = f"end/{result.log.received}"
            case ResultWithdrawn(predicate=withdrawn):
                name = f"withdrawn/{withdrawn.run}"
            case HoldoutCommitment(predicate=committed):
                name = f"commitment/{committed.version}"
            case PolicyChange():
                name = f"policy/{self.position}"
            case KeyChange():
                name = f"key/{self.position}"
            case _:
                name = f"published/{self.position}"
        return name


@dataclass
class KeyRing:
    """The owner's keys as the log introduces them: the first by itself, the next by the one before.

    `current` signs from now on; the entries of a change are signed by the old key and by the new.
    """

    keys: dict[str, PublicKey] = field(default_factory=dict)
    current: str | None = None
    _coming: str | None = None

    def read(self, position: int, envelope: bytes) -> Entry:
        """Return the next entry; VerificationError unless the key in force has signed it."""
        entry = read_entry(position, envelope, self.keys if self.current else _itself(envelope))
        if isinstance(entry.statement, KeyChange):
            self._change(entry)
        elif entry.keyid != self.current or self._coming:
            raise VerificationError(
                f"Entry {position} of the log is signed by {entry.keyid}, which is not the key in "
                "force."
            )
        return entry

    def again(self, position: int, envelope: bytes) -> Entry:
        """Return an entry of before, whichever key was in force then."""
        return read_entry(position, envelope, self.keys)

    def _change(self, entry: Entry) -> None:
        assert isinstance(entry.statement, KeyChange)  # noqa: S101 - the caller asks
        said = entry.statement.predicate
        new = said.key.keyid
        key = load_public_key(said.key.pem.encode())
        if fingerprint(key) != new or (self._coming is None and said.previous != self.current):
            raise VerificationError(
                f"Entry {entry.position} of the log changes from a key that is not in force, or "
                "names its new key wrongly."
            )
        self.keys[new] = key
        if self.current is None:
            self.current = new
        elif self._coming is None and entry.keyid == self.current:
            self._coming = new
        elif self._coming == new and entry.keyid == new:
            self.current, self._coming = new, None
        else:
            raise VerificationError(
                f"Entry {entry.position} of the log changes the key, but not by the old one first "
                "and then by the new."
            )


def read_entry(position: int, envelope: bytes, keys: dict[str, PublicKey]) -> Entry:
    """Return what an envelope says if the key that it names, one of `keys`, has signed it.

    Raises VerificationError naming the position. That a result adds up is for `verify` to say.
    """
    try:
        keyid = keyid_of(envelope)
        _, payload = open_envelope(envelope, {keyid: _known(keyid, keys)})
        is_result = b'"predicateType":"' + PREDICATE_TYPE.encode() + b'"' in payload
        said = Result.parse(payload) if is_result else parse(payload)
    except ValidationError as error:
        raise VerificationError(
            f"Entry {position} of the log is no statement of a kind that this program knows."
        ) from error
    except VerificationError as error:
        raise VerificationError(f"Entry {position} of the log: {error}") from error
    return Entry(position, keyid, envelope, said)


def _known(keyid: str, keys: dict[str, PublicKey]) -> PublicKey:
    if keyid not in keys:
        raise VerificationError("it is signed by a key that the log does not know.")
    return keys[keyid]


def _itself(envelope: bytes) -> dict[str, PublicKey]:
    """The key that the first entry introduces, by which that entry itself is signed."""
    try:
        payload = base64.b64decode(json.loads(envelope)["payload"], validate=True)
        key = KeyChange.model_validate_json(payload).predicate.key
    except (ValueError, KeyError, TypeError) as error:
        raise VerificationError("The log does not begin with the key that signs it.") from error
    return {key.keyid: load_public_key(key.pem.encode())}


def read_log(entries: Iterable[bytes]) -> Iterator[Entry]:
    """Read a log from its first entry, each by the key that the log had introduced by then."""
    ring = KeyRing()
    for position, envelope in enumerate(entries):
        yield ring.read(position, envelope)

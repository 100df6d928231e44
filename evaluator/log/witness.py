"""A witness: cosigns what a log says as long as the log only grew.

It speaks https://c2sp.org/tlog-witness@v1.0.0 and needs Python and `cryptography` alone:

    python -m evaluator.log.witness key --name witness.example/w1 FOLDER
    python -m evaluator.log.witness serve --log VKEY [--listen HOST:PORT] FOLDER

The folder holds the key and, for each log, the last checkpoint cosigned. Whoever loses that file
must retire the key: a witness that forgot what it signed could sign a second past. There is no
TLS here; strangers reach a witness through a server that has it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluator import merkle
from evaluator.errors import EvaluatorError, OwnerError, VerificationError
from evaluator.files import replace, write_new
from evaluator.log.checkpoint import Checkpoint, parse_checkpoint, parse_decimal
from evaluator.log.folder import locked
from evaluator.log.note import COSIGNATURE, NoteSigner, VerifierKey, open_note, parse_vkey, text_of
from evaluator.log.proof import parse_hashes
from evaluator.log.witness_http import Reply, Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEY: Final = "witness.key"
LISTEN: Final = "127.0.0.1:8080"
_SKEY: Final = "PRIVATE+KEY+"  # of the form that Go's note package gives private keys


class _RefusalError(Exception):
    """A request that is not answered with a cosignature, and how it is answered."""

    def __init__(self, *reply: Any) -> None:  # noqa: ANN401  # the fields of a Reply
        super().__init__()
        self.reply = Reply(*reply)


class Witness:
    """What a witness decides, apart from HTTP; `logs` has the key of each origin."""

    def __init__(self, folder: Path, signer: NoteSigner, logs: Mapping[str, VerifierKey]) -> None:
        self._folder = folder
        self._signer = signer
        self._logs = dict(logs)
        self._locks = {origin: threading.Lock() for origin in logs}

    def add_checkpoint(self, body: bytes) -> Reply:
        """Answer an add-checkpoint request.

        1. It reads as one (400), of a log that is known (404), whose key signed it (403).
        2. It starts where the last cosigned checkpoint ends (409, with that size), and does not
           go back (400).
        3. The proof leads from there to the new root (422); for the same size, the same root (409).
        4. The new checkpoint is on the disk.
        5. Only then does a cosignature exist, and is handed out.
        """
        try:
            # Step 1
            old, path, note, new = self._read(body)
            with self._locks[new.origin]:
                last = self.last(new.origin)
                # Step 2
                _require_next(last, old, new)
                # Step 3
                _require_consistent(last, new, path)
                # Step 4
                replace(self._path(new.origin), note)
                # Step 5
                line = self._signer.line(new.text(), int(time.time()))
        except _RefusalError as refusal:
            return refusal.reply
        return Reply(HTTPStatus.OK, line.encode())

    def last(self, origin: str) -> Checkpoint:
        """Return the last checkpoint cosigned for a log: of size 0 where there is none.

        Raises VerificationError where the file was damaged, and OSError where it cannot be read;
        the witness then signs nothing.
        """
        try:
            note = self._path(origin).read_bytes()
        except FileNotFoundError:
            return Checkpoint(origin, 0, merkle.EMPTY_ROOT)
        return parse_checkpoint(open_note(note, [self._logs[origin]]).text)

    def _read(self, body: bytes) -> tuple[int, tuple[bytes, ...], bytes, Checkpoint]:
        """Return old size, proof, note and checkpoint of a request that a known log signed."""
        try:
            old, path, note = _parse(body)
            new = parse_checkpoint(text_of(note))
        except (VerificationError, ValueError) as error:
            raise _RefusalError(HTTPStatus.BAD_REQUEST) from error
        if new.origin not in self._logs:
            raise _RefusalError(HTTPStatus.NOT_FOUND)
        try:
            open_note(note, [self._logs[new.origin]])
        except VerificationError as error:
            raise _RefusalError(HTTPStatus.FORBIDDEN) from error
        return old, path, note, new

    def _path(self, origin: str) -> Path:
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.checkpoint"


def _require_next(last: Checkpoint, old: int, new: Checkpoint) -> None:
    """Require that a request starts where the last one ended, and says nothing else of that."""
    if old > new.size:
        raise _RefusalError(HTTPStatus.BAD_REQUEST)
    if old != last.size or (old == new.size and last.root != new.root):
        size = f"{last.size}\n".encode()
        raise _RefusalError(HTTPStatus.CONFLICT, size, "text/x.tlog.size")


def _require_consistent(last: Checkpoint, new: Checkpoint, path: tuple[bytes, ...]) -> None:
    if not merkle.consistent(last.size, last.root, new.size, new.root, path):
        raise _RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY)


def _parse(body: bytes) -> tuple[int, tuple[bytes, ...], bytes]:
    """Return old size, proof and note of a request; ValueError where it is none."""
    head, gap, note = body.partition(b"\n\n")
    old, *lines = head.decode("ascii").split("\n")
    if not gap or not old.startswith("old "):
        raise ValueError
    return parse_decimal(old.removeprefix("old ")), parse_hashes(lines), note


def generate_key(folder: Path, name: str) -> VerifierKey:
    """Make a witness's key (0600) in `folder` and return its public half; OwnerError if it has one.

    `name` should be an address without its scheme, such as witness.example/w1.
    """
    signer = NoteSigner(name, Ed25519PrivateKey.generate(), COSIGNATURE)
    material = base64.b64encode(bytes([COSIGNATURE]) + signer.private.private_bytes_raw()).decode()
    try:
        write_new(
            folder / KEY,
            f"{_SKEY}{name}+{signer.verifier.key_id.hex()}+{material}\n".encode(),
            0o600,
        )
    except FileExistsError as error:
        raise OwnerError(
            f"{folder / KEY} exists already, and a key that cosigned must not be replaced."
        ) from error
    except OSError as error:
        raise OwnerError(f"{folder / KEY} cannot be written ({error.strerror}).") from error
    return signer.verifier


def load_signer(folder: Path) -> NoteSigner:
    """Return the signer of the key in `folder`; OwnerError where there is none."""
    try:
        text = (folder / KEY).read_text().strip()
        name, key_id, material = text.removeprefix(_SKEY).split("+", 2)
        raw = base64.b64decode(material, validate=True)
        private = Ed25519PrivateKey.from_private_bytes(raw[1:])
        signer = NoteSigner(name, private, COSIGNATURE)
        genuine = raw[0] == COSIGNATURE and signer.verifier.key_id.hex() == key_id
    except (OSError, ValueError, IndexError, VerificationError) as error:
        raise OwnerError(
            f"{folder / KEY} is no key of a witness. `key` makes one; restore it from its backup "
            "if there was one."
        ) from error
    if not genuine:
        raise OwnerError(f"{folder / KEY} was altered: its hash does not fit. Restore it.")
    return signer


def make_server(
    folder: Path, signer: NoteSigner, logs: Mapping[str, VerifierKey], listen: str = LISTEN
) -> Server:
    """Return a server on HOST:PORT that answers nothing yet; OwnerError if it cannot listen."""
    host, _, port = listen.rpartition(":")
    try:
        return Server((host.strip("[]"), int(port)), Witness(folder, signer, logs).add_checkpoint)
    except (OSError, ValueError, OverflowError) as error:
        raise OwnerError(
            f"The witness cannot listen on {listen}: give HOST:PORT of this host, with a port "
            "that no other program has."
        ) from error


def serve(
    folder: Path, signer: NoteSigner, logs: Mapping[str, VerifierKey], listen: str = LISTEN
) -> None:
    """Serve until interrupted, alone in `folder`: two servers there could sign two pasts."""
    with locked(folder, wait=False), make_server(folder, signer, logs, listen) as server:
        where = "{}:{}".format(*server.server_address[:2])
        print(f"Listening on {where} as {signer.verifier}", file=sys.stderr)  # noqa: T201  # as below
        server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluator.log.witness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, dest="command")
    key = commands.add_parser("key", help="make the witness's key and print its vkey")
    key.add_argument("--name", required=True, help="such as witness.example/w1")
    served = commands.add_parser("serve", help="answer add-checkpoint requests")
    served.add_argument(
        "--log", action="append", required=True, metavar="VKEY", help="a log's vkey (repeatable)"
    )
    served.add_argument("--listen", default=LISTEN, metavar="HOST:PORT", help=f"default: {LISTEN}")
    for command in (key, served):
        command.add_argument("folder", type=Path, help="of this witness alone")
    given = parser.parse_args(arguments)
    try:
        if given.command == "key":
            print(generate_key(given.folder, given.name))  # noqa: T201  # a command line of its own
        else:
            logs = {parsed.name: parsed for parsed in map(parse_vkey, given.log)}
            serve(given.folder, load_signer(given.folder), logs, given.listen)
    except KeyboardInterrupt:
        return 130
    except EvaluatorError as error:
        print(error, file=sys.stderr)  # noqa: T201  # as above
        return 4 if isinstance(error, VerificationError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

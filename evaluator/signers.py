"""Who signs: the key of results, in a file or elsewhere, and the key of the log.

    load_signer(uri, public_key, secret)     a signer of results by its URI
    Signers(result, log)                     both, as commands that sign pass them on

A URI is securesystemslib's (awskms:, azurekms:, gcpkms:, hsm:, hv:), or `file:PATH` of ours: the
PKCS#8 file of `evaluator init`. Whatever signs, its key is named by its SSH fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.bundle import fingerprint, load_public_key
from evaluator.errors import OwnerError
from evaluator.signing import is_encrypted, load_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.log.note import NoteSigner
    from evaluator.signing import Signer

FILE = "file"
_EXTRAS = {
    "awskms": "awskms",
    "azurekms": "azurekms",
    "gcpkms": "gcpkms",
    "hsm": "hsm",
    "hv": "vault",
}
_TRIAL = b"submission-evaluator: is this the key?"  # no statement begins so


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signs statements, and who signs the checkpoints of the log."""

    result: Signer
    log: NoteSigner


def load_signer(uri: str, public_key: Path, secret: Callable[[str], str]) -> Signer:
    """Return who signs by `uri`, whose public key (PEM) is in the file `public_key`.

    `secret` is asked for what the key needs: "passphrase" of a file, "pin" of a token. Raises
    OwnerError where the key cannot be had, and says what to do. Whatever is no file signs a few
    bytes first.
    """
    scheme = uri.partition(":")[0]
    if scheme not in {FILE, *_EXTRAS}:
        raise OwnerError(
            f"A signer is named by one of {FILE}:, {', '.join(f'{each}:' for each in _EXTRAS)} and "
            "what follows, for example awskms:alias/results."
        )
    try:
        pem = public_key.read_bytes()
    except OSError as error:
        raise OwnerError(
            f"The public key {public_key} of the signer cannot be read ({error.strerror}). "
            "Name it with --public-key."
        ) from error
    keyid = fingerprint(load_public_key(pem))
    try:
        if scheme == FILE:
            return _of_file(Path(uri.partition(":")[2]), keyid, secret)
        return _of_service(uri, pem, keyid, secret)
    except OwnerError:
        raise
    except ImportError as error:
        raise OwnerError(
            f"What signs by {scheme}: is not installed. "
            f"Run: pip install 'submission-evaluator[{_EXTRAS.get(scheme, scheme)}]'"
        ) from error
    except Exception as error:  # a key service can fail in its library's own ways
        raise OwnerError(
            f"The signer {scheme}: cannot be opened ({type(error).__name__}: {error}). Check its "
            "URI, the public key beside it, and the PIN or login that it asks for."
        ) from error


def _of_file(pem: Path, keyid: str, secret: Callable[[str], str]) -> Signer:
    """The signer of the key in a file, encrypted or open, read as `load_key` reads it."""
    asked = secret("passphrase") if is_encrypted(pem) else ""
    signer = load_key(pem, asked.encode(errors="surrogateescape") or None)
    if keyid != signer.public_key.keyid:
        raise OwnerError("The public key is not that of the signing key beside it.")
    return signer


def _of_service(uri: str, pem: bytes, keyid: str, secret: Callable[[str], str]) -> Signer:
    """The signer of a key that is held elsewhere; ImportError where a library is missing."""
    # securesystemslib imports what it finds of every service, and most keys are in files.
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    from securesystemslib.exceptions import UnsupportedLibraryError  # noqa: PLC0415
    from securesystemslib.signer import Signer, SSlibKey  # noqa: PLC0415

    key = SSlibKey.from_crypto(load_pem_public_key(pem), keyid=keyid)
    try:
        signer = Signer.from_priv_key_uri(uri, key, secret)
        # Before hours of a run, not after them: the PIN is right, and the key is that key.
        key.verify_signature(signer.sign(_TRIAL), _TRIAL)
    except UnsupportedLibraryError as error:
        raise ImportError(str(error)) from error
    return signer

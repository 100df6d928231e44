"""What is kept of a group's name: a digest under a key that never leaves the workspace.

With it, tiles of a field that come in a later season find the side on which that field is,
and nobody who sees the seal can tell which field it was.
"""

import hmac
import os
import secrets
from collections.abc import Callable
from functools import cache
from pathlib import Path

from evaluator.dataset.sealed import GROUP_BYTES
from evaluator.errors import OwnerError

KEY_BYTES = 32


def group_ids(data: Path, *, key_must_exist: bool) -> Callable[[str], bytes]:
    """Return the function from a group's name to its HMAC-SHA256, cut to 16 bytes.

    The key `data/group-key` is made when the first group comes, and read from then on.
    OwnerError if it is malformed, or missing while earlier groups were named with it.
    """

    @cache
    def key() -> bytes:
        return _read_key(data / "group-key", must_exist=key_must_exist)

    return lambda name: hmac.digest(key(), name.encode(), "sha256")[:GROUP_BYTES]


def _read_key(path: Path, *, must_exist: bool) -> bytes:
    if not path.exists() and not must_exist:
        _make_key(path)
    key = path.read_bytes() if path.is_file() else b""
    if len(key) != KEY_BYTES:
        raise OwnerError(
            f"{path} is missing or damaged, so known groups cannot be told from new ones. "
            "Restore it from a backup, or import all tiles afresh without it."
        )
    return key


def _make_key(path: Path) -> None:
    """Write a new key so that a kill leaves either none or all of it."""
    draft = path.with_name(".group-key.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)

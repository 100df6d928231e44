"""A blob of any size into a file: hashed as it comes, and gone on with where a connection broke."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, BinaryIO

from evaluator.registry.errors import Broken, TooLarge, gone, lied, odd
from evaluator.registry.patience import Patience
from evaluator.registry.transport import Ask

if TYPE_CHECKING:
    from evaluator.registry.documents import Descriptor
    from evaluator.registry.transport import Answer, Http

_PROGRESS = 2**20  # bytes after which a connection that breaks is the first one to break
_CHUNK = 2**20


class _Copy:
    """What is here of a blob: in the file, and hashed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size, self._hash = 0, hashlib.sha256()
        file.seek(0)
        while chunk := file.read(_CHUNK):
            self.size += len(chunk)
            self._hash.update(chunk)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def add(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self.size += len(chunk)
        self._hash.update(chunk)

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.size, self._hash = 0, hashlib.sha256()


def fetch_blob(http: Http, ask: Ask, blob: Descriptor, file: BinaryIO) -> None:
    """Have the file hold the blob; what it holds already is taken for a beginning of it."""
    copy = _Copy(file)
    in_parts = copy.size > 0
    patience = Patience(http.sleep)
    while True:
        before = copy.size
        try:
            if copy.size < blob.size:
                _continue(http, ask, blob.size, copy)
        except Broken as error:
            if copy.size >= before + _PROGRESS:
                patience.forget()
            patience.wait(error)
            in_parts = True
            continue
        if copy.digest == blob.digest:
            file.flush()
            return
        if not in_parts:
            raise lied("a blob has another digest than was promised")
        copy.restart()  # a part of it was of something else; only the whole can tell
        in_parts = False


def _continue(http: Http, ask: Ask, size: int, copy: _Copy) -> None:
    """Ask for the rest, and write what comes of it."""
    headers = {"Range": f"bytes={copy.size}-"} if copy.size else {}
    with http.exchange(Ask(ask.method, ask.url, ask.scope, headers)) as answer:
        skip = copy.size - _start(answer, size, copy)
        try:
            for chunk in answer.chunks(size - copy.size + skip):
                copy.add(chunk[skip:])
                skip = max(0, skip - len(chunk))
        except TooLarge as error:
            raise lied("a blob is larger than was promised") from error
    if copy.size < size:
        raise Broken


def _start(answer: Answer, size: int, copy: _Copy) -> int:
    """At which byte an answer begins."""
    if answer.status == 200:  # which may be the answer to a Range that it does not know
        length = answer.headers.get("Content-Length", str(size))
        if length != str(size):
            raise lied("a blob has another size than was promised")
        return 0
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)", _range(answer))
        if not found or int(found[1]) != copy.size or found[2] not in {"*", str(size)}:
            raise lied("a part of a blob is not the one that was asked for")
        return copy.size
    if answer.status == 416:
        copy.restart()
        raise Broken
    raise gone() if answer.status == 404 else odd(answer.status)


def _range(answer: Answer) -> str:
    return answer.headers.get("Content-Range", "")

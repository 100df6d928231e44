"""Decoding on every core, in processes of their own, in the order in which files came.

A worker gets some files, or their paths, writes their pixels to a scratch file of its own, and
answers with digests and places alone. One chunk of files is with each worker and one more is
being read, so memory does not grow with the tiles. A file that makes a worker crash is a
problem like another, and a worker ends when its parent does, however that ended.
"""

from __future__ import annotations

import gc
import os
import stat
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Self

from evaluator.dataset.child import Child
from evaluator.dataset.decoding import decode, to_grey
from evaluator.dataset.pixels import MAX_BYTES, TileError
from evaluator.dataset.problems import Problem
from evaluator.dataset.scratch import Scratch, Stored
from evaluator.dataset.tiles import File, Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from evaluator.dataset.child import Pipe
    from evaluator.dataset.pixels import Pixels
    from evaluator.dataset.tiles import Tile

_File = bytes | str
"""The bytes of a file, or its path."""

_Answer = Stored | tuple[str, str]
"""The pixels of a file, or the kind of a problem and the reason."""

_CHUNK_TILES, _CHUNK_BYTES = 64, 2**20
_MOST_WORKERS = 8  # one process reads for all of them, and more would wait for it


class Decoders:
    """As many workers as there are cores, started when the first files come. A context manager.

    `scratch` makes a new scratch file. With `grayscale`, RGB is kept as one band.
    """

    def __init__(self, scratch: Callable[[], Scratch], *, grayscale: bool) -> None:
        self._scratch = scratch
        self._own = scratch()
        self._grayscale = grayscale
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        """Give the decoders themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers, whatever they are at."""
        for worker in self._workers:
            worker.end()

    def keep(self, tile: Tile) -> Kept | Problem:
        """Store what is decoded already."""
        try:
            stored = _store(tile.pixels, self._own, grayscale=self._grayscale)
        except TileError as error:
            return Problem(error.kind, f"{tile.where}: {error.reason}")
        return Kept(tile.where, tile.label, tile.group, stored, tile.target)

    def decode(self, found: Iterable[File | Problem]) -> Iterator[Kept | Problem]:
        """Store the pixels of files; for each item that goes in one comes out, in order."""
        most = min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
        busy: deque[tuple[_Worker, list[File | Problem]]] = deque()
        for chunk in _chunks(found):
            done: list[Kept | Problem] = []
            if len(busy) < most:
                worker = _Worker(self._scratch, grayscale=self._grayscale)
                self._workers.append(worker)
            else:
                worker, before = busy.popleft()
                done = _results(before, worker.answers(_files(before)))
            worker.ask(_files(chunk))
            busy.append((worker, chunk))
            yield from done
        for worker, chunk in busy:
            yield from _results(chunk, worker.answers(_files(chunk)))


class _Worker:
    """A process that decodes, and another in its place where that one died."""

    def __init__(self, scratch: Callable[[], Scratch], *, grayscale: bool) -> None:
        self._scratch = scratch
        self._grayscale = grayscale
        self._start()

    def _start(self) -> None:
        serve = partial(_serve, scratch=self._scratch(), grayscale=self._grayscale)
        self._child = Child(serve)

    def end(self) -> None:
        """Kill it; what it writes is of no use to anybody else."""
        self._child.end()

    def ask(self, files: list[_File]) -> None:
        """Send files to decode."""
        self._child.pipe.send(files)

    def answers(self, files: list[_File]) -> list[_Answer]:
        """Wait for what became of the files that were sent.

        Where the worker died of one, they are sent again one by one. OSError if it cannot write.
        """
        try:
            found: list[_Answer] | OSError = self._child.pipe.receive()
        except EOFError:
            self.end()
            self._start()
            return [self._alone(file) for file in files] if len(files) > 1 else [_CRASH]
        if isinstance(found, OSError):
            raise found
        return found

    def _alone(self, file: _File) -> _Answer:
        self.ask([file])
        return self.answers([file])[0]


_CRASH = ("corrupt", "damaged in a way that ends its decoder")


def _serve(pipe: Pipe, scratch: Scratch, *, grayscale: bool) -> None:
    """Be a worker until the parent hangs up. It says nothing but its answers."""
    while True:
        files: list[_File] = pipe.receive()
        found: list[_Answer] | OSError
        try:
            found = [_answer(file, scratch, grayscale=grayscale) for file in files]
        except OSError as error:
            found = error
        pipe.send(found)
        gc.collect()


def _answer(file: _File, scratch: Scratch, *, grayscale: bool) -> _Answer:
    try:
        data = file if isinstance(file, bytes) else _read(file)
        return _store(decode(data), scratch, grayscale=grayscale)
    except TileError as error:
        return error.kind, error.reason


def _read(path: str) -> bytes:
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path would cost as much as the reading
        if not stat.S_ISREG(status.st_mode):  # opening a FIFO would wait for a writer, for ever
            raise TileError("not a plain file", "")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read(min(status.st_size, MAX_BYTES) + 1)
    except FileNotFoundError as error:
        raise TileError("missing", "there is no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in a name from a table
        reason = error.strerror if isinstance(error, OSError) else "its name is not a file name"
        raise TileError("unreadable", str(reason)) from error


def _store(pixels: Pixels, scratch: Scratch, *, grayscale: bool) -> Stored:
    return scratch.append(to_grey(pixels) if grayscale else pixels)


def _chunks(found: Iterable[File | Problem]) -> Iterator[list[File | Problem]]:
    chunk: list[File | Problem] = []
    size = 0
    for item in found:
        chunk.append(item)
        size += len(item.data) if isinstance(item, File) and isinstance(item.data, bytes) else 0
        if len(chunk) == _CHUNK_TILES or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    yield chunk


def _files(chunk: list[File | Problem]) -> list[_File]:
    files = (item.data for item in chunk if isinstance(item, File))
    return [data if isinstance(data, bytes) else str(data) for data in files]


def _results(chunk: list[File | Problem], answers: list[_Answer]) -> list[Kept | Problem]:
    """Put the answers back where their files were."""
    left = iter(answers)
    return [item if isinstance(item, Problem) else _result(item, next(left)) for item in chunk]


def _result(file: File, answer: _Answer) -> Kept | Problem:
    if isinstance(answer, Stored):
        return Kept(file.where, file.label, file.group, answer, file.target)
    kind, reason = answer
    return Problem(kind, f"{file.where}: {reason}" if reason else file.where)

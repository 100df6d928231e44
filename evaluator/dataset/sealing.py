"""Writing a version: pixels and labels in their new order, and nothing else of the source.

Directories are 0700, so that no other user of the host gets past them. What a container may
get is 0444, because a single file mounted into one must be readable for the container's uid.
"""

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from itertools import cycle
from math import prod
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from evaluator.dataset import commitment
from evaluator.dataset.arrays import header_bytes
from evaluator.dataset.draft import Draft
from evaluator.dataset.pixels import Pixels
from evaluator.dataset.planning import Plan, class_counts
from evaluator.dataset.pool import Pool
from evaluator.dataset.sealed import GROUP_BYTES, GROUPS, TARGETS, Dtype, Seal
from evaluator.dataset.tally import Tally
from evaluator.dataset.targets import TargetRule
from evaluator.dataset.tiles import Progress

_BATCH_BYTES = 2**20  # a core's own cache holds them
_EARLY = 8 * 2**20  # bytes that are worth telling the disk of
_CONTAINER, _OWNER = 0o444, 0o600


def seal(
    draft: Draft, pool: Pool, plan: Plan, targets: TargetRule | None, progress: Progress
) -> None:
    """Write every file of a version into the draft, seal.json last.

    `progress` sees the stage "sealing". OSError if the disk is full or fails.
    """
    # The tally forks, so it comes before the threads: one that reads and one that writes.
    with Tally(pool, plan.classes) as tally, ThreadPoolExecutor(2) as threads:
        writer = _Writer(draft.folder, pool, plan, targets, progress, tally=tally, threads=threads)
        writer.side("holdout", plan.holdout)
        if plan.training:
            writer.side("training", plan.training)
        writer.commitment(f"holdout-{draft.version}")
        writer.seal(draft.version)


class _Writer:
    def __init__(  # noqa: PLR0913 - what `seal` is given, and its threads
        self,
        folder: Path,
        pool: Pool,
        plan: Plan,
        targets: TargetRule | None,
        progress: Progress,
        *,
        tally: Tally,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._tally = tally
        self._threads = threads
        self._folder = folder
        self._pool = pool
        self._plan = plan
        self._targets = targets
        self._progress = progress
        self._total = len(plan.holdout) + len(plan.training)
        self._done = 0
        self._files: dict[str, str] = {}
        self._index = {label: number for number, label in enumerate(plan.classes)}

    def side(self, name: str, rows: Sequence[int]) -> None:
        """Write tiles, manifest, labels and, if tiles have them, targets and groups."""
        pool = self._pool
        shape = (len(rows), *self._pool.shape)
        self._write(f"{name}/tiles/tiles.npy", self._tiles(shape, rows))
        self._write(f"{name}/tiles/manifest.json", [self._manifest(len(rows))])
        labels = bytes(self._index[pool.labels[row]] for row in rows)
        # A holdout label is for the owner alone: no container ever gets it.
        mode = _OWNER if name == "holdout" else _CONTAINER
        header = header_bytes((len(rows),), "uint8")
        self._write(f"{name}/labels/labels.npy", [header, labels], mode)
        if self._targets:
            header = header_bytes((len(rows),), "float32")
            targets = np.array([pool.targets[row] for row in rows], "<f4").tobytes()
            self._write(f"{name}/{TARGETS}", [header, targets], mode)
        if any(pool.groups[row] for row in rows):
            header = header_bytes((len(rows), GROUP_BYTES), "uint8")
            groups = b"".join(pool.groups[row] or bytes(GROUP_BYTES) for row in rows)
            self._write(f"{name}/{GROUPS}", [header, groups], _OWNER)

    def commitment(self, name: str) -> None:
        """Write the commitment to the holdout, and the secret that it is salted with."""
        secret = secrets.token_bytes(32)
        pool, rows = self._pool, self._plan.holdout
        digests, labels = (pool.digests[row] for row in rows), (pool.labels[row] for row in rows)
        numbers = (target for row in rows if (target := pool.targets[row]) is not None)
        targets = numbers if self._targets else None
        text = commitment.commit(name, secret, digests, labels, targets)
        self._write("secret", [secret], _OWNER)
        self._write("commitment.json", [text])

    def seal(self, version: int) -> None:
        """Write seal.json, which lists what was written before it."""
        bands = self._tally.result()
        plan, count = self._plan, partial(class_counts, self._pool, classes=self._plan.classes)
        document = Seal(
            version=version,
            task="regression" if self._targets else "classification",
            unit=self._targets.unit if self._targets else None,
            range=(self._targets.low, self._targets.high) if self._targets else None,
            classes=plan.classes,
            rare=plan.rare,
            shape=self._pool.shape,
            dtype=cast("Dtype", self._pool.dtype),
            holdout=count(plan.holdout),
            training=count(plan.training) if plan.training else None,
            bands=bands.bands(),
            class_bands=bands.moments(),
            files=self._files,
        )
        self._write("seal.json", [document.model_dump_json(indent=2).encode() + b"\n"], _OWNER)

    def _tiles(self, shape: tuple[int, ...], rows: Sequence[int]) -> Iterator[bytes | memoryview]:
        """Yield the file in batches; the next is being read while one is hashed and written."""
        yield header_bytes(shape, self._pool.dtype)
        tile_bytes = np.dtype(self._pool.dtype).itemsize * prod(self._pool.shape)
        step = max(1, _BATCH_BYTES // tile_bytes)
        batches = (rows[start : start + step] for start in range(0, len(rows), step))
        # Used again and again, by turns: new memory for each batch would cost as much as reading.
        rooms = cycle([self._pool.room(step), self._pool.room(step)])
        reads = map(self._read, batches, rooms)
        coming = next(reads, None)
        while coming:
            self._progress("sealing", self._done, self._total)
            tiles, coming = coming.result(), next(reads, None)
            self._done += len(tiles)
            yield tiles.data.cast("B")
        self._progress("sealing", self._done, self._total)

    def _read(self, rows: Sequence[int], room: Pixels) -> Future[Pixels]:
        """Begin to read tiles, here and where their statistics are taken."""
        self._tally.add(rows)
        return self._threads.submit(self._pool.read, rows, room)

    def _manifest(self, tiles: int) -> bytes:
        document: dict[str, object] = {
            "contract": 1,
            "tiles": tiles,
            "shape": list(self._pool.shape),
            "dtype": self._pool.dtype,
            "bands": self._pool.bands,
            "classes": list(self._plan.classes),
            "task": "regression" if self._targets else "classification",
            "output_dtype": "float32" if self._targets else "uint8",
        }
        if self._targets:
            document["unit"] = self._targets.unit
            document["target_range"] = [self._targets.low, self._targets.high]
        return json.dumps(document, indent=2).encode() + b"\n"

    def _write(
        self, name: str, chunks: Iterable[bytes | memoryview], mode: int = _CONTAINER
    ) -> None:
        """Write one file and note its digest."""
        path = self._folder / name
        for folder in reversed(path.relative_to(self._folder).parents[:-1]):
            (self._folder / folder).mkdir(mode=0o700, exist_ok=True)
        digest = sha256()
        with path.open("xb") as file:
            for chunk in chunks:
                writing = self._threads.submit(_put, file, chunk)
                digest.update(chunk)
                writing.result()
        path.chmod(mode)
        self._files[name] = digest.hexdigest()


def _put(file: BinaryIO, chunk: bytes | memoryview) -> None:
    """Write, and have the disk begin where that is worth it: it need not wait for the end."""
    before = file.tell() // _EARLY
    file.write(chunk)
    if file.tell() // _EARLY > before:
        os.posix_fadvise(file.fileno(), before * _EARLY, 0, os.POSIX_FADV_DONTNEED)

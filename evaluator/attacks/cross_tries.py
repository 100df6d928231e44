"""Tries of the rows from one run to another, and of what stays when a run has ended."""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import sandbox
from evaluator.attacks.probing import RECORD, Tried, small, started, try_together
from evaluator.dataset.sealed import _digest  # as every run hashes its tiles
from sandbox import Mount, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.attacks.corpus import Attack, Outcome
    from evaluator.attacks.probing import Bench
    from sandbox import Outcome as Ended

_TILES = 48 * 2**20  # 48 blocks of a mebibyte, of which one run reads half
_ATTEMPTS = 3
_STOPPED, _SUCCEEDED = 1, 2
_MOST = 256 * 2**20  # the residue of a probe is in no larger file


def two_runs(row: Attack, bench: Bench) -> Tried:
    """One container leaves something, the tiles are hashed as before any run, another looks."""
    return passed_on(row, bench, hashed=True)


def passed_on(row: Attack, bench: Bench, *, hashed: bool) -> Tried:
    """Whether a second container finds what a first one has left, in any of three attempts.

    A channel that works now and then is one.
    """
    outcome: Outcome = "blocked"
    for _ in range(_ATTEMPTS):
        outcome = _attempt(row, bench, hashed=hashed)
        if outcome != "blocked":
            break
    return Tried(row, outcome)


def _attempt(row: Attack, bench: Bench, *, hashed: bool) -> Outcome:
    folder = bench.scratch / secrets.token_hex(4)
    folder.mkdir(mode=0o755)
    manifest, tiles = folder / "manifest.json", folder / "tiles.npy"
    manifest.write_text(json.dumps({"marker": secrets.token_hex(16)}))
    tiles.write_bytes(secrets.token_bytes(2**20) * (_TILES // 2**20))
    for file in (manifest, tiles):
        file.chmod(0o444)
    _forget(tiles)
    first = _said(row.id, bench, manifest, tiles)
    if hashed:
        _digest(tiles)
    second = _said(f"{row.id}-find", bench, manifest, tiles)
    tiles.unlink()
    if _STOPPED in {first, second}:
        return "blocked"
    return "succeeds" if (first, second) == (_SUCCEEDED, _SUCCEEDED) else "unknown"


def _said(verb: str, bench: Bench, manifest: Path, tiles: Path) -> int:
    """What the probe says of one technique, alone in a container."""
    spec = Spec(
        run=secrets.token_hex(8),
        image=bench.probe,
        verb=verb,
        inputs=(Mount(manifest, "/input/manifest.json"), Mount(tiles, "/input/tiles.npy")),
        output_size=RECORD.size,
        limits=small(bench.limits, bench.runtime),
        runtime=bench.runtime,
    )
    output = started(bench)(spec, bench.scratch).output
    return int(RECORD.unpack(output)[0]) if len(output) == RECORD.size else 0


def _forget(file: Path) -> None:
    """Have the host's memory forget the file; where it will not, every read is fast."""
    with file.open("rb") as content:
        os.fsync(content.fileno())
        os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def residue(row: Attack, bench: Bench) -> Tried:
    """Stopped when the engine's disk holds nothing of the run once it has ended."""
    found: list[Path] = []

    def start(spec: Spec, scratch: Path) -> Ended:
        began = time.time()
        ended = started(bench)(spec, scratch)
        found.extend(residue_of(spec, began))
        return ended

    return with_residue(row, try_together([row], bench, bench.limits, start)[0], found)


def with_residue(row: Attack, tried: Tried, found: list[Path]) -> Tried:
    """The probe's own word tells only that it ran; the disk tells the rest."""
    return Tried(row, "succeeds") if found else tried


def residue_of(spec: Spec, since: float) -> Iterator[Path]:
    """Files of the engine that hold the marker of a run and were written since.

    Who may not read the engine's files sees only the containers that it still knows.
    """
    client = sandbox.connect()
    marker = json.loads(spec.inputs[0].source.read_text())["marker"].encode()
    filters = {"label": f"{sandbox.RUN_LABEL}={spec.run}"}
    yield from (Path(each["Id"]) for each in client.containers(all=True, filters=filters))
    for folder, _, names in os.walk(client.info()["DockerRootDir"]):
        for path in (Path(folder, name) for name in names):
            with suppress(OSError):  # it went meanwhile
                state = path.lstat()
                if path.is_file() and state.st_mtime >= since - 1 and state.st_size < _MOST:
                    yield from [path] if marker in path.read_bytes() else []


TRIES: dict[str, Callable[[Attack, Bench], Tried]] = {
    "x-keyring": two_runs,
    "x-page-cache": two_runs,
    "x-residue": residue,
}

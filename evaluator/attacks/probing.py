"""Try techniques of the probe image behind the wall, and say how each ended."""

from __future__ import annotations

import json
import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sandbox
from evaluator.attacks.witness import Witness
from sandbox import Limits, Mount, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from evaluator.attacks.corpus import Attack, Outcome
    from sandbox import Outcome as Ended

RECORD = struct.Struct("<BBHi")
ALIVE = "alive"  # reads its inputs and writes to its scratch space, as any submission may
_STOPPED, _SUCCEEDED = 1, 2
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Bench:
    """Where techniques are tried: the probe image, the settings, and a place for files.

    `limits` are those of a run; `host` is an address of this host that a bridge could reach.
    """

    probe: str
    runtime: str
    seccomp: str
    limits: Limits
    scratch: Path
    host: str


@dataclass(frozen=True, slots=True)
class Tried:
    """How a technique ended; `errno` and `signal` are what the probe met, 0 where none."""

    attack: Attack
    outcome: Outcome
    errno: int = 0
    signal: int = 0


def small(limits: Limits, runtime: str) -> Limits:
    """Limits that a technique can use up in a second."""
    return Limits(
        cpus=min(limits.cpus, 0.5),
        memory=192 * _MIB,
        tmp=16 * _MIB,
        shm=16 * _MIB,
        processes=512 if runtime == "runsc" else 64,  # gVisor itself needs over 64
        open_files=256,
        seconds=min(limits.seconds, 40.0),
    )


def try_probes(attacks: Iterable[Attack], bench: Bench) -> Iterator[Tried]:
    """Try rows that are `how = "probe"`, each that is `alone` in a container of its own."""
    attacks = list(attacks)
    together = [attack for attack in attacks if not attack.alone]
    if together:
        yield from try_together(together, bench, bench.limits)
    for attack in attacks:
        if attack.alone:
            yield from try_together([attack], bench, small(bench.limits, bench.runtime))


def try_together(
    attacks: list[Attack],
    bench: Bench,
    limits: Limits,
    start: Callable[[Spec, Path], Ended] | None = None,
) -> list[Tried]:
    """Try rows in one container; `start` runs it, by default behind the wall."""
    start = start or (lambda spec, scratch: sandbox.run(spec, scratch, bench.seccomp))
    folder = bench.scratch / secrets.token_hex(4)
    folder.mkdir(mode=0o755)
    with Witness(folder, bench.host) as witness:
        witness.manifest.write_text(json.dumps(witness.targets))
        witness.manifest.chmod(0o444)
        spec = Spec(
            run=secrets.token_hex(8),
            image=bench.probe,
            verb=",".join([ALIVE, *(attack.id for attack in attacks)]),
            inputs=(
                Mount(witness.manifest, "/input/manifest.json"),
                Mount(witness.tiles, "/input/tiles.npy"),
            ),
            output_size=RECORD.size * (1 + len(attacks)),
            limits=limits,
            runtime=bench.runtime,
        )
        ended = start(spec, bench.scratch)
        seen = witness.seen()
    records = _records(ended.output, len(attacks))
    return [
        _judged(attack, record, seen, bench.runtime)
        for attack, record in zip(attacks, records, strict=True)
    ]


def _records(output: bytes, count: int) -> list[bytes]:
    """The record of each technique; none at all from a probe that did not even read its inputs.

    Without that a probe that is broken would look like a wall that stops everything.
    """
    size = RECORD.size
    alive, *records = (output[start : start + size] for start in range(0, size * (count + 1), size))
    if len(alive) < size or RECORD.unpack(alive)[0] != _SUCCEEDED:
        return [b""] * count
    return records


def _judged(attack: Attack, record: bytes, seen: frozenset[str], runtime: str) -> Tried:
    """What is believed: the host's side first, then the probe's own word."""
    if len(record) < RECORD.size:
        return Tried(attack, "succeeds" if attack.witness in seen else "unknown")
    said, signal, _, errno = RECORD.unpack(record)
    if attack.witness in seen:
        outcome: Outcome = "succeeds"
    elif said == _STOPPED:
        outcome = "blocked"
    elif said == _SUCCEEDED:
        # Without any effect outside, only the host's own kernel could have done it.
        outcome = "succeeds" if attack.witness == "kernel" and runtime == "runc" else "contained"
    else:
        outcome = "unknown"
    return Tried(attack, outcome, errno, signal)

"""Try techniques of the probe image behind the wall, and say how each ended."""

from __future__ import annotations

import json
import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sandbox
from evaluator.attacks.metering import METERED, Meter
from evaluator.attacks.traces import Traces
from evaluator.attacks.witness import Witness
from sandbox import Limits, Mount, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from evaluator.admission_policy import AdmissionPolicy
    from evaluator.attacks.corpus import Attack, Outcome
    from evaluator.job import Steps
    from sandbox import Outcome as Ended

RECORD = struct.Struct("<BBHi")
ALIVE = "alive"  # reads its inputs and writes to its scratch space, as any submission may
_STOPPED, _SUCCEEDED = 1, 2
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Bench:
    """Where techniques are tried: the probe image, the settings, and a place for files.

    `limits` are those of a run; `host` and `host6` are addresses of this host that a bridge could
    reach. `start` runs a container, `steps` those of a training; None means behind the wall.
    `runner` and `holder` give the images that check models and keep them.
    """

    probe: str
    runtime: str
    seccomp: str
    limits: Limits
    scratch: Path
    host: str
    admission: AdmissionPolicy
    runner: Callable[[], str]
    holder: Callable[[], str]
    host6: str = "::1"
    start: Callable[[Spec, Path], Ended] | None = None
    steps: Steps | None = None


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
        seconds=min(limits.seconds, 120.0),
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


def started(bench: Bench) -> Callable[[Spec, Path], Ended]:
    """How the bench starts a container: behind the wall, unless it says otherwise."""
    return bench.start or (lambda spec, scratch: sandbox.run(spec, scratch, bench.seccomp))


def try_together(
    attacks: list[Attack],
    bench: Bench,
    limits: Limits,
    start: Callable[[Spec, Path], Ended] | None = None,
) -> list[Tried]:
    """Try rows in one container; `start` runs it, by default behind the wall."""
    folder = bench.scratch / secrets.token_hex(4)
    folder.mkdir(mode=0o755)
    run = secrets.token_hex(8)
    processes = limits.processes + 88  # as many as the limit, and more
    metered = not METERED.isdisjoint(attack.witness for attack in attacks)
    with (
        Witness(folder, bench.host, bench.host6) as witness,
        Traces(witness.marker, witness.tiles) as traces,
        Meter(run, witness.marker, processes, idle=not metered) as meter,
    ):
        told = witness.targets | traces.targets | {"processes": processes}
        witness.manifest.write_text(json.dumps(told))
        witness.manifest.chmod(0o444)
        verb = ",".join([ALIVE, *(attack.id for attack in attacks)])
        inputs = {"manifest.json": witness.manifest, "tiles.npy": witness.tiles}
        spec = Spec(
            run=run,
            image=bench.probe,
            verb=verb,
            inputs=tuple(Mount(path, f"/input/{name}") for name, path in inputs.items()),
            output_size=RECORD.size * (1 + len(attacks)),
            limits=limits,
            runtime=bench.runtime,
        )
        ended = (start or started(bench))(spec, bench.scratch)
        seen = witness.seen() | traces.seen() | meter.seen()
    alive, *records = records_of(ended.output, len(attacks))
    counted = bool(alive and (meter.samples or not metered))
    evidence = Evidence(seen, witness.proofs, traces.blind, counted)
    pairs = zip(attacks, records, strict=True)
    return [judged(attack, record, evidence, bench.runtime) for attack, record in pairs]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the host saw, the proofs it would take, and what it cannot see.

    `counted`: the probe lived, and the engine has counted what it used where that is asked.
    """

    seen: frozenset[str]
    proofs: dict[str, int]
    blind: frozenset[str]
    counted: bool


def records_of(output: bytes, count: int) -> list[bytes]:
    """The records of the probe itself and of each technique; none from one that read no inputs.

    Without that a probe that is broken would look like a wall that stops everything.
    """
    size = RECORD.size
    records = [output[start : start + size] for start in range(0, size * (count + 1), size)]
    if len(records[0]) < size or RECORD.unpack(records[0])[0] != _SUCCEEDED:
        return [b""] * len(records)
    return [record if len(record) == size else b"" for record in records]


def judged(attack: Attack, record: bytes, evidence: Evidence, runtime: str) -> Tried:
    """What is believed: the host's side first, then a proof, then the probe's own word."""
    if attack.witness in evidence.blind:
        return Tried(attack, "unknown")
    if not record:
        if attack.witness in evidence.seen:
            return Tried(attack, "succeeds")
        # It died of what it tried, and the host has seen nothing all that while.
        stopped = evidence.counted and attack.witness in METERED | {"kernel-log"}
        return Tried(attack, "blocked" if stopped else "unknown")
    said, signal, _, errno = RECORD.unpack(record)
    proven = said == _SUCCEEDED and evidence.proofs.get(attack.witness) == errno % 2**32
    if attack.witness in evidence.seen or proven:
        outcome: Outcome = "succeeds"
    elif said == _STOPPED:
        outcome = "blocked"
    elif said == _SUCCEEDED:
        # Without any effect outside, only the host's own kernel could have done it.
        outcome = "succeeds" if attack.witness == "kernel" and runtime == "runc" else "contained"
    else:
        outcome = "unknown"
    return Tried(attack, outcome, errno, signal)

"""Try the techniques named by the verb, one child each, and write down how each ended.

    docker run IMAGE alive,net-tcp-host,fs-tiles-write

A technique is a function that returns where it succeeds and raises OSError where it is stopped.
What it returns may prove that it read a secret: the CRC-32 of that.
/output/predictions gets eight bytes for each, in the order of the verb: "<BBHi" with the outcome
(0 no answer, 1 stopped, 2 succeeded, 3 an error of the probe's own), the signal that ended the
child, zero, and the errno or the proof. A `train` has no output: its records stay in the model,
where the manifest says, and the last `predict` hands them on behind its own.
"""

import json
import os
import select
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from . import (
    alive,
    cross,
    filesystem,
    gpu_self_test,
    host,
    kernel,
    limits,
    network,
    output,
    training,
)
from .errors import Stopped

RECORD = struct.Struct("<BBHi")
PROVEN = struct.Struct("<BBHI")
NO_ANSWER, STOPPED, SUCCEEDED, BROKEN = range(4)
SECONDS = 30  # for one technique, on a host that is five times slower than ours
MODULES = (alive, cross, filesystem, host, kernel, limits, network, output, training)
PROBES = {name: probe for module in MODULES for name, probe in module.PROBES.items()}


OUTPUT = Path("/output/predictions")
GPU_VERBS = {"gpu-self-test": gpu_self_test.main, "gpu-scrub": gpu_self_test.scrub}


def main() -> None:
    """Try them all; a row that hangs or dies leaves the others their turn."""
    if sys.argv[1] in GPU_VERBS:
        sys.exit(GPU_VERBS[sys.argv[1]](OUTPUT))
    if sys.argv[1] == "hold":  # in place of the holder, in the tries of doctor's quick half
        signal.pause()
    targets = json.loads(Path("/input/manifest.json").read_bytes())
    names = sys.argv[1].split(",")
    trains = "records" in targets
    place = Path(targets["records"]) if trains else OUTPUT
    with place.open("w+b" if trains else "r+b", buffering=0) as out:
        for number, name in enumerate(names):
            if name in limits.FIRST:
                limits.FIRST[name](targets)
            record = attempt(PROBES[name], targets)
            out.seek(number * RECORD.size)
            out.write(record)
        if "hand_on" in targets:
            content = Path(targets["hand_on"]).read_bytes()
            starts = range(0, len(content), RECORD.size)
            out.writelines(content[start : start + RECORD.size] for start in starts)


def attempt(probe: Callable[[dict], int | None], targets: dict) -> bytes:
    """How one technique ended, tried in a child with a deadline."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(reader)
        os.write(writer, answer(probe, targets))
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], SECONDS)
    record = os.read(reader, RECORD.size) if ready else b""
    os.close(reader)
    if not ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if len(record) == RECORD.size:
        return record
    if ready and os.WIFSIGNALED(status):  # a filter's SIGSYS, or a limit's signal
        return RECORD.pack(STOPPED, os.WTERMSIG(status), 0, 0)
    return RECORD.pack(NO_ANSWER, 0, 0, 0)


def answer(probe: Callable[[dict], int | None], targets: dict) -> bytes:
    """The record of a technique that came to an end of its own."""
    try:
        proof = probe(targets) or 0
    except OSError as error:
        return RECORD.pack(STOPPED, 0, 0, error.errno or 0)
    except (Stopped, MemoryError):
        return RECORD.pack(STOPPED, 0, 0, 0)
    except Exception as error:  # noqa: BLE001 - whatever it is, the host must hear of it
        print(f"{probe.__name__}: {error!r}", file=sys.stderr)
        return RECORD.pack(BROKEN, 0, 0, 0)
    return PROVEN.pack(SUCCEEDED, 0, 0, proof)


if __name__ == "__main__":
    output.act(sys.argv[1]) if sys.argv[1] in output.ACTS else main()

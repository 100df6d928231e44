"""Take one line out of the wall at a time, and see which technique gets through.

    python tests/escape/mutation.py > docs/mutations.md      (root; some minutes)

A mutant is the wall's requests, for a container and for a model's volume, without the value at one
path. It counts as killed only by a probe in the middle configuration: an open container plus what
the mutant still says at that control's paths. Neither the golden file nor the read-back takes part.
What no probe can observe on an ordinary host is in UNOBSERVED, with the reason.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import docker.errors
from bench import bench as bench_on
from bench import hand_over_probe
from engine import private_engine, why_not
from ground import remove, whole_wall
from trials import UID, try_open

from evaluator.attacks.controls import CONTROLS
from evaluator.attacks.corpus import Attack, corpus
from sandbox import Mount, Spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.attacks.probing import Bench

MOST = 6  # techniques tried on one mutant; the first that gets through is enough

# Lines of the request that are no control, or whose control nothing can show on this host.
# Two lines that are one control.
PAIRS = ("HostConfig.Memory+HostConfig.MemorySwap",)
_ABSENT = "left out, the engine's default is the same; the line is for the read-back"
_NO_MODEL = "left out, the engine makes no such volume, which fails closed"
_COMFORT = "for the program's own good, no control"
UNOBSERVED = {
    "Cmd": "what is run, no control",
    "Image": "what is run, no control; an id cannot move as a tag can",
    "Labels": "how leftovers of a killed run are found, no control",
    "Hostname": "left out, the name is the container's id, which the mount table shows anyway",
    "Env/HOME": _COMFORT,
    "Env/TMPDIR": _COMFORT,
    "Env/USER": _COMFORT,
    "Env/PYTHONUNBUFFERED": _COMFORT,
    "Env/EVALUATOR_THREADS": _COMFORT,
    "Env/OMP_NUM_THREADS": _COMFORT,
    "Env/OMP_WAIT_POLICY": _COMFORT,
    "Env/EVALUATOR_DEVICE": _COMFORT,
    "AttachStdin": _ABSENT,
    "AttachStdout": _ABSENT,
    "AttachStderr": _ABSENT,
    "OpenStdin": _ABSENT,
    "Tty": _ABSENT,
    "HostConfig.PublishAllPorts": _ABSENT,
    "HostConfig.CapAdd": _ABSENT,
    "HostConfig.Privileged": _ABSENT,
    "HostConfig.PidMode": _ABSENT,
    "HostConfig.UTSMode": _ABSENT,
    "HostConfig.IpcMode": "the default lets only the operator's own other containers join",
    "HostConfig.Mounts": "what is given, no control; its fields are below",
    "HostConfig.Mounts/Propagation": _ABSENT,
    "HostConfig.Tmpfs/rw": _ABSENT,
    "HostConfig.Tmpfs/noexec": _ABSENT,
    "HostConfig.Tmpfs/nosuid": _ABSENT,
    "HostConfig.Tmpfs/nodev": _ABSENT,
    "HostConfig.Tmpfs/mode": _ABSENT,
    "HostConfig.Memory": "alone: the engine refuses MemorySwap without it, which fails closed",
    "HostConfig.MemorySwap": "a host without swap cannot show it",
    "HostConfig.DnsSearch": "a host whose resolv.conf has no search domain cannot show it",
    "HostConfig.DeviceRequests": _ABSENT,
    "HostConfig.RestartPolicy": _ABSENT,
    "HostConfig.AutoRemove": _ABSENT,
    "Volume.Name": "what is given, no control; a volume of that name that differs is refused",
    "Volume.Driver": _ABSENT,
    "Volume.DriverOpts.type": _NO_MODEL,
    "Volume.DriverOpts.device": _NO_MODEL,
    "Volume.DriverOpts.o/uid": "left out, the volume is root's and the mode lets no run in",
    "Volume.DriverOpts.o/gid": "the mode gives a group nothing",
    "Volume.Labels": "how leftovers of a killed run are found, no control",
}


def paths(request: dict[str, Any]) -> Iterator[str]:
    """Every line of a request as a path: keys, elements of lists, options of a text."""
    for key, value in request.items():
        if key in {"HostConfig", "Volume"}:
            for name, inner in value.items():
                yield from _elements(f"{key}.{name}", inner)
        else:
            yield from _elements(key, value)
    yield from PAIRS


def _elements(path: str, value: object) -> Iterator[str]:
    name = path.rpartition(".")[2]
    if name in {"SecurityOpt", "Env"}:
        yield from (f"{path}/{text.partition('=')[0].partition(':')[0]}" for text in value)  # type: ignore[attr-defined]  # a list
    elif name == "Ulimits":
        yield from (f"{path}/{limit['Name']}" for limit in value)  # type: ignore[attr-defined]  # as above
    elif name == "Tmpfs":
        yield from (f"{path}/{o.partition('=')[0]}" for o in value["/tmp"].split(","))  # type: ignore[index]  # a mapping
    elif name == "Mounts":
        yield path
        yield from (f"{path}/{field}" for field in ("ReadOnly", "NonRecursive", "Propagation"))
        yield from (f"{path}/volume.{field}" for field in ("ReadOnly", "NoCopy"))
    elif name == "DriverOpts":
        yield path
        yield from (f"{path}.{option}" for option in value if option != "o")  # type: ignore[attr-defined]  # a mapping
        yield from (f"{path}.o/{o.partition('=')[0]}" for o in value["o"].split(","))  # type: ignore[index]  # as above
    else:
        yield path


def sample(bench: Bench) -> dict[str, Any]:
    """The requests of the wall for a `predict` that has a model, to take the paths from."""
    folder = Path(tempfile.gettempdir())
    spec = Spec(
        run="0" * 16,
        image=bench.probe,
        verb="alive",
        inputs=(Mount(folder / "tiles.npy", "/input/tiles.npy"),),
        output_size=1,
        limits=bench.limits,
        runtime=bench.runtime,
        model="read",
    )
    return whole_wall(spec, str(folder / "predictions"), UID, bench.seccomp)


def killers(path: str, bench: Bench) -> list[str]:
    """The techniques that get through once the wall lacks the line at `path`."""

    def mutant(spec: Spec, output: str, uid: int, seccomp: str) -> dict[str, Any]:
        request = whole_wall(spec, output, uid, seccomp)
        for each in path.split("+"):
            request = remove(request, each)
        return request

    through: list[str] = []
    for name, control in CONTROLS.items():
        if set(path.split("+")) <= set(control.paths):
            rows = [row for row in _rows(bench.runtime) if name in row.stopped_by(bench.runtime)]
            for row in rows[:MOST]:
                with contextlib.suppress(docker.errors.APIError):  # not started: it fails closed
                    outcome = try_open([row], bench, name, mutant)[0].outcome
                    if outcome == row.expected(bench.runtime).alone:
                        continue
                    through.append(row.id)
                    break
    return through


def _rows(runtime: str) -> list[Attack]:
    """Rows whose middle configuration is tried at all, the quick ones first."""
    rows = [row for row in corpus() if row.expected(runtime).alone in {"blocked", "contained"}]
    return sorted(rows, key=lambda row: (row.alone, row.how != "probe"))


def table(bench: Bench) -> Iterator[str]:
    """docs/mutations.md, line by line."""
    yield "# What happens when a line of the wall is missing\n"
    yield (
        "Made by `python tests/escape/mutation.py`. Each line of the requests that "
        "[sandbox/wall.py](../sandbox/wall.py) makes, for a container and for a model's volume, is "
        "left out in turn; what gets through is a probe in a container that is open but for that "
        "one control. "
        "[docs/attacks.md](attacks.md) says what each technique is.\n"
    )
    yield "| without | control | gets through |\n|---|---|---|"
    for path in paths(sample(bench)):
        parts = set(path.split("+"))
        titles = [control.title for control in CONTROLS.values() if parts <= set(control.paths)]
        found = killers(path, bench) if path not in UNOBSERVED else []
        result = ", ".join(found) or f"not observable here: {UNOBSERVED.get(path, 'UNEXPLAINED')}"
        yield f"| `{path}` | {', '.join(titles)} | {result} |"


def main() -> None:
    """Print the table, on an engine of its own."""
    missing = why_not()
    if missing:
        sys.exit(missing)
    with private_engine() as engine, tempfile.TemporaryDirectory() as scratch:
        probe = hand_over_probe(engine.address)
        os.environ["DOCKER_HOST"] = engine.address
        private = bench_on(probe, "runc", Path(scratch))
        for line in table(private):
            print(line, flush=True)  # noqa: T201 - the page itself


if __name__ == "__main__":
    main()

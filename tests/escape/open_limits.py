"""The rows about an end, and about what stays, in the open: their positive controls.

Where the control is part of the procedure and not of the request, the middle configuration is an
open container that the product's own step waits for and removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import secrets
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import docker.errors
import requests.exceptions
from ground import extended, open_request

import sandbox
from evaluator.attacks.cross_tries import passed_on, residue_of
from evaluator.attacks.forged_images import digest, docker_archive, image_config, layer, tar
from evaluator.attacks.limits_tries import DEADLINE, crash, failed_start
from evaluator.attacks.probing import Tried, small, try_together
from sandbox import Outcome, Spec, Status
from sandbox.metering import Meter
from sandbox.run import Container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import APIClient
    from trials import OpenTry, Wall

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

    # A client, a created container and its spec; whether the technique had its effect.
    Procedure = Callable[[APIClient, str, Spec], bool]

HANDLER = "#!/bin/sh\nexec cat >{folder}/core\n"
PATTERN = Path("/proc/sys/kernel/core_pattern")
KEPT = Path("/run/evaluator-core-pattern")  # what a killed test left to be put back


def by_procedure(careless: Procedure, careful: Procedure) -> OpenTry:
    """A try in the open by the careless procedure, or behind one control by the careful one."""

    def attempt(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
        act = careless if control is None else careful
        seen: list[bool] = []

        def start(spec: Spec, scratch: Path) -> Outcome:
            with opened(spec, scratch, row.needs) as (client, container, output):
                seen.append(act(client, container, spec))
                return Outcome(Status.OK, output.read_bytes(), 0, 0.0)

        tried = try_together([row], bench, small(bench.limits, bench.runtime), start)[0]
        return replace(tried, outcome="succeeds" if seen[0] else "blocked")

    return attempt


@contextlib.contextmanager
def opened(
    spec: Spec, scratch: Path, extras: tuple[str, ...]
) -> Iterator[tuple[APIClient, str, Path]]:
    """A created container without the wall, gone at the end, and its output file."""
    client, output = sandbox.connect(), scratch / "predictions"
    output.write_bytes(b"")
    output.chmod(0o666)
    request = extended(open_request(spec, str(output)), extras)
    container = client.create_container_from_config(request)["Id"]
    try:
        yield client, container, output
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            client.remove_container(container, force=True, v=True)
        output.unlink()


def running(client: APIClient, container: str) -> bool:
    """Whether the engine still runs it."""
    return bool(client.inspect_container(container)["State"]["Running"])


def without_deadline(client: APIClient, container: str, _spec: Spec) -> bool:
    """Wait as long as it takes; we look after a while."""
    client.start(container)
    with contextlib.suppress(requests.exceptions.RequestException):
        client.wait(container, timeout=int(DEADLINE))
    return running(client, container)


def until_output_ends(client: APIClient, container: str, _spec: Spec) -> bool:
    """Take the end of the output for the end of the program."""
    connection = client.attach_socket(container, {"stdout": 1, "stderr": 1, "stream": 1})
    connection._sock.settimeout(DEADLINE)  # noqa: SLF001 - there is no other way to give up
    client.start(container)
    try:
        while connection._sock.recv(2**16):  # noqa: SLF001 - as above
            pass
    except TimeoutError:  # the engine does not tell of the end of an output
        return False
    finally:
        connection.close()
    return running(client, container)


def stop_listening(client: APIClient, container: str, _spec: Spec) -> bool:
    """Read a mebibyte of the output, then kill it and wait with the connection still open."""
    connection = client.attach_socket(container, {"stdout": 1, "stream": 1})
    client.start(container)
    size = 0
    while size < 2**20:
        size += len(os.read(connection.fileno(), 2**16))
    time.sleep(2)  # until it has filled every buffer on the way to us
    client.timeout = 8
    try:
        client.kill(container)
        client.wait(container, timeout=8)
    except requests.exceptions.RequestException:
        return True
    finally:
        connection._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - what frees the engine
        connection.close()
        client.timeout = 60
    return False


def wait_as_the_product(client: APIClient, container: str, spec: Spec, seconds: float) -> None:
    """Start it and wait, metered as every run is; its allowance has no end."""
    kill = functools.partial(client.kill, container)
    meter = Meter(container, spec.limits.cpus, spec.allowance, spec.gpus, kill)
    with open(os.devnull, "rb") as output, contextlib.ExitStack() as engine:  # noqa: PTH123 - no Path
        made = Container(client, container, spec, output.fileno(), engine, meter, ())
        made.start()
        made.outcome(seconds, 0)


def as_the_product(client: APIClient, container: str, spec: Spec) -> bool:
    """The product's own steps: wait no longer than the deadline, then remove all of the run."""
    wait_as_the_product(client, container, spec, DEADLINE)
    sandbox.remove_leftovers(client, spec.run)
    return bool(client.containers(all=True, filters={"id": container}))


def kept(client: APIClient, container: str, spec: Spec) -> bool:
    """Leave the container where it ended."""
    began = time.time()
    client.start(container)
    client.wait(container, timeout=30)
    return any(residue_of(spec, began))


def removed(client: APIClient, container: str, spec: Spec) -> bool:
    """Remove it as the product does."""
    began = time.time()
    wait_as_the_product(client, container, spec, 30)
    sandbox.remove_leftovers(client, spec.run)
    return any(residue_of(spec, began))


def page_cache(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
    """Two runs, with or without the hashing of all tiles between them."""
    return passed_on(row, bench, hashed=control is not None)


def piped_crash(row: Attack, bench: Bench, _control: str | None, _wall: Wall) -> Tried:
    """Crash while the host hands its crashes to a handler of ours."""
    with core_handler(bench.scratch) as handed:
        tried = crash(row, bench)
        return replace(tried, outcome="succeeds" if handed.exists() else tried.outcome)


@contextlib.contextmanager
def core_handler(folder: Path) -> Iterator[Path]:
    """Have the host's kernel hand every crash to a handler, which writes it to the yielded file."""
    handler = folder / "handler"
    handler.write_text(HANDLER.format(folder=folder))
    handler.chmod(0o755)
    with Path("/run/evaluator-core-pattern.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not KEPT.exists():
            KEPT.write_text(PATTERN.read_text())
        try:
            PATTERN.write_text(f"|{handler} %p")
            yield folder / "core"
        finally:
            PATTERN.write_text(KEPT.read_text())
            KEPT.unlink()
            handler.unlink()
            (folder / "core").unlink(missing_ok=True)


def leaking_start(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
    """Load the image as it is, and start it; what that leaves behind is ended here."""
    if control is not None:  # the one control is the door, as behind the wall
        return failed_start(row, bench)
    content = layer()
    config = image_config([digest(content)]) | {"config": {"Entrypoint": ["/not-there"]}}
    archive = tar(docker_archive(content, config))
    image = sandbox.load_image([archive], lambda: (digest(json.dumps(config).encode()),))
    spec = Spec(
        run=secrets.token_hex(8),
        image=image,
        verb="predict",
        inputs=(),
        output_size=1,
        limits=small(bench.limits, bench.runtime),
        runtime=bench.runtime,
    )
    # There is no such program: the engine says so.
    refused = contextlib.suppress(docker.errors.APIError)
    with opened(spec, bench.scratch, ()) as (client, container, _), refused:
        client.start(container)
    left = processes_of(container)
    for process in left:
        os.kill(process, signal.SIGKILL)
    client.remove_image(image, force=True)
    return Tried(row, "succeeds" if left else "blocked")


def processes_of(container: str) -> list[int]:
    """The pids of this host whose command lines name a container, a second after its end."""
    time.sleep(1)
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if container.encode() in file.read_bytes():
                found.append(int(file.parent.name))
    return found


OPEN: dict[str, OpenTry] = {
    "res-wall": by_procedure(without_deadline, as_the_product),
    "res-close-stdout": by_procedure(until_output_ends, as_the_product),
    "res-stdout-flood-hang": by_procedure(stop_listening, as_the_product),
    "res-core-pipe": piped_crash,
    "res-start-fail-leak": leaking_start,
    "x-page-cache": page_cache,
    "x-residue": by_procedure(kept, removed),
}

"""Tries of the network and file rows that need more than a program in the probe image.

Where a container leaves its mark in the engine (a log, a layer, a port), the engine is watched
for as long as the container lives.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import sandbox
from evaluator.attacks.metadata_tries import tile_metadata
from evaluator.attacks.probing import Tried, small, started, try_together
from sandbox import RUN_LABEL, SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench
    from sandbox import Outcome as Ended
    from sandbox import Spec

    # Whether a container of this id has left its mark; the marker is what the probe was told.
    Look = Callable[[str, str], bool]

_FOUND = 7
# Answers as the probe does: two records, of which the first says that the program was able to run.
_IMPORT = f"""
import pathlib, struct, time, onnxruntime
time.sleep(1)
found = any(pathlib.Path.home().glob(".cache/Microsoft/DeveloperTools/.onnxruntime*"))
with open("/output/predictions", "r+b") as out:
    out.write(struct.pack("<BBHiBBHi", 2, 0, 0, 0, 2 if found else 1, 0, 0, {_FOUND} * found))
time.sleep(1)
"""
_HOSTS_SIZE = 10**6  # bytes; an ordinary /etc/hosts has 200
_NVIDIA = ("VISIBLE_DEVICES", "DRIVER_CAPABILITIES", "MOFED", "GDS", "GDRCOPY", "NVSWITCH")
NVIDIA = tuple(f"NVIDIA_{name}" for name in (*_NVIDIA, "IMEX_CHANNELS"))
HARMLESS = {"", "void", "compute"}


def watched(look: Look) -> Callable[[Attack, Bench], Tried]:
    """A try in a container of its own, at which `look` looks from the engine's side."""

    def try_it(attack: Attack, bench: Bench) -> Tried:
        marks: list[bool] = []

        def run(spec: Spec, scratch: Path) -> Ended:
            with _watching(spec, look) as mark:
                ended = started(bench)(spec, scratch)
            marks.append(mark.is_set())
            return ended

        limits = small(bench.limits, bench.runtime)
        tried = try_together([attack], bench, limits, run)[0]
        if any(marks):
            return replace(tried, outcome="succeeds")
        # A program cannot know what became of what it printed: only the mark counts.
        return replace(tried, outcome="blocked") if tried.outcome == "contained" else tried

    return try_it


@contextmanager
def _watching(spec: Spec, look: Look) -> Iterator[threading.Event]:
    """Look at the run's container again and again; the event is set where something was seen."""
    marker = json.loads(spec.inputs[0].source.read_bytes())["marker"]
    seen, over = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(0.1) and not seen.is_set():
            with suppress(SandboxError, OSError):  # it is not there yet, or no longer
                if any(look(container, marker) for container in _containers(spec.run)):
                    seen.set()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _containers(run: str) -> list[str]:
    with sandbox.engine_errors():
        filters = {"label": f"{RUN_LABEL}={run}"}
        return [str(each["Id"]) for each in sandbox.connect().containers(filters=filters)]


def _logged(container: str, marker: str) -> bool:
    """Whether the engine kept what it printed."""
    with sandbox.engine_errors():
        return marker.encode() in sandbox.connect().logs(container)


def _in_layer(container: str, _marker: str) -> bool:
    """Whether the engine's layer of the container has the new file."""
    with sandbox.engine_errors():
        changes = sandbox.connect().diff(container) or []
    return any(change["Path"] == "/written" for change in changes)


def _left_by_telemetry(container: str, _marker: str) -> bool:
    """Whether the engine's layer of the container has what onnxruntime writes."""
    with sandbox.engine_errors():
        changes = sandbox.connect().diff(container) or []
    return any("/DeveloperTools" in change["Path"] for change in changes)


def _hosts_filled(container: str, _marker: str) -> bool:
    """Whether the engine's own file on the host's disk has grown; root alone can see it."""
    with sandbox.engine_errors():
        path = sandbox.connect().inspect_container(container)["HostsPath"]
    return Path(path).stat().st_size > _HOSTS_SIZE


def _served(container: str, marker: str) -> bool:
    """Whether a port of the host leads to it."""
    with sandbox.engine_errors():
        found = sandbox.connect().containers(filters={"id": container})
    ports = [port for each in found for port in each["Ports"] if "PublicPort" in port]
    for port in {port["PublicPort"] for port in ports}:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            if connection.recv(64) == marker.encode():
                return True
    return False


def _switched(container: str, _marker: str) -> bool:
    """Whether the engine would hand a GPU toolkit one of the image's variables."""
    with sandbox.engine_errors():
        variables = sandbox.connect().inspect_container(container)["Config"]["Env"]
    values = dict(entry.split("=", 1) for entry in variables)
    return any(values.get(name, "") not in HARMLESS for name in NVIDIA)


def gpu_variables(attack: Attack, bench: Bench) -> Tried:
    """Try an image that turns on everything that a GPU toolkit knows."""
    with dressed(bench, {"Env": [f"{name}=all" for name in NVIDIA]}) as image:
        return watched(_switched)(attack, replace(bench, probe=image))


@contextmanager
def dressed(bench: Bench, settings: Mapping[str, object]) -> Iterator[str]:
    """The probe's image with more settings, as no intake would let it through."""
    client = sandbox.connect()
    with sandbox.engine_errors():
        labels = {RUN_LABEL: secrets.token_hex(8)}
        request = {"Image": bench.probe, "Cmd": [""], "Labels": labels}
        container = client.create_container_from_config(request)["Id"]
        try:
            image = client.commit(container, conf=dict(settings))["Id"]
        finally:
            client.remove_container(container, force=True)
    try:
        yield image
    finally:
        with sandbox.engine_errors():
            client.remove_image(image, force=True, noprune=True)  # not the probe with it


def telemetry(attack: Attack, bench: Bench) -> Tried:
    """Try what importing onnxruntime leaves behind, in the image that runs models.

    Here the program is ours as well, so its word counts too: /tmp is nowhere to be seen.
    """
    settings = {
        "Entrypoint": ["/usr/bin/python3.11", "-I", "-c", _IMPORT],
        "Env": ["ORT_DISABLE_TELEMETRY=0"],  # as in a vendor's image, which says nothing of it
    }
    with dressed(replace(bench, probe=bench.runner()), settings) as image:
        tried = watched(_left_by_telemetry)(attack, replace(bench, probe=image))
    said_so = tried.errno == _FOUND
    return replace(tried, outcome="succeeds") if said_so else tried


def shared_namespace(attack: Attack, bench: Bench) -> Tried:
    """Try to reach another run's program, which says whether anybody came."""
    came: list[Tried] = []
    peer = replace(attack, id="net-peer", witness="kernel")
    limits = small(bench.limits, bench.runtime)
    scratch = bench.scratch / f"peer-{secrets.token_hex(4)}"
    scratch.mkdir(mode=0o755)

    def wait_for_visit() -> None:
        # Always behind the wall: it is the neighbour that may or may not be.
        came.extend(try_together([peer], replace(bench, scratch=scratch, start=None), limits))

    waiting = threading.Thread(target=wait_for_visit)
    waiting.start()
    _until_it_runs()
    tried = try_together([attack], bench, limits)[0]
    waiting.join()
    visited = came and came[0].outcome in {"succeeds", "contained"}
    return replace(tried, outcome="succeeds") if visited else tried


def _until_it_runs() -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with sandbox.engine_errors():
            running = sandbox.connect().containers(filters={"label": RUN_LABEL})
        if any("net-peer" in each["Command"] for each in running):
            return
        time.sleep(0.1)


def client_proxy(attack: Attack, bench: Bench) -> Tried:
    """Try with a Docker client whose settings name a proxy and its password."""
    password = secrets.token_hex(8)
    folder = bench.scratch / f"client-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o755)
    proxy = f"http://user:{password}@proxy.invalid:3128"
    settings = {"proxies": {"default": {"httpProxy": proxy}}}
    (folder / "config.json").write_text(json.dumps(settings))
    before = os.environ.get("DOCKER_CONFIG")
    os.environ["DOCKER_CONFIG"] = str(folder)
    try:
        tried = try_together([attack], bench, small(bench.limits, bench.runtime))[0]
    finally:
        os.environ.pop("DOCKER_CONFIG")
        if before is not None:
            os.environ["DOCKER_CONFIG"] = before
    proven = tried.outcome != "blocked" and tried.errno % 2**32 == zlib.crc32(password.encode())
    return replace(tried, outcome="succeeds") if proven else tried


TRIES: dict[str, Callable[[Attack, Bench], Tried]] = {
    "net-log-driver": watched(_logged),
    "net-publish-port": watched(_served),
    "net-rdma-env": gpu_variables,
    "net-ort-telemetry": telemetry,
    "net-shared-netns": shared_namespace,
    "net-proxy-env": client_proxy,
    "fs-root-write": watched(_in_layer),
    "fs-etc-hosts-fill": watched(_hosts_filled),
    "fs-tile-metadata-labels": tile_metadata,
}

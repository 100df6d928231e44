"""The network and file rows whose positive controls need the host's help."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from docker.types import IPAMConfig, IPAMPool
from engine import GATEWAY, INTERNAL, INTERNAL_GATEWAY, SYSLOG_PORT

import sandbox
from evaluator.attacks.metadata_tries import marked_tiles, tile_metadata, told_by_order
from evaluator.attacks.network_tries import NVIDIA, TRIES, dressed
from evaluator.attacks.probing import Tried, small, started, try_together
from sandbox import Mount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trials import OpenTry, Wall

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench
    from sandbox import Outcome, Spec


@contextmanager
def listening(address: tuple[str, int]) -> Iterator[list[bytes]]:
    """Datagrams that come to an address of the host."""
    came: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(address)
        server.settimeout(0.2)
        over = threading.Event()

        def receive() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    came.append(server.recv(65536))

        thread = threading.Thread(target=receive)
        thread.start()
        try:
            yield came
        finally:
            over.set()
            thread.join()


def heard_at(address: tuple[str, int]) -> OpenTry:
    """A try that has succeeded where the marker came to an address as a datagram."""

    def try_it(row: Attack, bench: Bench, _control: str | None, _wall: Wall) -> Tried:
        markers: list[bytes] = []

        def start(spec: Spec, scratch: Path) -> Outcome:
            markers.append(marker_of(spec))
            return started(bench)(spec, scratch)

        with listening(address) as came:
            tried = try_together([row], bench, small(bench.limits, bench.runtime), start)[0]
        reached = any(marker in datagram for marker in markers for datagram in came)
        return settled(tried, reached=reached)

    return try_it


def marker_of(spec: Spec) -> bytes:
    """What the probe was told to send."""
    marker: str = json.loads(spec.inputs[0].source.read_bytes())["marker"]
    return marker.encode()


def settled(tried: Tried, *, reached: bool) -> Tried:
    """What the host saw counts; without it, a probe that claims success was stopped."""
    if reached:
        return replace(tried, outcome="succeeds")
    return replace(tried, outcome="blocked" if tried.outcome == "contained" else tried.outcome)


def submount(row: Attack, bench: Bench, _control: str | None, _wall: Wall) -> Tried:
    """Give a folder as well, with a mount of the host's below it."""
    reached: list[bool] = []

    def start(spec: Spec, scratch: Path) -> Outcome:
        folder = spec.inputs[0].source.parent / "folder"
        nested = folder / "nested"
        nested.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "nested", nested], check=True)
        try:
            inputs = (*spec.inputs, Mount(folder, "/folder"))
            return started(bench)(replace(spec, inputs=inputs), scratch)
        finally:
            reached.append((nested / "created").exists())
            subprocess.run(["umount", nested], check=True)

    tried = try_together([row], bench, small(bench.limits, bench.runtime), start)[0]
    return settled(tried, reached=any(reached))


def hooked(row: Attack, bench: Bench, _control: str | None, _wall: Wall) -> Tried:
    """Have the image's variables come to a hook of the host's, as GPU toolkits read them."""
    hooks = Path(os.environ["DOCKER_HOST"].removeprefix("unix://")).parent / "hooks"
    before = set(hooks.iterdir())
    tried = TRIES[row.id](row, bench)
    lines = {
        line for note in set(hooks.iterdir()) - before for line in note.read_text().splitlines()
    }
    reached = any(f"{name}=all" in lines for name in NVIDIA)
    return replace(tried, outcome="succeeds" if reached else "blocked")


def internal(row: Attack, bench: Bench, control: str | None, wall: Wall) -> Tried:
    """Run on a network that the engine calls internal, whose resolver is the host's."""
    client = sandbox.connect()
    pools = [IPAMPool(subnet=f"{INTERNAL_GATEWAY}/24", gateway=INTERNAL_GATEWAY)]
    network = client.create_network(INTERNAL, internal=True, ipam=IPAMConfig(pool_configs=pools))
    try:
        return heard_at((INTERNAL_GATEWAY, 53))(row, bench, control, wall)
    finally:
        client.remove_network(network["Id"])


def exposed(row: Attack, bench: Bench, _control: str | None, _wall: Wall) -> Tried:
    """Run an image that exposes a port."""
    with dressed(bench, {"ExposedPorts": {"7777/tcp": {}}}) as image:
        return TRIES[row.id](row, replace(bench, probe=image))


def named_tiles(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
    """Show the tiles as their owner keeps them: a folder for each class."""
    if control is not None:
        return tile_metadata(row, bench)
    source = bench.scratch / secrets.token_hex(4)
    marked_tiles(source)
    classes = sorted(path.name for path in source.iterdir())
    labels = [classes.index(path.parent.name) for path in sorted(source.glob("*/*"))]
    return Tried(row, "succeeds" if told_by_order(labels) else "blocked")


OPEN: dict[str, OpenTry] = {
    "net-dns-query": heard_at((GATEWAY, 53)),
    "net-internal-net-dns": internal,
    "net-log-driver": heard_at(("127.0.0.1", SYSLOG_PORT)),
    "net-publish-port": exposed,
    "net-rdma-env": hooked,
    "fs-tiles-submount": submount,
    "fs-tile-metadata-labels": named_tiles,
}

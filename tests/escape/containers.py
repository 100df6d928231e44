"""Containers in the open for tries that are more than a program of the probe."""

from __future__ import annotations

import contextlib
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests.exceptions
from ground import open_request, with_control

import sandbox
from evaluator.attacks.controls import CONTROLS
from evaluator.attacks.probing import small
from sandbox import Mount, Spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trials import Wall

    from evaluator.attacks.probing import Bench

UID = 2_500_000


def spec_of(image: str, verb: str, bench: Bench, inputs: tuple[Mount, ...] = ()) -> Spec:
    """A run of an image, under limits that are used up in a second."""
    return Spec(
        run=secrets.token_hex(8),
        image=image,
        verb=verb,
        inputs=inputs,
        output_size=1,
        limits=small(bench.limits, bench.runtime),
        runtime=bench.runtime,
    )


def request_of(
    spec: Spec,
    output: Path,
    bench: Bench,
    control: str | None,
    wall: Wall,
    **changes: object,
) -> dict[str, Any]:
    """The open request, changed, and on top of it what the wall says of one control."""
    request = open_request(spec, str(output)) | changes
    if control is not None and CONTROLS[control].paths:
        request = with_control(request, wall(spec, str(output), UID, bench.seccomp), control)
    return request


@contextmanager
def made(request: dict[str, Any]) -> Iterator[str]:
    """A container, not started, and gone at the end."""
    client = sandbox.connect()
    container = client.create_container_from_config(request)["Id"]
    try:
        yield container
    finally:
        client.remove_container(container, force=True, v=True)


def ended(container: str, seconds: float) -> int | None:
    """Start it and wait; its exit status, or None where it was still running."""
    client = sandbox.connect()
    client.start(container)
    with contextlib.suppress(requests.exceptions.RequestException):
        return int(client.wait(container, timeout=seconds)["StatusCode"])  # type: ignore[arg-type]  # requests takes floats
    return None


def status_of(container: str) -> dict[str, str]:
    """What the host's /proc says of its first process, by the names of proc(5); {} of none."""
    pid = sandbox.connect().inspect_container(container)["State"]["Pid"]
    if not pid:
        return {}
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
